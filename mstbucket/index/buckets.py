"""Buckets as such: make, remove, list, find."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, NamedTuple

from mstbucket.core.cid import to_text
from mstbucket.core.commit import Commit
from mstbucket.core.times import moment
from mstbucket.errors import NoSuchBucket
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx
from mstbucket.model.buckets import BucketInfo
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


class _Row(NamedTuple):
    """A bucket as a listing shows it; `dirty` counts the changes that no commit holds."""

    name: str
    identity: str
    created: int
    commit: bytes | None
    seq: int
    dirty: int


# --- making and removing ------------------------------------------------------------------------------------------


def insert(connection: Connection, name: str, identity: str) -> None:
    """Make an empty bucket.

    Raises:
        BucketAlreadyExists: there is one of that name.
    """
    connection.execute("SELECT create_bucket(%s, %s, now_ms())", (name, identity))


def begin_object_lock(connection: Connection, name: str) -> None:
    """Enable versioning and object lock for a bucket that is still empty, without a default retention."""
    connection.execute("SELECT set_versioning(%s, 'Enabled')", (name,))
    connection.execute("SELECT lock_bucket(%s, NULL, NULL, NULL)", (name,))


def reserve_number(db: Database) -> int:
    """A row number that no bucket has, for `insert_imported`. It is not given again."""
    with db.connection() as connection:
        return int(one_row(connection, "SELECT nextval(pg_get_serial_sequence('mstbucket.buckets', 'id'))")[0])


def insert_imported(connection: Connection, number: int, name: str, cid: bytes, commit: Commit) -> Tx:
    """Take the barrier, and make a bucket of a commit that was made elsewhere. *number* was reserved.

    Raises:
        BucketAlreadyExists: there is one of that name.
    """
    query = "SELECT import_bucket(%s, %s, %s, now_ms(), %s, %s)"
    (epoch,) = one_row(connection, query, (number, name, commit.bucket, cid, commit.seq))
    if commit.tags:  # [TAG-8]
        connection.execute("UPDATE buckets SET tags = %s WHERE id = %s", (json_of(commit.tags), number))
    if commit.versioning is not None:  # [VSN-9]
        connection.execute("UPDATE buckets SET versioning = %s WHERE id = %s", (commit.versioning, number))
    return Tx(connection, epoch, number, commit.versioning, None)


def delete(db: Database, name: str) -> None:
    """Remove an empty bucket, after the writers inside it have ended.

    Raises:
        NoSuchBucket, BucketNotEmpty: it is not there, or not empty. Nothing was done.
    """
    with db.connection() as connection:
        connection.execute("SELECT delete_bucket(%s)", (name,))


# --- finding --------------------------------------------------------------------------------------------------------


def list_all(db: Database) -> list[BucketInfo]:
    """Every bucket, by name."""
    return _infos(db, "true", ())


def find(db: Database, name: str) -> BucketInfo:
    """One bucket by name.

    Raises:
        NoSuchBucket: there is none.
    """
    found = _infos(db, "b.name = %s", (name,))
    if not found:
        raise no_such_bucket(name)
    return found[0]


def _infos(db: Database, condition: LiteralString, arguments: tuple[str, ...]) -> list[BucketInfo]:
    query = f"""
        SELECT b.name, b.identity, b.created, b.commit, b.seq,
               (SELECT count(*) FROM dirty d WHERE d.bucket = b.id)
               + (SELECT count(*) FROM dirty_versions d WHERE d.bucket = b.id) + (b.tags_dirty IS NOT NULL)::integer
        FROM buckets b WHERE {condition} ORDER BY b.name
    """
    with db.reading() as connection:
        rows = [_Row._make(row) for row in connection.execute(query, arguments, binary=True)]
    return [
        BucketInfo(
            row.name,
            row.identity,
            moment(row.created),
            None if row.commit is None else to_text(row.commit),
            row.seq,
            row.dirty,
        )
        for row in rows
    ]


def exists(db: Database, name: str) -> bool:
    """Whether there is a bucket of that name, by now."""
    with db.reading() as connection:
        return connection.execute("SELECT 1 FROM buckets WHERE name = %s", (name,)).fetchone() is not None


def require(db: Database, name: str) -> None:
    """Raise `NoSuchBucket` unless there is a bucket of that name."""
    with db.reading() as connection:
        bucket_id(connection, name)


def bucket_id(connection: Connection, name: str) -> int:
    """The row number of a bucket by name.

    Raises:
        NoSuchBucket: there is none.
    """
    row = connection.execute("SELECT id FROM buckets WHERE name = %s", (name,)).fetchone()
    if row is None:
        raise no_such_bucket(name)
    return int(row[0])


def no_such_bucket(name: str) -> NoSuchBucket:
    """The error for a bucket that is not there."""
    return NoSuchBucket(f"there is no bucket named {name!r}").about(bucket=name)
