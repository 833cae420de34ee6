"""Keys and versions whose rows changed since the newest commit: what a flush folds, and what a check leaves out.

Each change of a key gives its dirty row a new generation. A flush removes a dirty row only if the row still has the
generation that the flush read. So a change that is made meanwhile stays dirty ([FLUSH-7]).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.manifest import Manifest
from mstbucket.index.rows import MANIFEST_COLUMNS, manifest_of
from mstbucket.index.tx import Tx
from mstbucket.pg.binary import bigint_array, text_array
from mstbucket.pg.queries import server_cursor

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_BATCH: Final = 1000  # rows fetched at a time


class Change(NamedTuple):
    """A dirty row, and the manifest that its object or version has by now.

    Attributes:
        seq: the number of the version, 0 for an object.
        cid, manifest: None if the object or the version is gone.
    """

    key: str
    seq: int
    generation: int
    cid: bytes | None
    manifest: Manifest | None


class Place(NamedTuple):
    """A key, and the number of a version under it; 0 for an object."""

    key: str
    seq: int


class Side(NamedTuple):
    """What follows a place, of each as many as the limit of the question allows.

    Attributes:
        manifests: of the rows there are, the CIDs.
        dirty: the places that are dirty, with or without a row.
    """

    manifests: dict[Place, bytes]
    dirty: set[Place]


# --- for a flush ----------------------------------------------------------------------------------------------------

_CHANGED_OBJECTS: Final = f"""
    SELECT d.key, 0::bigint, d.generation, o.manifest, {MANIFEST_COLUMNS}
    FROM dirty d LEFT JOIN objects o ON o.bucket = d.bucket AND o.key = d.key
    WHERE d.bucket = %s AND d.key <= %s ORDER BY d.key LIMIT %s
"""
_CHANGED_VERSIONS: Final = f"""
    SELECT d.key, d.seq, d.generation, v.manifest, {MANIFEST_COLUMNS}
    FROM dirty_versions d LEFT JOIN versions v ON v.bucket = d.bucket AND v.key = d.key AND v.seq = d.seq
    WHERE d.bucket = %s AND d.key <= %s ORDER BY d.key, d.seq DESC LIMIT %s
"""
_CLEAR_OBJECTS: Final = """
    WITH folded AS (
        SELECT d.key FROM unnest(%s, %s) AS f (key, generation)
        JOIN dirty d ON d.bucket = %s AND d.key = f.key AND d.generation = f.generation
        FOR UPDATE OF d SKIP LOCKED)
    DELETE FROM dirty d USING folded f WHERE d.bucket = %s AND d.key = f.key RETURNING d.key
"""
_CLEAR_VERSIONS: Final = """
    WITH folded AS (
        SELECT d.key, d.seq FROM unnest(%s, %s, %s) AS f (key, seq, generation)
        JOIN dirty_versions d ON d.bucket = %s AND d.key = f.key AND d.seq = f.seq AND d.generation = f.generation
        FOR UPDATE OF d SKIP LOCKED)
    DELETE FROM dirty_versions d USING folded f WHERE d.bucket = %s AND d.key = f.key AND d.seq = f.seq
    RETURNING d.key, d.seq
"""


@contextmanager
def changed_objects(connection: Connection, bucket: int, last: str, limit: int) -> Iterator[Iterator[Change]]:
    """The first *limit* dirty keys up to *last*, in order, as the caller reads them. Leave it before the next statement."""
    with _changes(connection, _CHANGED_OBJECTS, bucket, last, limit) as changes:
        yield changes


@contextmanager
def changed_versions(connection: Connection, bucket: int, last: str, limit: int) -> Iterator[Iterator[Change]]:
    """As `changed_objects`, of dirty versions: in the order of keys, and the newest of a key first."""
    with _changes(connection, _CHANGED_VERSIONS, bucket, last, limit) as changes:
        yield changes


@contextmanager
def _changes(connection: Connection, query: str, bucket: int, last: str, limit: int) -> Iterator[Iterator[Change]]:
    with server_cursor(connection, "folding", _BATCH) as cursor:
        yield (
            Change(key, seq, generation, cid, None if cid is None else manifest_of(columns))
            for key, seq, generation, cid, *columns in cursor.execute(query, (bucket, last, limit))
        )


def clear_objects(tx: Tx, keys: Sequence[str], generations: Sequence[int]) -> set[str]:
    """Remove the dirty rows of *keys* that have these generations; return their keys.

    A row that a writer holds stays, without a wait.
    """
    pairs = (text_array(keys), bigint_array(generations))
    return {key for (key,) in tx.connection.execute(_CLEAR_OBJECTS, (*pairs, tx.bucket, tx.bucket))}


def clear_versions(
    tx: Tx, keys: Sequence[str], seqs: Sequence[int], generations: Sequence[int]
) -> set[tuple[str, int]]:
    """As `clear_objects`, of versions; each has its key and its number."""
    triples = (text_array(keys), bigint_array(seqs), bigint_array(generations))
    return {(key, seq) for key, seq in tx.connection.execute(_CLEAR_VERSIONS, (*triples, tx.bucket, tx.bucket))}


def due_for_flush(db: Database, changes: int, age: int) -> list[str]:
    """The buckets that have `changes` changed keys, or a change that is `age` ms old, by name; those of tags count too."""
    # Of each bucket no more rows are looked at than make it due; where there are fewer, the oldest is among them.
    # In the order of the primary key: without one the planner may read the whole table for a bucket that has no row.
    query = """
        SELECT b.name FROM buckets b, LATERAL (
            SELECT count(*) AS changes, min(since) AS since FROM (
                (SELECT since FROM dirty WHERE bucket = b.id ORDER BY key LIMIT %(many)s)
                UNION ALL
                (SELECT since FROM dirty_versions WHERE bucket = b.id ORDER BY key, seq LIMIT %(many)s)) AS seen) AS d
        WHERE d.changes >= %(many)s OR least(d.since, b.tags_since) <= now_ms() - %(age)s ORDER BY b.name
    """
    with db.reading() as connection:
        return [str(row[0]) for row in connection.execute(query, {"many": changes, "age": age})]


# --- for a check ----------------------------------------------------------------------------------------------------


def objects_behind(connection: Connection, bucket: int, after: Place, limit: int) -> Side:
    """The next *limit* objects, and as many dirty keys, behind a key."""
    rows = "SELECT key, 0::bigint, manifest FROM objects WHERE bucket = %s AND key > %s ORDER BY key LIMIT %s"
    dirty = "SELECT key, 0::bigint FROM dirty WHERE bucket = %s AND key > %s ORDER BY key LIMIT %s"
    return _side(connection, rows, dirty, (bucket, after.key, limit))


def versions_behind(connection: Connection, bucket: int, after: Place, limit: int) -> Side:
    """The next *limit* versions, and as many dirty ones, behind a version: a later key, or an older one of the same key."""
    behind = "bucket = %s AND key >= %s AND (key > %s OR seq < %s) ORDER BY key, seq DESC LIMIT %s"
    rows = f"SELECT key, seq, manifest FROM versions WHERE {behind}"
    dirty = f"SELECT key, seq FROM dirty_versions WHERE {behind}"
    return _side(connection, rows, dirty, (bucket, after.key, after.key, after.seq, limit))


def _side(connection: Connection, rows: str, dirty: str, asked: Sequence[object]) -> Side:
    return Side(
        {Place(key, seq): manifest for key, seq, manifest in connection.execute(rows, asked, binary=True).fetchall()},
        {Place(key, seq) for key, seq in connection.execute(dirty, asked, binary=True).fetchall()},
    )
