"""What a check of the whole store asks: pages of rows in the order of keys, names and CIDs, each a state by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.manifest import Manifest
from mstbucket.index.rows import MANIFEST_COLUMNS, manifest_of
from mstbucket.limits import CHUNK_SIZE
from mstbucket.pg.binary import bytea_array
from mstbucket.pg.queries import one_row, server_cursor

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

_PAGE: Final = 1000


class PackRow(NamedTuple):
    """A row of `packs`; `plain` is the size of the CAR in it, and None for a plain CAR."""

    id: int
    name: str
    state: str
    size: int | None
    plain: int | None


class KeptCommit(NamedTuple):
    """A commit that can be read, as its row has it."""

    seq: int
    cid: bytes
    prev: bytes | None
    tree: bytes
    versions: bytes | None
    objects: int
    bytes: int
    published: bool


class KeptRow(NamedTuple):
    """A row of `objects`, or of `versions` with its number; the manifest is made of its columns."""

    key: str
    seq: int
    cid: bytes
    manifest: Manifest


class Body(NamedTuple):
    """The body of a changed key."""

    key: str
    seq: int
    content: bytes
    size: int


# --- buckets and their commits ----------------------------------------------------------------------------------------


def buckets(db: Database) -> list[tuple[int, str]]:
    """The number and the name of every bucket."""
    with db.reading() as connection:
        return [(number, name) for number, name in connection.execute("SELECT id, name FROM buckets ORDER BY id")]


def kept_commits(db: Database, bucket: int) -> Iterator[KeptCommit]:
    """The commits of a bucket that can be read, newest first; one page is one state."""
    query = """
        SELECT seq, cid, prev, tree, versions, objects, bytes, published FROM commits
        WHERE bucket = %s AND seq < %s ORDER BY seq DESC LIMIT %s
    """
    last = 2**63 - 1
    while True:
        with db.reading() as connection:
            rows = [KeptCommit._make(row) for row in connection.execute(query, (bucket, last, _PAGE), binary=True)]
        yield from rows
        if len(rows) < _PAGE:
            return
        last = rows[-1].seq


def is_kept(db: Database, bucket: int, root: bytes) -> bool:
    """Whether a commit with this CID, or with this root of a tree, can still be read: all below it has to be there."""
    query = "SELECT EXISTS (SELECT FROM commits WHERE bucket = %s AND (cid = %s OR tree = %s OR versions = %s))"
    with db.reading() as connection:
        return bool(one_row(connection, query, (bucket, root, root, root))[0])


def newest_published(db: Database, depth: int) -> list[tuple[str, str, int, bytes]]:
    """Bucket, identity, number and CID of the published commits among the newest `depth` of every bucket."""
    query = """
        SELECT t.name, t.identity, c.seq, c.cid FROM buckets t JOIN commits c ON c.bucket = t.id
        WHERE c.published AND c.seq > t.seq - %s ORDER BY t.identity, c.seq
    """
    with db.reading() as connection:
        return [(name, identity, seq, cid) for name, identity, seq, cid in connection.execute(query, (depth,), binary=True)]


def newest_number(db: Database, identity: str) -> int | None:
    """The number of the newest commit of all buckets with this identity; None where there is none."""
    with db.reading() as connection:
        return one_row(connection, "SELECT max(seq) FROM buckets WHERE identity = %s", (identity,))[0]  # type: ignore[no-any-return]


# --- rows of keys -------------------------------------------------------------------------------------------------------


def objects_page(db: Database, bucket: int, after: tuple[str, int], limit: int) -> list[KeptRow]:
    """The next objects behind a key, flushed or not."""
    query = f"""
        SELECT key, 0::bigint, manifest, {MANIFEST_COLUMNS} FROM objects WHERE bucket = %s AND key > %s ORDER BY key LIMIT %s
    """
    key, _ = after
    return _rows(db, query, (bucket, key, limit))


def versions_page(db: Database, bucket: int, after: tuple[str, int], limit: int) -> list[KeptRow]:
    """The next versions behind one: a later key, or an older one of the same key."""
    query = f"""
        SELECT key, seq, manifest, {MANIFEST_COLUMNS} FROM versions
        WHERE bucket = %s AND key >= %s AND (key > %s OR seq < %s) ORDER BY key, seq DESC LIMIT %s
    """
    key, seq = after
    return _rows(db, query, (bucket, key, key, seq, limit))


def _rows(db: Database, query: str, asked: Sequence[object]) -> list[KeptRow]:
    with db.reading() as connection:
        return [
            KeptRow(key, seq, cid, manifest_of(columns))
            for key, seq, cid, *columns in connection.execute(query, asked, binary=True)
        ]


def changed_bodies(db: Database, bucket: int) -> Iterator[Body]:
    """Bodies of more than a chunk that changed keys and versions have: no tree leads to them yet."""
    query = """
        SELECT o.key, 0::bigint, o.content, o.size FROM dirty d JOIN objects o ON o.bucket = d.bucket AND o.key = d.key
        WHERE d.bucket = %s AND o.size > %s AND (d.key, 0) > (%s, %s) ORDER BY d.key LIMIT %s
    """
    versions = """
        SELECT o.key, o.seq, o.content, o.size FROM dirty_versions d
        JOIN versions o ON o.bucket = d.bucket AND o.key = d.key AND o.seq = d.seq
        WHERE d.bucket = %s AND o.size > %s AND (d.key, d.seq) > (%s, %s) ORDER BY d.key, d.seq LIMIT %s
    """
    for one in (query, versions):
        after = ("", -1)
        while True:
            with db.reading() as connection:
                asked = (bucket, CHUNK_SIZE, *after, _PAGE)
                rows = [Body._make(row) for row in connection.execute(one, asked, binary=True)]
            yield from rows
            if len(rows) < _PAGE:
                break
            after = (rows[-1].key, rows[-1].seq)


def has_body(db: Database, bucket: int, body: Body) -> bool:
    """Whether the key, or one of its versions, has this body by now."""
    query = """
        SELECT EXISTS (SELECT FROM objects WHERE bucket = %s AND key = %s AND content = %s)
            OR EXISTS (SELECT FROM versions WHERE bucket = %s AND key = %s AND content = %s)
    """
    with db.reading() as connection:
        return bool(one_row(connection, query, 2 * (bucket, body.key, body.content))[0])


# --- packs and blocks -------------------------------------------------------------------------------------------------


def packs_behind(db: Database, name: str, limit: int) -> list[PackRow]:
    """The next packs in the order of names, in every state."""
    query = "SELECT id, name, state, size, plain FROM packs WHERE name > %s ORDER BY name LIMIT %s"
    with db.reading() as connection:
        return [PackRow._make(row) for row in connection.execute(query, (name, limit), binary=True)]


def pack_named(db: Database, name: str) -> PackRow | None:
    """The pack of that name, by now."""
    with db.reading() as connection:
        row = connection.execute("SELECT id, name, state, size, plain FROM packs WHERE name = %s", (name,)).fetchone()
    return None if row is None else PackRow._make(row)


def rows_by_pack(db: Database) -> dict[int, int]:
    """How many rows of blocks lead to each pack; a pack to which none leads is not in it."""
    with db.reading() as connection:
        return dict(connection.execute("SELECT pack, count(*) FROM blocks WHERE pack IS NOT NULL GROUP BY pack").fetchall())


def places_in(db: Database, pack: int, cids: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """Offset and length of those of `cids` whose row leads to this pack."""
    query = 'SELECT cid, "offset", length FROM blocks WHERE cid = ANY (%s) AND pack = %s'
    with db.reading() as connection:
        rows = connection.execute(query, (bytea_array(cids), pack), binary=True)
        return {bytes(cid): (offset, length) for cid, offset, length in rows}


def blocks_of_pack(db: Database, pack: int) -> Iterator[bytes]:
    """The blocks whose rows lead to this pack. There is no index for it: every row of blocks is looked at."""
    query = "SELECT cid FROM blocks WHERE cid > %s AND pack = %s ORDER BY cid LIMIT %s"
    after = b""
    while True:
        with db.reading() as connection:
            found = [bytes(row[0]) for row in connection.execute(query, (after, pack, 10 * _PAGE), binary=True)]
        yield from found
        if len(found) < 10 * _PAGE:
            return
        after = found[-1]


def lengths(db: Database, cids: Collection[bytes]) -> dict[bytes, int]:
    """The length of those of `cids` that have a row which leads to a ready pack, or holds the block itself."""
    query = """
        SELECT b.cid, b.length FROM blocks b LEFT JOIN packs p ON p.id = b.pack
        WHERE b.cid = ANY (%s) AND (b.body IS NOT NULL OR p.state = 'ready')
    """
    with db.reading() as connection:
        return dict(connection.execute(query, (bytea_array(list(cids)),), binary=True).fetchall())


def frames_of(db: Database, pack: int) -> list[tuple[int, int, int, bytes]]:
    """Number, start, place and lengths of each run of frames of a pack, in order."""
    query = "SELECT number, start, stored, lengths FROM frames WHERE pack = %s ORDER BY start"
    with db.reading() as connection:
        rows = connection.execute(query, (pack,), binary=True)
        return [(number, start, stored, bytes(lengths)) for number, start, stored, lengths in rows]


# --- one state of a whole bucket, for a proof ---------------------------------------------------------------------------


class Pair(NamedTuple):
    """A key or a version in the index: its manifest, None where it is only dirty; and whether it is dirty."""

    key: str
    seq: int
    manifest: bytes | None
    dirty: bool


_OBJECTS: Final = """
    SELECT coalesce(o.key, d.key), 0::bigint, o.manifest, d.key IS NOT NULL
    FROM (SELECT key, manifest FROM objects WHERE bucket = %(bucket)s) o
    FULL JOIN (SELECT key FROM dirty WHERE bucket = %(bucket)s) d ON d.key = o.key ORDER BY 1
"""
_VERSIONS: Final = """
    SELECT coalesce(o.key, d.key), coalesce(o.seq, d.seq), o.manifest, d.key IS NOT NULL
    FROM (SELECT key, seq, manifest FROM versions WHERE bucket = %(bucket)s) o
    FULL JOIN (SELECT key, seq FROM dirty_versions WHERE bucket = %(bucket)s) d ON d.key = o.key AND d.seq = o.seq
    ORDER BY 1, 2 DESC
"""


def read_state(
    db: Database, bucket: int, objects: Callable[[Pair], object], versions: Callable[[Pair], object]
) -> bytes | None:
    """Give every pair of a bucket, as one snapshot has them, in the order of the trees; return the newest commit in it.

    The snapshot is held while the rows are read, and no longer: the two functions are to put them aside.
    """
    with db.snapshot() as connection:
        row = connection.execute("SELECT commit FROM buckets WHERE id = %s", (bucket,), binary=True).fetchone()
        for query, take in ((_OBJECTS, objects), (_VERSIONS, versions)):
            with server_cursor(connection, "proving", _PAGE) as cursor:
                for key, seq, manifest, dirty in cursor.execute(query, {"bucket": bucket}):
                    take(Pair(key, seq, manifest, dirty))
    return None if row is None else row[0]


def is_published(db: Database, identity: str, seq: int, cid: bytes) -> bool:
    """Whether a bucket of this identity has that commit, published."""
    query = """
        SELECT EXISTS (SELECT FROM commits c JOIN buckets t ON t.id = c.bucket
            WHERE t.identity = %s AND c.seq = %s AND c.cid = %s AND c.published)
    """
    with db.reading() as connection:
        return bool(one_row(connection, query, (identity, seq, cid))[0])


def owner_of(db: Database, cid: bytes) -> tuple[str, str] | None:
    """A bucket and a key whose manifest or whole body is this block; every row is looked at."""
    query = """
        SELECT t.name, o.key FROM objects o JOIN buckets t ON t.id = o.bucket WHERE %(cid)s IN (o.manifest, o.content)
        UNION ALL SELECT t.name, v.key || '@' || v.seq FROM versions v JOIN buckets t ON t.id = v.bucket
        WHERE %(cid)s IN (v.manifest, v.content) LIMIT 1
    """
    with db.reading() as connection:
        row = connection.execute(query, {"cid": cid}).fetchone()
    if row is None:
        return None
    bucket, key = row
    return bucket, key
