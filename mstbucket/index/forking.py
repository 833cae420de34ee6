"""The rows of a fork: those of the bucket that it is made from, where they still say what the forked commit says.

Where the commit is the newest and nothing was written since, they all do. Else the caller goes down the trees. A row is a
pure function of its manifest. So a row with the manifest that the commit has for its key is right, whichever commit it was
made for. For what has no such row any more, the caller reads the manifest. All is done under the number of a bucket that
nobody can find yet, so nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.keys import split_version_key
from mstbucket.index.rows import MANIFEST_COLUMNS
from mstbucket.index.staging import PAST, copy_objects, copy_rows, copy_versions, object_row, place_objects, version_row
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row, own_table

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_FORKING: Final = own_table("forking")
_JOINED: Final = 1024  # rows sent at a time


def _of(table: str) -> str:
    return ", ".join(f"{table}.{column}" for column in MANIFEST_COLUMNS.split(", "))


#: All rows of the source, of objects and of versions, if they say what this commit says: in one statement, so of one moment.
_COPY_CURRENT: Final = f"""
    WITH same AS (
        SELECT c.bucket, c.objects FROM buckets b JOIN commits c ON c.bucket = b.id AND c.seq = b.seq
        WHERE b.id = %(source)s AND b.commit = %(commit)s
            AND NOT EXISTS (SELECT FROM dirty WHERE bucket = %(source)s)
            AND NOT EXISTS (SELECT FROM dirty_versions WHERE bucket = %(source)s)),
    objects_made AS (
        INSERT INTO objects (bucket, key, manifest, {MANIFEST_COLUMNS})
        SELECT %(number)s, o.key, o.manifest, {_of("o")} FROM objects o JOIN same s ON s.bucket = o.bucket ORDER BY o.key),
    versions_made AS (
        INSERT INTO {PAST} (bucket, key, seq, manifest, {MANIFEST_COLUMNS})
        SELECT %(number)s, v.key, v.seq, v.manifest, {_of("v")} FROM versions v JOIN same s ON s.bucket = v.bucket)
    SELECT objects FROM same
"""
#: Of objects and of versions: what the source has under the same key with the same manifest.
_COPY_OBJECTS: Final = f"""
    INSERT INTO objects (bucket, key, manifest, {MANIFEST_COLUMNS})
    SELECT %(number)s, f.key, f.manifest, {_of("o")}
    FROM {_FORKING} f JOIN objects o ON o.bucket = %(source)s AND o.key = f.key AND o.manifest = f.manifest
    WHERE f.seq IS NULL
"""
_COPY_VERSIONS: Final = f"""
    INSERT INTO {PAST} (bucket, key, seq, manifest, {MANIFEST_COLUMNS})
    SELECT %(number)s, f.key, f.seq, f.manifest, {_of("v")}
    FROM {_FORKING} f
    JOIN versions v ON v.bucket = %(source)s AND v.key = f.key AND v.seq = f.seq AND v.manifest = f.manifest
"""
_DROP_COPIED: Final = f"""
    DELETE FROM {_FORKING} f USING {{made}} m
    WHERE m.bucket = %(number)s AND m.key = f.key AND {{same}}
"""
_NEXT: Final = f"""
    SELECT key, seq, manifest FROM {_FORKING} WHERE (key, coalesce(seq, -1)) > (%s, %s)
    ORDER BY key, coalesce(seq, -1) LIMIT %s
"""


class Place(NamedTuple):
    """A key, or a version under it, and the manifest that the forked commit has there; `seq` is None for an object."""

    key: str
    seq: int | None
    manifest: bytes


def begin(connection: Connection) -> None:
    """Make the table of this transaction that takes the versions."""
    connection.execute(f"CREATE TEMPORARY TABLE {PAST} (LIKE versions) ON COMMIT DROP")


def copy_current(connection: Connection, source: int, number: int, commit: bytes) -> bool:
    """Take all rows of the source, if the commit is its newest and nothing was written since; whether that is so.

    Where the rows are not as many as the commit says, none is taken.
    """
    asked = {"source": source, "number": number, "commit": commit}
    row = connection.execute(_COPY_CURRENT, asked).fetchone()
    if row is None:
        return False
    if one_row(connection, "SELECT count(*) FROM objects WHERE bucket = %s", (number,)) == row:
        return True
    connection.execute("DELETE FROM objects WHERE bucket = %s", (number,))
    connection.execute(f"DELETE FROM {PAST}")
    return False


def stage(connection: Connection, objects: Iterable[tuple[bytes, bytes]], versions: Iterable[tuple[bytes, bytes]]) -> int:
    """Take the pairs of the two trees into a table of this transaction; how many there are."""
    columns = 'key text COLLATE "C", seq bigint, manifest bytea'
    connection.execute(f"CREATE TEMPORARY TABLE {_FORKING} ({columns}) ON COMMIT DROP")
    count = _Count()
    copy_rows(connection, _FORKING, "key, seq, manifest", count.joined(_places(objects, versions)))
    connection.execute(f"ANALYZE {_FORKING}")  # nobody else does, of a temporary table
    return count.rows


def copy_from_source(connection: Connection, source: int, number: int) -> int:
    """Take the rows of the source that say the same; how many."""
    asked = {"source": source, "number": number}
    objects = connection.execute(_COPY_OBJECTS, asked).rowcount
    return int(objects + connection.execute(_COPY_VERSIONS, asked).rowcount)


def drop_copied(connection: Connection, number: int) -> None:
    """Forget the places that have their rows. Call it where there are others."""
    for made, same in (("objects", "f.seq IS NULL"), (PAST, "f.seq = m.seq")):
        connection.execute(_DROP_COPIED.format(made=made, same=same), {"number": number})


def next_places(connection: Connection, after: Place | None, limit: int) -> list[Place]:
    """The next places that have no row yet."""
    asked = ("", -2, limit) if after is None else (after.key, -1 if after.seq is None else after.seq, limit)
    return [Place._make(row) for row in connection.execute(_NEXT, asked, binary=True)]


def add_rows(connection: Connection, number: int, places: Sequence[tuple[Place, bytes]]) -> None:
    """Make the rows of places from the blocks of their manifests."""
    objects = [object_row(number, p.key.encode(), p.manifest, block) for p, block in places if p.seq is None]
    versions = [version_row(number, p.key.encode(), p.seq, p.manifest, block) for p, block in places if p.seq is not None]
    if objects:
        copy_objects(connection, "objects", objects)
    if versions:
        copy_versions(connection, PAST, versions)


def finish(connection: Connection, number: int) -> None:
    """Give the versions to the bucket, and place the objects above them."""
    connection.execute(f"INSERT INTO versions SELECT * FROM {PAST}")
    place_objects(connection, number)


class _Count:
    """Counts rows on their way."""

    def __init__(self) -> None:
        self.rows = 0

    def joined(self, rows: Iterable[bytes]) -> Iterable[bytes]:
        held: list[bytes] = []
        for row in rows:
            held.append(row)
            if len(held) == _JOINED:
                self.rows += _JOINED
                yield b"".join(held)
                held.clear()
        self.rows += len(held)
        yield b"".join(held)


def _places(objects: Iterable[tuple[bytes, bytes]], versions: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for key, cid in objects:
        yield binary.row(binary.data(key), binary.NULL, binary.data(cid))
    for stored, cid in versions:
        key, seq = split_version_key(stored)
        yield binary.row(binary.data(key), binary.int8(seq), binary.data(cid))
