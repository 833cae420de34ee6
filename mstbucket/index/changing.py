"""Many keys of a bucket change at once: the rows wait where nobody sees them, and take their places by a few statements.

    1. `stage` takes the rows, and what was seen of their keys, into tables of the transaction. Nobody waits for that.
    2. Alone in the bucket, `find_late` tells which keys were written since, and `leave` takes those out.
    3. `replace` does to the rest what puts and deletes do, for all keys together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.index.rows import MANIFEST_COLUMNS
from mstbucket.index.staging import copy_objects, copy_rows, copy_versions
from mstbucket.index.tx import Tx
from mstbucket.pg import binary
from mstbucket.pg.queries import own_table

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_STEPS: Final = own_table("steps")  # a key that changes
_SEEN: Final = own_table("seen")  # what was dirty when the changes were made ready
_FRESH: Final = own_table("fresh")  # the objects that come
_MARKERS: Final = own_table("markers")  # the delete markers that come
_TABLES: Final = (
    f'CREATE TEMPORARY TABLE {_STEPS} (key text COLLATE "C", was bytea, archive bigint, gone bigint, next bigint) '
    "ON COMMIT DROP",
    f'CREATE TEMPORARY TABLE {_SEEN} (key text COLLATE "C", seq bigint, generation bigint) ON COMMIT DROP',
    f"CREATE TEMPORARY TABLE {_FRESH} (LIKE objects) ON COMMIT DROP",
    f"CREATE TEMPORARY TABLE {_MARKERS} (LIKE versions) ON COMMIT DROP",
)
_PLACES: Final = """
    SELECT t.key, o.manifest IS NOT NULL, coalesce(o.seq, 1), o.version_id IS NULL, next_seq(%(bucket)s, t.key), n.seq
    FROM unnest(%(keys)s) AS t (key) LEFT JOIN objects o ON o.bucket = %(bucket)s AND o.key = t.key
    LEFT JOIN versions n ON version_place(n.bucket, n.key, n.version_id) = version_place(%(bucket)s, t.key, NULL)
"""
_LATE: Final = f"""
    SELECT d.key FROM dirty d WHERE d.bucket = %(bucket)s AND NOT EXISTS (
        SELECT FROM {_SEEN} s WHERE s.key = d.key AND s.seq IS NULL AND s.generation = d.generation)
    UNION SELECT d.key FROM dirty_versions d WHERE d.bucket = %(bucket)s AND NOT EXISTS (
        SELECT FROM {_SEEN} s WHERE s.key = d.key AND s.seq = d.seq AND s.generation = d.generation)
    UNION SELECT s.key FROM {_STEPS} s LEFT JOIN objects o ON o.bucket = %(bucket)s AND o.key = s.key
        WHERE o.manifest IS DISTINCT FROM s.was
    LIMIT %(limit)s
"""
# As `make_way`, `put_marker` and `add_objects` do it for one key, in their order.
_REPLACE: Final = (
    f"""
    INSERT INTO versions (bucket, key, seq, manifest, {MANIFEST_COLUMNS})
    SELECT o.bucket, o.key, s.archive, o.manifest, {", ".join(f"o.{name}" for name in MANIFEST_COLUMNS.split(", "))}
    FROM {_STEPS} s JOIN objects o ON o.bucket = %(bucket)s AND o.key = s.key WHERE s.archive IS NOT NULL
    """,
    f"DELETE FROM versions v USING {_STEPS} s WHERE v.bucket = %(bucket)s AND v.key = s.key AND v.seq = s.gone",
    f"DELETE FROM objects o USING {_STEPS} s WHERE o.bucket = %(bucket)s AND o.key = s.key",
    f"INSERT INTO versions SELECT * FROM {_MARKERS}",
    f"INSERT INTO objects SELECT * FROM {_FRESH}",
)
_LOCK: Final = f"""
    SELECT lock_by_default(%s, array_agg(key), array_agg(version_id)) FROM {_FRESH} HAVING count(*) > 0
"""


_LOOK_AGAIN: Final = (
    f"SELECT mark_dirty(%(bucket)s, array_agg(key)) FROM {_STEPS} WHERE key = ANY (%(keys)s) HAVING count(*) > 0",
    f"""
    SELECT mark_version_dirty(%(bucket)s, s.key, n.seq)
    FROM {_STEPS} s CROSS JOIN LATERAL (VALUES (s.archive), (s.gone), (s.next)) AS n (seq)
    WHERE s.key = ANY (%(keys)s) AND n.seq IS NOT NULL
    """,
)


class Place(NamedTuple):
    """What a key has in a bucket that keeps versions.

    Attributes:
        present: whether it has a current object; `seq` and `null` are those of that, and its version is the null version.
        next: the number of the next version.
        null_seq: the number of the null version among those that are not current; None where there is none.
    """

    present: bool
    seq: int
    null: bool
    next: int
    null_seq: int | None


def places(connection: Connection, bucket: int, keys: Sequence[str]) -> dict[str, Place]:
    """The place of each key."""
    asked = {"bucket": bucket, "keys": binary.text_array(keys)}
    return {key: Place(*place) for key, *place in connection.execute(_PLACES, asked, binary=True)}


def step_row(key: str, was: bytes | None, archive: int | None, gone: int | None, number: int | None) -> bytes:
    """A row of a key that changes.

    Args:
        was: the manifest of its current object.
        archive: the number under which that stays as a version.
        gone: the number of a version that goes.
        number: that of the new version.
    """
    numbers = (binary.NULL if one is None else binary.int8(one) for one in (archive, gone, number))
    return binary.row(binary.text(key), binary.data(was), *numbers)


def seen_row(key: str, seq: int | None, generation: int) -> bytes:
    """A row of what was dirty: a version by its number, an object by None."""
    return binary.row(binary.text(key), binary.NULL if seq is None else binary.int8(seq), binary.int8(generation))


def stage(
    connection: Connection, steps: Iterable[bytes], seen: Iterable[bytes], objects: Iterable[bytes], markers: Iterable[bytes]
) -> None:
    """Take the rows, as the functions above, `staging.object_row` and `staging.version_row` make them."""
    for statement in _TABLES:
        connection.execute(statement)
    copy_rows(connection, _STEPS, "key, was, archive, gone, next", steps)
    copy_rows(connection, _SEEN, "key, seq, generation", seen)
    copy_objects(connection, _FRESH, objects)
    copy_versions(connection, _MARKERS, markers)
    connection.execute(f"UPDATE {_FRESH} f SET seq = s.next FROM {_STEPS} s WHERE s.key = f.key AND s.next IS NOT NULL")
    for table in (_STEPS, _SEEN):
        connection.execute(f"ANALYZE {table}")  # nobody else does, of a temporary table


def find_late(tx: Tx, limit: int) -> list[str]:
    """The first *limit* keys that are not as they were when the changes were made ready. The transaction is alone."""
    rows = tx.connection.execute(_LATE, {"bucket": tx.bucket, "limit": limit}, binary=True)
    return sorted((str(key) for (key,) in rows), key=str.encode)


def leave(tx: Tx, keys: Sequence[str]) -> bool:
    """Leave these keys as they are; whether any of them was to change.

    All that would have changed of them is marked dirty: a fold may hold it already, and has to look again.
    """
    if not keys:
        return False
    asked = {"bucket": tx.bucket, "keys": binary.text_array(keys)}
    for statement in _LOOK_AGAIN:
        tx.connection.execute(statement, asked)
    for table in (_FRESH, _MARKERS):
        tx.connection.execute(f"DELETE FROM {table} WHERE key = ANY (%(keys)s)", asked)
    return bool(tx.connection.execute(f"DELETE FROM {_STEPS} WHERE key = ANY (%(keys)s)", asked).rowcount)


def replace(tx: Tx) -> None:
    """Change the rows of all keys that are left. None is marked dirty: the caller's commit has them."""
    for statement in _REPLACE:
        tx.connection.execute(statement, {"bucket": tx.bucket})
    if tx.versioning == "Enabled":
        tx.connection.execute(_LOCK, (tx.bucket,))  # [LOCK-4]
