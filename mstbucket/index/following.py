"""The rows of a bucket become those of a later commit that was made elsewhere: what differs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.commit import Commit
from mstbucket.index.commits import Head
from mstbucket.index.rows import json_of
from mstbucket.index.staging import copy_objects, copy_rows, copy_versions
from mstbucket.index.tx import Tx
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row, own_table

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_NEW_OBJECTS: Final = own_table("new_objects")
_NEW_VERSIONS: Final = own_table("new_versions")
_CHANGED: Final = own_table("changed")
_TABLES: Final = (
    f"CREATE TEMPORARY TABLE {_NEW_OBJECTS} (LIKE objects) ON COMMIT DROP",
    f"CREATE TEMPORARY TABLE {_NEW_VERSIONS} (LIKE versions) ON COMMIT DROP",
    f'CREATE TEMPORARY TABLE {_CHANGED} (key text COLLATE "C", seq bigint) ON COMMIT DROP',
)
# Rows are found one by one, each by its key, and then by their places. A join would be left to what the server believes of
# tables that were filled a moment ago: with a few changes, or before its statistics are made, it may read all of the bucket.
_OBJECT: Final = """LATERAL (
    SELECT o.ctid, o.key, o.seq, o.version_id FROM objects o WHERE o.bucket = %(bucket)s AND o.key = c.key LIMIT 1) o"""
_KEYS: Final = f"(SELECT DISTINCT key FROM {_CHANGED}) c, {_OBJECT}"
_SAME_ID: Final = "version_place(v.bucket, v.key, v.version_id) = version_place"
_DROP_OBJECTS: Final = f"""
    DELETE FROM objects WHERE ctid = ANY (ARRAY(SELECT o.ctid FROM {_CHANGED} c, {_OBJECT} WHERE c.seq IS NULL))
"""
_ADD_OBJECTS: Final = f"INSERT INTO objects SELECT * FROM {_NEW_OBJECTS}"
_DROP_VERSIONS: Final = f"""
    DELETE FROM versions WHERE ctid = ANY (ARRAY(SELECT v.ctid FROM {_CHANGED} c, LATERAL (
        SELECT v.ctid FROM versions v WHERE v.bucket = %(bucket)s AND v.key = c.key AND v.seq = c.seq LIMIT 1) v))
"""
_ADD_VERSIONS: Final = f"INSERT INTO versions SELECT * FROM {_NEW_VERSIONS}"
_TAKE_OBJECTS: Final = f"""
    WITH taken AS (DELETE FROM objects WHERE ctid = ANY (ARRAY(
        SELECT o.ctid FROM {_KEYS} WHERE o.seq IS DISTINCT FROM (
            SELECT max(v.seq) + 1 FROM versions v WHERE v.bucket = %(bucket)s AND v.key = c.key))) RETURNING *)
    INSERT INTO {_NEW_OBJECTS} SELECT * FROM taken
"""
_PLACE_OBJECTS: Final = f"""
    UPDATE {_NEW_OBJECTS} n SET seq = (SELECT max(v.seq) + 1 FROM versions v WHERE v.bucket = %(bucket)s AND v.key = n.key)
"""
# [VSN-2] Before the new versions are added: those among them, and those against what stays. Behind: those against objects.
_TWICE_NEW: Final = f"SELECT key, version_id FROM {_NEW_VERSIONS} GROUP BY key, version_id HAVING count(*) > 1 LIMIT 1"
_TWICE: Final = f"""
    SELECT n.key, n.version_id FROM {_NEW_VERSIONS} n, LATERAL (
        SELECT FROM versions v WHERE {_SAME_ID}(n.bucket, n.key, n.version_id) LIMIT 1) v LIMIT 1
"""
_TWICE_ON_TOP: Final = f"""
    SELECT o.key, o.version_id FROM {_KEYS}, LATERAL (
        SELECT FROM versions v WHERE {_SAME_ID}(%(bucket)s, o.key, o.version_id) LIMIT 1) v LIMIT 1
"""
# [VSN-4]
_NOTHING_ABOVE: Final = f"""
    SELECT c.key FROM (SELECT DISTINCT key FROM {_CHANGED}) c, LATERAL (
        SELECT v.content FROM versions v WHERE v.bucket = %(bucket)s AND v.key = c.key ORDER BY v.seq DESC LIMIT 1) n
    WHERE n.content IS NOT NULL
        AND (SELECT o.key FROM objects o WHERE o.bucket = %(bucket)s AND o.key = c.key LIMIT 1) IS NULL LIMIT 1
"""
_MOVE: Final = """
    UPDATE buckets SET commit = %(commit)s, seq = %(seq)s, tags = %(tags)s, versioning = %(versioning)s
    WHERE id = %(bucket)s AND commit = %(old)s AND tags_dirty IS NULL
"""


def changed_row(key: bytes, seq: int | None) -> bytes:
    """A row of `changed`: a key whose object is another or gone, or a version that is, with its number."""
    return binary.row(binary.data(key), binary.NULL if seq is None else binary.int8(seq))


def stage(
    connection: Connection, changed: Iterable[bytes], objects: Iterable[bytes], versions: Iterable[bytes]
) -> None:
    """Take the rows, as `changed_row`, `staging.object_row` and `staging.version_row` make them, where nobody sees them."""
    for statement in _TABLES:
        connection.execute(statement)
    copy_rows(connection, _CHANGED, "key, seq", changed)
    copy_objects(connection, _NEW_OBJECTS, objects)
    copy_versions(connection, _NEW_VERSIONS, versions)


def is_dirty(tx: Tx) -> bool:
    """Whether something was written to the bucket that is in no commit yet."""
    query = """
        SELECT EXISTS (SELECT FROM dirty d WHERE d.bucket = b.id) OR tags_dirty IS NOT NULL
            OR EXISTS (SELECT FROM dirty_versions d WHERE d.bucket = b.id) FROM buckets b WHERE id = %s
    """
    return bool(one_row(tx.connection, query, (tx.bucket,))[0])


def has_object_lock(tx: Tx) -> bool:
    """Whether the bucket protects versions."""
    return bool(one_row(tx.connection, "SELECT object_lock FROM buckets WHERE id = %s", (tx.bucket,))[0])


class BreachKind(Enum):
    """What is not true of the versions of a key."""

    TWO_VERSIONS = "two versions of one id"
    TWO_NULL_VERSIONS = "two null versions"
    NOTHING_ABOVE = "its newest version is noncurrent, and no delete marker"


class Breach(NamedTuple):
    """A key whose versions are no history ([VER-21])."""

    key: str
    kind: BreachKind


def replace_objects(tx: Tx) -> None:
    """Make the rows of a bucket that has no versions, neither before nor afterwards, those that were staged."""
    _run(tx, _DROP_OBJECTS, _ADD_OBJECTS)


def replace(tx: Tx) -> Breach | None:
    """Make the rows of the bucket those that were staged, and judge the versions of their keys side by side.

    It reads rows of the keys that change, and no others. After a breach the transaction must not be committed.
    """
    _run(tx, _DROP_OBJECTS, _DROP_VERSIONS)
    breach = _twice(tx, _TWICE_NEW) or _twice(tx, _TWICE)
    if breach is not None:
        return breach
    _run(tx, _ADD_VERSIONS, _TAKE_OBJECTS, _PLACE_OBJECTS, _ADD_OBJECTS)
    breach = _twice(tx, _TWICE_ON_TOP)
    if breach is not None:
        return breach
    alone = tx.connection.execute(_NOTHING_ABOVE, {"bucket": tx.bucket}).fetchone()
    return None if alone is None else Breach(alone[0], BreachKind.NOTHING_ABOVE)


def _run(tx: Tx, *statements: str) -> None:
    for statement in statements:
        tx.connection.execute(statement, {"bucket": tx.bucket})


def _twice(tx: Tx, query: str) -> Breach | None:
    row = tx.connection.execute(query, {"bucket": tx.bucket}).fetchone()
    if row is None:
        return None
    key, version = row
    return Breach(key, BreachKind.TWO_NULL_VERSIONS if version is None else BreachKind.TWO_VERSIONS)


def move(tx: Tx, head: Head, cid: bytes, commit: Commit) -> bool:
    """Move the bucket from *head* to a commit made elsewhere. If *head* is no longer the newest, change nothing: False."""
    asked = {
        "commit": cid, "seq": commit.seq, "tags": json_of(commit.tags) if commit.tags else None,
        "versioning": commit.versioning, "bucket": tx.bucket, "old": head.commit,
    }  # fmt: skip
    return tx.connection.execute(_MOVE, asked).rowcount == 1


def buckets_at(db: Database, commit: bytes) -> list[str]:
    """The names of the buckets of which this is the newest commit."""
    query = "SELECT name FROM buckets WHERE commit = %s ORDER BY name"
    with db.reading() as connection:
        return [str(name) for (name,) in connection.execute(query, (commit,))]
