"""Versioning in the index: the state of a bucket, and what has to be true of the versions it has."""

from __future__ import annotations

from typing import Any

from mstbucket.index.buckets import no_such_bucket
from mstbucket.pg.database import Database


def state(db: Database, bucket: str) -> str | None:
    """The versioning of the bucket: Enabled, Suspended, or None where it was never set."""
    with db.reading() as connection:
        row = connection.execute("SELECT versioning FROM buckets WHERE name = %s", (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    return None if row[0] is None else str(row[0])


def check_history(connection: Any, bucket: int) -> str | None:
    """What is not true of the versions of a bucket, or None: every key without an object has a marker on top ([VSN-4])."""
    query = """
        SELECT v.key FROM versions v
        WHERE v.bucket = %(bucket)s AND v.content IS NOT NULL
            AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq)
            AND NOT EXISTS (SELECT FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)
        LIMIT 1
    """
    row = connection.execute(query, {"bucket": bucket}).fetchone()
    return None if row is None else f"key {row[0]!r} has versions, but neither an object nor a delete marker above them"
