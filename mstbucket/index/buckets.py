"""Buckets as such: make, remove, list, find; and the commits each has had."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from mstbucket.core import cid as cids
from mstbucket.core.commit import Commit
from mstbucket.core.commit import bucket_id as bucket_identity
from mstbucket.core.keys import check_bucket_name
from mstbucket.core.times import moment
from mstbucket.errors import NoSuchBucket
from mstbucket.index.rows import commit_info
from mstbucket.limits import SEQ_MAX
from mstbucket.model.objects import BucketInfo, CommitInfo
from mstbucket.pg.database import Database

_COMMITS_PAGE: Final = 1000  # rows of `log` fetched at a time


def create(db: Database, name: str, object_lock: bool) -> None:
    """Make an empty bucket, durably; `Store.create_bucket` says the rest."""
    check_bucket_name(name)

    def work(connection: Any) -> None:
        connection.execute("SELECT create_bucket(%s, %s, now_ms())", (name, bucket_identity(secrets.token_bytes(16))))
        if object_lock:
            connection.execute("SELECT set_versioning(%s, 'Enabled')", (name,))
            connection.execute("SELECT lock_bucket(%s, NULL, NULL, NULL)", (name,))

    db.run(work)


def delete(db: Database, name: str) -> None:
    """Remove an empty bucket, after the writers inside it have ended."""
    with db.connection() as connection:
        connection.execute("SELECT delete_bucket(%s)", (name,))


def list_all(db: Database) -> list[BucketInfo]:
    """Every bucket, by name."""
    query = """
        SELECT b.name, b.identity, b.created, b.commit, b.seq,
               (SELECT count(*) FROM dirty d WHERE d.bucket = b.id)
               + (SELECT count(*) FROM dirty_versions d WHERE d.bucket = b.id) + (b.tags_dirty IS NOT NULL)::integer
        FROM buckets b ORDER BY b.name
    """
    with db.reading() as connection:
        rows = connection.execute(query, binary=True).fetchall()
    return [
        BucketInfo(name, identity, moment(created), None if commit is None else cids.to_text(commit), seq, dirty)
        for name, identity, created, commit, seq, dirty in rows
    ]


def exists(db: Database, name: str) -> bool:
    """Whether there is a bucket of that name, by now."""
    with db.reading() as connection:
        return connection.execute("SELECT 1 FROM buckets WHERE name = %s", (name,)).fetchone() is not None


def require(db: Database, name: str) -> None:
    """Raise `NoSuchBucket` unless there is a bucket of that name."""
    with db.reading() as connection:
        bucket_id(connection, name)


def bucket_id(connection: Any, name: str) -> int:
    """The row id of a bucket by name."""
    row = connection.execute("SELECT id FROM buckets WHERE name = %s", (name,)).fetchone()
    if row is None:
        raise no_such_bucket(name)
    return int(row[0])


def no_such_bucket(name: str) -> NoSuchBucket:
    """The error for a bucket that is not there."""
    return NoSuchBucket(f"there is no bucket named {name!r}")


def commits(db: Database, name: str) -> Iterator[CommitInfo]:
    """The bucket's commits known to this store, newest first."""
    query = """
        SELECT b.identity, c.cid, c.prev, c.name, c.seq, c.tree, c.versions, c.time, c.objects, c.bytes
        FROM buckets b JOIN commits c ON c.bucket = b.id
        WHERE b.id = %s AND c.seq <= %s ORDER BY c.seq DESC LIMIT %s
    """
    last = SEQ_MAX
    with db.reading() as connection:
        bucket = bucket_id(connection, name)
    while True:
        with db.reading() as connection:
            rows = connection.execute(query, (bucket, last, _COMMITS_PAGE), binary=True).fetchall()
        for identity, cid, prev, called, *row in rows:
            yield commit_info(cid, identity, called, row, prev)
        if len(rows) < _COMMITS_PAGE:
            return
        last = rows[-1][4] - 1


def current_commit(db: Database, name: str) -> CommitInfo | None:
    """The newest commit, or None before the first flush."""
    return next(commits(db, name), None)


def insert_commit(connection: Any, bucket: int, cid: bytes, commit: Commit, whole: bool) -> None:
    """Record a commit of the bucket with row number `bucket`, inside the caller's transaction; not published yet.

    `whole` says whether it holds everything that was dirty when its snapshot was taken.
    """
    c = commit
    connection.execute(
        "INSERT INTO commits (bucket, seq, cid, prev, name, tree, versions, time, objects, bytes, whole) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (bucket, c.seq, cid, c.prev, c.name, c.tree, c.versions, c.time, c.objects, c.bytes, whole),
    )
