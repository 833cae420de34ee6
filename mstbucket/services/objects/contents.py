"""A bucket's current objects as `sync` compares them: with the CID of the body, which a listing does not show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mstbucket.core.keys import TOP, check_text
from mstbucket.index.buckets import bucket_id
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.pg.database import Database

_PAGE: Final = """
    SELECT key, size, modified, etag, content FROM objects
    WHERE bucket = %s AND key >= %s AND key <= %s AND key > %s ORDER BY key LIMIT %s
"""


def contents(db: Database, bucket: str, prefix: str) -> Iterator[tuple[str, int, int, str, bytes]]:
    """Yield key, size, time of modification in milliseconds, ETag and CID of every object whose key has that prefix.

    In key order, a page at a time. A key that is there from the first page to the last is given exactly once.

    Raises:
        NoSuchBucket: the bucket has gone (also in the middle).
    """
    check_text("prefix", prefix)
    after = ""
    while True:
        with db.reading() as connection:
            arguments = (bucket_id(connection, bucket), prefix, prefix + TOP, after, LIST_KEYS_MAX)
            rows = connection.execute(_PAGE, arguments, binary=True).fetchall()
        yield from rows
        if len(rows) < LIST_KEYS_MAX:
            return
        after = rows[-1][0]
