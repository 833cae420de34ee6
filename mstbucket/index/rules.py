"""What has to be true of the rows of a database, and no constraint of its tables can say ([CHECK-3]).

Each rule is one statement, so it sees one state. Every write keeps all rules in one transaction: what a rule finds is wrong,
whoever writes meanwhile. A row that breaks a rule is told as bucket, key, CID, blob, and words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.limits import CHUNK_SIZE, OBJECT_SIZE_MAX

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


class Broken(NamedTuple):
    """A row that breaks a rule, or what it is about; what does not apply is None."""

    bucket: str | None
    key: str | None
    cid: bytes | None
    blob: str | None
    said: str


_NAME: Final = "coalesce((SELECT t.name FROM buckets t WHERE t.id = {0}.bucket), '#' || {0}.bucket)"
_CBOR: Final = r"'\x01711220'"
_RAW: Final = r"'\x01551220'"
_MARKED: Final = r"'\xff'"  # the mark of an ETag of 16 bytes, and no ETag
_PB: Final = r"'\x01701220'"
_BODY: Final = f"CASE WHEN {{0}}.size <= {CHUNK_SIZE} THEN {_RAW}::bytea ELSE {_PB}::bytea END"


def _malformed(table: str) -> str:
    """Rows of manifests whose columns no manifest can have."""
    return f"""
        SELECT {_NAME.format("o")}, o.key, o.manifest, NULL, 'its columns are not those of a manifest'
        FROM {table} o WHERE length(o.manifest) <> 36 OR substr(o.manifest, 1, 4) <> {_CBOR}
            OR (o.content IS NOT NULL AND (length(o.content) <> 36 OR substr(o.content, 1, 4) <> {_BODY.format("o")}
                OR o.size NOT BETWEEN 0 AND {OBJECT_SIZE_MAX} OR o.etag = '' OR o.etag = {_MARKED}))
            OR o.created < 0 OR o.modified < 0 OR length(o.sha256) NOT IN (0, 32)
            OR octet_length(o.key) NOT BETWEEN 1 AND 1024
    """


def _no_body(table: str, key: str = "o.key") -> str:
    """Rows whose body has no row in `blocks`: it is lost."""
    return f"""
        SELECT {_NAME.format("o")}, {key}, o.content, NULL, 'the root of its body is not in the index of blocks'
        FROM {table} o WHERE o.content IS NOT NULL AND NOT EXISTS (SELECT FROM blocks b WHERE b.cid = o.content)
    """


def _orphan(table: str, key: str = "o.key") -> str:
    """Rows of a bucket that is not there."""
    return f"""
        SELECT '#' || o.bucket, {key}, NULL::bytea, NULL, 'a row of {table} belongs to a bucket that is not there'
        FROM {table} o WHERE NOT EXISTS (SELECT FROM buckets t WHERE t.id = o.bucket)
    """


_VERSION_KEY: Final = "o.key || '@' || o.seq"

#: The statement of each rule, by the code of its findings.
RULES: Final[dict[str, str]] = {
    "database.singletons": """
        SELECT NULL, NULL, NULL::bytea, NULL,
            format('%s rows of store, %s of encoding, %s of collector: one of each is right', s, e, c)
        FROM (SELECT (SELECT count(*) FROM store) AS s, (SELECT count(*) FROM encoding) AS e,
            (SELECT count(*) FROM collector) AS c) AS n WHERE s <> 1 OR e <> 1 OR c <> 1
    """,
    "database.identity": """
        SELECT NULL, NULL, NULL::bytea, NULL, 'the row of store has no identity' FROM store WHERE identity IS NULL
    """,
    "database.bucket": """
        SELECT t.name, NULL, NULL::bytea, NULL, 'its name, its identity or its number is not that of a bucket' FROM buckets t
        WHERE t.identity !~ '^[a-z2-7]{26}$' OR t.name !~ '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' OR t.seq < 0
    """,
    "database.head": """
        SELECT t.name, NULL, t.commit, NULL, format('its commit %s has no row in commits', t.seq) FROM buckets t
        WHERE ((t.commit IS NULL) <> (t.seq = 0)) OR (t.seq > 0 AND NOT EXISTS (
            SELECT FROM commits c WHERE c.bucket = t.id AND c.seq = t.seq AND c.cid = t.commit))
    """,
    "database.commit-ahead": """
        SELECT t.name, NULL, c.cid, NULL, format('commit %s is above the newest, %s', c.seq, t.seq)
        FROM commits c JOIN buckets t ON t.id = c.bucket WHERE c.seq > t.seq OR c.seq < 1
    """,
    "database.chain": """
        SELECT t.name, NULL, c.cid, NULL, format('commit %s does not name the one before it', c.seq)
        FROM commits c JOIN buckets t ON t.id = c.bucket LEFT JOIN commits p ON p.bucket = c.bucket AND p.seq = c.seq - 1
        WHERE (c.prev IS DISTINCT FROM p.cid AND c.merged IS DISTINCT FROM p.cid AND p.cid IS NOT NULL)
            OR (c.prev IS NULL AND c.seq > 1)
    """,
    "database.totals": """
        SELECT t.name, NULL, t.commit, NULL,
            format('the commit states %s objects of %s bytes, and the index has %s of %s',
                   c.objects, c.bytes, n.objects, n.bytes)
        FROM buckets t JOIN commits c ON c.bucket = t.id AND c.seq = t.seq, LATERAL (
            SELECT count(*) AS objects, coalesce(sum(o.size), 0) AS bytes FROM objects o WHERE o.bucket = t.id) AS n
        WHERE (c.objects, c.bytes) <> (n.objects, n.bytes) AND NOT EXISTS (SELECT FROM dirty d WHERE d.bucket = t.id)
    """,
    "database.unpublished": """
        SELECT t.name, NULL, c.cid, NULL, format('commit %s has not been published for an hour: flush the bucket', c.seq)
        FROM commits c JOIN buckets t ON t.id = c.bucket WHERE NOT c.published AND c.time < now_ms() - 3600000
    """,
    "database.object": _malformed("objects"),
    "database.version": _malformed("versions"),
    "database.object-orphan": _orphan("objects"),
    "database.version-orphan": _orphan("versions", _VERSION_KEY),
    "database.dirty-orphan": _orphan("dirty"),
    "database.dirty-version-orphan": _orphan("dirty_versions", _VERSION_KEY),
    "database.object-body": _no_body("objects"),
    "database.version-body": _no_body("versions", _VERSION_KEY),
    "database.part-body": f"""
        SELECT t.name, u.key, {_RAW}::bytea || substr(p.chunks, n * 32 + 1, 32), NULL,
            format('chunk %s of part %s of upload %s is not in the index of blocks', n, p.number, u.id)
        FROM parts p JOIN uploads u ON u.id = p.upload JOIN buckets t ON t.id = u.bucket,
            generate_series(0, octet_length(p.chunks) / 32 - 1) AS n
        WHERE NOT EXISTS (SELECT FROM blocks b WHERE b.cid = {_RAW}::bytea || substr(p.chunks, n * 32 + 1, 32))
    """,
    "database.part": f"""
        SELECT t.name, u.key, NULL::bytea, NULL,
            format('part %s of upload %s has other chunks than its size', p.number, u.id)
        FROM parts p JOIN uploads u ON u.id = p.upload JOIN buckets t ON t.id = u.bucket
        WHERE p.size < 0 OR length(p.md5) <> 16 OR length(p.sha256) <> 32
            OR octet_length(p.chunks) <> 32 * greatest((p.size + {CHUNK_SIZE - 1}) / {CHUNK_SIZE}, 1)
    """,
    "database.part-left": """
        SELECT t.name, u.key, NULL::bytea, NULL, format('upload %s is completed, and has part %s still', u.id, p.number)
        FROM parts p JOIN uploads u ON u.id = p.upload JOIN buckets t ON t.id = u.bucket WHERE u.completed IS NOT NULL
    """,
    "database.history": """
        SELECT t.name, v.key, v.manifest, NULL, 'it has versions, but neither an object nor a delete marker above them'
        FROM versions v JOIN buckets t ON t.id = v.bucket WHERE v.content IS NOT NULL
            AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq)
            AND NOT EXISTS (SELECT FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)
    """,
    "database.version-order": """
        SELECT t.name, v.key || '@' || v.seq, v.manifest, NULL, 'the version is not older than the current object'
        FROM versions v JOIN objects o ON o.bucket = v.bucket AND o.key = v.key JOIN buckets t ON t.id = v.bucket
        WHERE v.seq >= coalesce(o.seq, 1)
    """,
    "database.version-id": """
        SELECT t.name, v.key || '@' || v.seq, v.manifest, NULL, 'the current object has the same version id'
        FROM versions v JOIN objects o ON o.bucket = v.bucket AND o.key = v.key JOIN buckets t ON t.id = v.bucket
        WHERE v.version_id IS NOT DISTINCT FROM o.version_id
    """,
    "database.versioning": """
        SELECT t.name, NULL, NULL::bytea, NULL, 'it has versions, and versioning was never set' FROM buckets t
        WHERE t.versioning IS NULL AND EXISTS (SELECT FROM versions v WHERE v.bucket = t.id)
    """,
    "database.lock": """
        SELECT t.name, l.key, NULL::bytea, NULL, format('version %L has a lock, and is not there', l.version)
        FROM locks l JOIN buckets t ON t.id = l.bucket WHERE NOT EXISTS (
            SELECT FROM objects o WHERE o.bucket = l.bucket AND o.key = l.key AND coalesce(o.version_id, '') = l.version)
        AND NOT EXISTS (SELECT FROM versions v WHERE version_place(v.bucket, v.key, v.version_id)
            = version_place(l.bucket, l.key, nullif(l.version, '')))
    """,
    "database.generation": """
        SELECT NULL, NULL, NULL::bytea, NULL, format('the sequence of generations is at %s, below the %s of a change', s, n)
        FROM (SELECT (SELECT last_value FROM generation) AS s, greatest((SELECT max(generation) FROM dirty),
            (SELECT max(generation) FROM dirty_versions), (SELECT max(tags_dirty) FROM buckets)) AS n) AS g WHERE n > s
    """,
    "database.block": f"""
        SELECT NULL, NULL, b.cid, p.name, 'its row is not that of a block' FROM blocks b LEFT JOIN packs p ON p.id = b.pack
        WHERE length(b.cid) <> 36 OR substr(b.cid, 1, 4) NOT IN ({_CBOR}, {_RAW}, {_PB}) OR b.length < 0
            OR (b.body IS NOT NULL AND octet_length(b.body) <> b.length)
    """,
    "database.block-pack": """
        SELECT NULL, NULL, b.cid, p.name, format('its row leads to pack number %s, which %s', b.pack,
            CASE WHEN p.id IS NULL THEN 'is not there' ELSE 'is ' || p.state END)
        FROM blocks b LEFT JOIN packs p ON p.id = b.pack WHERE b.pack IS NOT NULL AND p.state IS DISTINCT FROM 'ready'
    """,
    "database.block-place": """
        SELECT NULL, NULL, b.cid, p.name, format('its row leads to bytes %s to %s of a pack that has %s', b."offset",
            b."offset" + b.length, coalesce(p.plain, p.size))
        FROM blocks b JOIN packs p ON p.id = b.pack
        WHERE p.state = 'ready' AND (b."offset" < 96 OR b."offset" + b.length > coalesce(p.plain, p.size))
    """,
    "database.epoch": """
        SELECT NULL, NULL, b.cid, NULL, format('it was touched in epoch %s, which has not come', b.epoch)
        FROM blocks b WHERE b.epoch > (SELECT max(c.epoch) FROM collector c)
    """,
    "database.pack": """
        SELECT NULL, NULL, NULL::bytea, p.name, 'the name, the encoding and the sizes of its row do not go together'
        FROM packs p
        WHERE p.state = 'ready' AND (p.size IS NULL OR p.size <= 0 OR (p.plain IS NULL) <> (p.encoding IS NULL)
            OR (right(p.name, 4) = '.aes') <> (coalesce(p.encoding, '') LIKE '%aes'))
            OR p.state <> 'doomed' AND p.name !~ ('^packs/[0-9a-f]{2}/[0-9a-f]{32}[.]car' || CASE p.encoding
                WHEN 'zstd' THEN '[.]zst' WHEN 'aes' THEN '[.]aes' WHEN 'zstd+aes' THEN '[.]zst[.]aes' ELSE '' END || '$')
    """,
    "database.frames": """
        SELECT NULL, NULL, NULL::bytea, p.name, 'its frames are not in the index, or do not begin at its first byte'
        FROM packs p
        WHERE p.state = 'ready' AND (p.encoding IS NOT NULL) <> EXISTS (
            SELECT FROM frames f WHERE f.pack = p.id AND f.start = 0 AND f.stored = 0 AND f.number = 0)
    """,
    "database.leftover": """
        SELECT NULL, NULL, NULL::bytea, p.name, format('it is %s for more than two days: compact the store', p.state)
        FROM packs p WHERE p.state <> 'ready' AND coalesce(p.alive, p.created) < now_ms() - 172800000
    """,
}


_ASK: Final = "SELECT * FROM ({0}) AS r (bucket, key, cid, blob, said)"


def broken(db: Database, code: str, limit: int) -> Iterator[Broken]:
    """What breaks the rule with that code, in any order, at most `limit` of it."""
    with db.reading() as connection:
        rows = connection.execute(f"{_ASK.format(RULES[code].replace('%', '%%'))} LIMIT %s", (limit,))
        found = [Broken(*row) for row in rows.fetchall()]
    yield from found


def damaged_bodies(db: Database, after: bytes, limit: int) -> tuple[list[bytes], bytes | None]:
    """Bodies held in the database that are not what their CID says, among the next `limit` blocks behind `after`.

    Returns them and the last CID that was looked at; None where there are no more.
    """
    query = """
        SELECT b.cid, b.body IS NOT NULL AND sha256(b.body) <> substr(b.cid, 5) FROM blocks b
        WHERE b.cid > %s AND b.body IS NOT NULL ORDER BY b.cid LIMIT %s
    """
    with db.reading() as connection:
        rows = connection.execute(query, (after, limit)).fetchall()
    last = bytes(rows[-1][0]) if len(rows) == limit else None
    return [bytes(cid) for cid, wrong in rows if wrong], last
