"""Commits that no blob in the blob store names yet ([FLUSH-9])."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


class Unpublished(NamedTuple):
    """A commit that is to be published: the row number and the identity of its bucket, its sequence number, its CID."""

    bucket: int
    identity: str
    seq: int
    cid: bytes


def unpublished(db: Database, bucket: str) -> list[Unpublished]:
    """The commits of the bucket that are not published, the oldest first."""
    query = """
        SELECT b.id, b.identity, c.seq, c.cid FROM buckets b JOIN commits c ON c.bucket = b.id
        WHERE b.name = %s AND NOT c.published ORDER BY c.seq
    """
    with db.connection() as connection:
        return [Unpublished(*row) for row in connection.execute(query, (bucket,), binary=True)]


def mark_published(db: Database, commit: Unpublished) -> None:
    """Note that the blob of a commit is durable."""
    with db.connection() as connection:
        query = "UPDATE commits SET published = true WHERE bucket = %s AND seq = %s"
        connection.execute(query, (commit.bucket, commit.seq))
