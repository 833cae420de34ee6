"""Tags: those of an object, in the row of its manifest; those of a bucket, in its own row until the next commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.find import Found
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


def retag(tx: Tx, key: str, found: Found, cid: bytes, tags: Mapping[str, str]) -> None:
    """Replace the tags in the row that was found, and its CID by that of the new manifest; mark the key dirty ([TAG-4]).

    The transaction has held the key since before it read the row.
    """
    if found.seq is None:
        tx.connection.execute("SELECT retag(%s, %s, %s, %s)", (tx.bucket, key, cid, json_of(tags)))
    else:
        query = "SELECT retag_version(%s, %s, %s, %s, %s)"
        tx.connection.execute(query, (tx.bucket, key, found.seq, cid, json_of(tags)))


def bucket_tags(db: Database, bucket: str) -> dict[str, str] | None:
    """The tags of a bucket; None where it has none.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    with db.reading() as connection:
        row = connection.execute("SELECT tags FROM buckets WHERE name = %s", (bucket,), binary=True).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    (tags,) = row
    return None if tags is None else dict(tags)


def tag_bucket(db: Database, bucket: str, tags: Mapping[str, str]) -> None:
    """Replace the tags of a bucket, durably, and mark them dirty ([TAG-6]).

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    with db.connection() as connection:
        connection.execute("SELECT tag_bucket(%s, %s)", (bucket, json_of(tags)))
