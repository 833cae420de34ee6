"""Statements of repairs: rows written from manifests, and rows and commits given up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mstbucket.core.manifest import Manifest
from mstbucket.index.rows import MANIFEST_COLUMNS, created_column, etag_column, json_of, manifest_of, sha256_column
from mstbucket.index.tx import Tx
from mstbucket.pg.binary import bytea_array, integer_array, text_array
from mstbucket.pg.queries import one_row, server_cursor

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_BATCH: Final = 1000
_COLUMNS: Final = MANIFEST_COLUMNS.split(", ")
_SET: Final = ", ".join(f"{column} = excluded.{column}" for column in ("manifest", *_COLUMNS))
_MARKS: Final = ", ".join(["%s"] * len(_COLUMNS))


def newest_commit(tx: Tx) -> bytes | None:
    """The newest commit of the bucket; no flush moves it until the transaction ends."""
    commit = one_row(tx.connection, "SELECT commit FROM buckets WHERE id = %s FOR SHARE", (tx.bucket,))[0]
    return None if commit is None else bytes(commit)


def changed_objects(tx: Tx, keys: Sequence[str]) -> set[str]:
    """Those of `keys` that are dirty."""
    query = "SELECT key FROM dirty WHERE bucket = %s AND key = ANY (%s)"
    return {str(row[0]) for row in tx.connection.execute(query, (tx.bucket, text_array(keys)))}


def changed_versions(tx: Tx, keys: Sequence[str]) -> set[tuple[str, int]]:
    """The dirty versions of `keys`."""
    query = "SELECT key, seq FROM dirty_versions WHERE bucket = %s AND key = ANY (%s)"
    return {(key, seq) for key, seq in tx.connection.execute(query, (tx.bucket, text_array(keys)))}


def _change(tx: Tx, query: str, values: Sequence[object]) -> None:
    """Change a row without a mark that it is dirty, but so that a collection sees that something may have died ([GC-18])."""
    tx.connection.execute(query, values)
    tx.connection.execute("SELECT nextval('generation')")


def write_object(tx: Tx, key: str, cid: bytes, manifest: Manifest) -> None:
    """Make the row of an object what its manifest says; it stands above all versions of its key. It is not marked dirty."""
    query = f"""
        INSERT INTO objects (bucket, key, manifest, {MANIFEST_COLUMNS}, seq) VALUES (%s, %s, %s, {_MARKS},
            (SELECT max(v.seq) + 1 FROM versions v WHERE v.bucket = %s AND v.key = %s))
        ON CONFLICT (bucket, key) DO UPDATE SET {_SET}
    """
    _change(tx, query, (tx.bucket, key, cid, *_values(manifest), tx.bucket, key))


def write_version(tx: Tx, key: str, seq: int, cid: bytes, manifest: Manifest) -> None:
    """As `write_object`, of a noncurrent version or a delete marker."""
    query = f"""
        INSERT INTO versions (bucket, key, seq, manifest, {MANIFEST_COLUMNS}) VALUES (%s, %s, %s, %s, {_MARKS})
        ON CONFLICT (bucket, key, seq) DO UPDATE SET {_SET}
    """
    _change(tx, query, (tx.bucket, key, seq, cid, *_values(manifest)))
    lift = """
        UPDATE objects o SET seq = %s + 1 WHERE o.bucket = %s AND o.key = %s AND coalesce(o.seq, 1) <= %s
    """
    tx.connection.execute(lift, (seq, tx.bucket, key, seq))


def remove_object(tx: Tx, key: str) -> None:
    """Remove the row of an object that no tree has. It is not marked dirty."""
    _change(tx, "DELETE FROM objects WHERE bucket = %s AND key = %s", (tx.bucket, key))


def remove_version(tx: Tx, key: str, seq: int) -> None:
    """As `remove_object`, of a version."""
    _change(tx, "DELETE FROM versions WHERE bucket = %s AND key = %s AND seq = %s", (tx.bucket, key, seq))


def _values(m: Manifest) -> tuple[Any, ...]:
    maps = (json_of(m.checksums), json_of(m.headers), json_of(m.metadata), json_of(m.tags))
    parts = list(m.parts) or None
    head = (m.content, m.size, None if m.etag is None else etag_column(m.etag), m.content_type)
    said = (created_column(m.created, m.modified), m.modified, sha256_column(m.content, m.sha256))
    return (*head, *said, *maps, parts, m.version_id)


# --- blocks -----------------------------------------------------------------------------------------------------------


def forget_wrong_lengths(connection: Connection, cids: Sequence[bytes], lengths: Sequence[int]) -> None:
    """Remove rows of blocks whose length is not the true one; the caller inserts them again in the same transaction."""
    query = "DELETE FROM blocks b USING unnest(%s, %s) AS t (c, l) WHERE b.cid = t.c AND b.length <> t.l"
    connection.execute(query, (bytea_array(cids), integer_array(lengths)))


# --- the whole of a bucket, for a tree that is made anew ---------------------------------------------------------------


class Row(NamedTuple):
    """A row of `objects`, or of `versions` with its number, and the generation of its change; None where it has none.

    `cid` and `manifest` are None where the object or the version is gone, and only the change is left.
    """

    key: str
    seq: int
    generation: int | None
    cid: bytes | None
    manifest: Manifest | None


_OBJECTS: Final = f"""
    SELECT coalesce(o.key, d.key), 0::bigint, d.generation, o.manifest, {MANIFEST_COLUMNS}
    FROM (SELECT * FROM objects WHERE bucket = %(bucket)s) o
    FULL JOIN (SELECT key, generation FROM dirty WHERE bucket = %(bucket)s) d ON d.key = o.key ORDER BY 1
"""
_VERSIONS: Final = f"""
    SELECT coalesce(o.key, d.key), coalesce(o.seq, d.seq), d.generation, o.manifest, {MANIFEST_COLUMNS}
    FROM (SELECT * FROM versions WHERE bucket = %(bucket)s) o
    FULL JOIN (SELECT key, seq, generation FROM dirty_versions WHERE bucket = %(bucket)s) d
        ON d.key = o.key AND d.seq = o.seq ORDER BY 1, 2 DESC
"""


def read_rows(
    connection: Connection, bucket: int, objects: Callable[[Row], object], versions: Callable[[Row], object]
) -> None:
    """Give every row and every change of a bucket, in the order of the trees; the connection holds one snapshot."""
    for query, take in ((_OBJECTS, objects), (_VERSIONS, versions)):
        with server_cursor(connection, "repairing", _BATCH) as cursor:
            for key, seq, generation, cid, *columns in cursor.execute(query, {"bucket": bucket}):
                take(Row(key, seq, generation, cid, None if cid is None else manifest_of(columns)))


# --- what is given up -------------------------------------------------------------------------------------------------


def forget_commits(tx: Tx, cids: Collection[bytes]) -> int:
    """Give up commits of the bucket that are not the newest; how many there were. Names given to them go with them."""
    query = """
        DELETE FROM commits c USING buckets t WHERE c.bucket = %s AND t.id = c.bucket AND c.seq < t.seq AND c.cid = ANY (%s)
    """
    return tx.connection.execute(query, (tx.bucket, bytea_array(list(cids)))).rowcount


def give_up_object(tx: Tx, key: str, content: bytes) -> bool:
    """Remove a current object if it has this body, and mark its key as changed; whether it was there."""
    query = "DELETE FROM objects WHERE bucket = %s AND key = %s AND content = %s"
    gone = tx.connection.execute(query, (tx.bucket, key, content)).rowcount == 1
    if gone:
        tx.connection.execute("SELECT promote(%s, %s)", (tx.bucket, key))
        tx.connection.execute("SELECT mark_dirty(%s, %s)", (tx.bucket, text_array([key])))
    return gone


def give_up_version(tx: Tx, key: str, seq: int, content: bytes) -> bool:
    """As `give_up_object`, of a noncurrent version."""
    query = "DELETE FROM versions WHERE bucket = %s AND key = %s AND seq = %s AND content = %s"
    gone = tx.connection.execute(query, (tx.bucket, key, seq, content)).rowcount == 1
    if gone:
        tx.connection.execute("SELECT mark_version_dirty(%s, %s, %s)", (tx.bucket, key, seq))
    return gone


def drop_locks_of_nothing(tx: Tx, keys: Collection[str]) -> None:
    """Remove the locks of versions of `keys` that are not there any more."""
    query = """
        DELETE FROM locks l WHERE l.bucket = %s AND l.key = ANY (%s)
        AND NOT EXISTS (SELECT FROM objects o WHERE o.bucket = l.bucket AND o.key = l.key
            AND coalesce(o.version_id, '') = l.version)
        AND NOT EXISTS (SELECT FROM versions v WHERE version_place(v.bucket, v.key, v.version_id)
            = version_place(l.bucket, l.key, nullif(l.version, '')))
    """
    tx.connection.execute(query, (tx.bucket, text_array(list(keys))))
