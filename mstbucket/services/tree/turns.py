"""Flushes of one bucket that wait for each other ([FLUSH-11], [FLUSH-12])."""

from __future__ import annotations

from typing import Final

from mstbucket.index.buckets import no_such_bucket
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context

WAIT_SECONDS: Final = 60.0  # for another flush of the bucket; one that takes longer may be stopped, or hang
LOCK: Final = 0x6D7376  # class of advisory locks, with the id of the bucket that is being flushed; next to those of 0001


def before(context: Context, bucket: str) -> tuple[int, int]:
    """The bucket's row number, and the number of its commit before anything is done."""
    with context.db.reading() as connection:
        row = connection.execute("SELECT id, seq FROM buckets WHERE name = %s", (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    return int(row[0]), int(row[1])


def is_joined(context: Context, number: int, seq: int) -> bool:
    """Whether others have folded all that was dirty when the commit had the number *seq* ([FLUSH-12])."""
    query = "SELECT EXISTS (SELECT FROM commits WHERE bucket = %s AND seq >= %s AND whole)"
    with context.db.reading() as connection:
        return bool(one_row(connection, query, (number, seq + 2))[0])
