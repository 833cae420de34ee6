"""The rows of a bucket become those of a later commit that was made elsewhere: what differs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mstbucket.core.commit import Commit
from mstbucket.index.commits import Head
from mstbucket.index.rows import json_of
from mstbucket.index.staging import COPY_OBJECTS, copy_rows
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
_REPLACE: Final = (
    f"DELETE FROM objects o USING {_CHANGED} c WHERE o.bucket = %(bucket)s AND o.key = c.key AND c.seq IS NULL",
    f"DELETE FROM versions v USING {_CHANGED} c WHERE v.bucket = %(bucket)s AND v.key = c.key AND v.seq = c.seq",
    f"INSERT INTO objects SELECT * FROM {_NEW_OBJECTS}",
    f"INSERT INTO versions SELECT * FROM {_NEW_VERSIONS}",
    f"""
    UPDATE objects o SET seq = (SELECT max(v.seq) + 1 FROM versions v WHERE v.bucket = o.bucket AND v.key = o.key)
    FROM (SELECT DISTINCT key FROM {_CHANGED}) c WHERE o.bucket = %(bucket)s AND o.key = c.key
    """,
)
_COPY_OBJECTS: Final = COPY_OBJECTS.replace("COPY objects", f"COPY {_NEW_OBJECTS}", 1)
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
    copy_rows(connection, f"COPY {_CHANGED} FROM STDIN (FORMAT binary)", changed)
    copy_rows(connection, _COPY_OBJECTS, objects)
    copy_rows(connection, f"COPY {_NEW_VERSIONS} FROM STDIN (FORMAT binary)", versions)


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


def replace(tx: Tx) -> None:
    """Make the rows of the bucket those that were staged."""
    for statement in _REPLACE:
        tx.connection.execute(statement, {"bucket": tx.bucket})


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
