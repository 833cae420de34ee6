"""Pages of keys, from the index alone, at a cost that depends only on the page.

Without a delimiter, a page is one range of an index. With one it is a loose index scan. That is a recursive query: each
step finds the next row, and after a common prefix it jumps past everything below the prefix ([LIST-4]).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.keys import TOP
from mstbucket.index.buckets import bucket_id

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

# --- the loose index scan, also of versions and of uploads ----------------------------------------------------------------

#: A column of each row `o` of a scan: where the delimiter starts behind the prefix, from 1; 0 where there is none.
CUT: Final = "strpos(substr(o.key, %(skip)s), %(delimiter)s) AS cut"
#: What a row `p` of `page` stands for: its key, or a common prefix.
ITEM: Final = "CASE WHEN p.cut = 0 THEN p.key ELSE left(p.key, %(before)s + p.cut) END"
#: The keys after row `p` are above this text.
PAST: Final = "CASE WHEN p.cut = 0 THEN p.key ELSE left(p.key, %(before)s + p.cut) || %(top)s END"


def loose_scan(next_row: str, first: str, later: str) -> str:
    """The WITH clause that makes `page`: its rows are those of *next_row*, numbered by `n` from 1; `limit` at most.

    Args:
        next_row: a SELECT of the least row for which the condition `{above}` holds. Among its columns are `o.key` and CUT.
        first: the condition on the first row.
        later: the condition on the row after row `p`; it makes use of PAST.
    """
    return f"""
    WITH RECURSIVE page AS (
        (SELECT 1 AS n, f.* FROM ({next_row.format(above=first)}) AS f)
        UNION ALL
        SELECT p.n + 1, f.* FROM page p CROSS JOIN LATERAL ({next_row.format(above=later)}) AS f
        WHERE p.n < %(limit)s
    )
    """


def scan_arguments(bucket: int, prefix: str, delimiter: str | None, limit: int) -> dict[str, object]:
    """What every query of a listing takes; those of a loose scan only with a delimiter."""
    arguments: dict[str, object] = {"bucket": bucket, "prefix": prefix, "end": prefix + TOP, "limit": limit}
    if delimiter:
        before = len(prefix) + len(delimiter) - 1  # characters in front of the place that `cut` counts from
        arguments |= {"delimiter": delimiter, "skip": len(prefix) + 1, "before": before, "top": TOP}
    return arguments


# --- objects -------------------------------------------------------------------------------------------------------------

_PLAIN: Final = """
    SELECT key, size, etag_text(etag) AS etag, modified, checksums, 0 AS cut FROM objects
    WHERE bucket = %(bucket)s AND key >= %(prefix)s AND key <= %(end)s AND key > %(after)s
    ORDER BY key LIMIT %(limit)s
"""
_NEXT: Final = f"""
    SELECT o.key, o.size, etag_text(o.etag) AS etag, o.modified, o.checksums, {CUT} FROM objects o
    WHERE o.bucket = %(bucket)s AND {{above}} AND o.key <= %(end)s ORDER BY o.key LIMIT 1
"""
_LOOSE: Final = f"""
    {loose_scan(_NEXT, "o.key >= %(prefix)s AND o.key > %(after)s", f"o.key > {PAST}")}
    SELECT {ITEM}, p.size, p.etag, p.modified, p.checksums, p.cut FROM page p ORDER BY p.n
"""
_WITH_CONTENT: Final = """
    SELECT key, size, modified, etag_text(etag), content FROM objects
    WHERE bucket = %s AND key >= %s AND key <= %s AND key > %s ORDER BY key LIMIT %s
"""


class ListedObject(NamedTuple):
    """An object of a page. Where `cut` is not 0, its key is a common prefix, and the rest says nothing."""

    key: str
    size: int
    etag: str
    modified: int
    checksums: Mapping[str, str] | None
    cut: int


class ObjectContent(NamedTuple):
    """An object with the CID of its body; `modified` is in ms since 1970."""

    key: str
    size: int
    modified: int
    etag: str
    content: bytes


def list_objects(
    db: Database, bucket: str, prefix: str, delimiter: str | None, after: str, limit: int
) -> list[ListedObject]:
    """The first `limit` keys and common prefixes above `after`, in key order; of keys with the prefix.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    with db.reading() as connection:
        arguments = scan_arguments(bucket_id(connection, bucket), prefix, delimiter, limit) | {"after": after}
        rows = connection.execute(_LOOSE if delimiter else _PLAIN, arguments, binary=True).fetchall()
    return list(map(ListedObject._make, rows))


def list_contents(db: Database, bucket: str, prefix: str, after: str, limit: int) -> list[ObjectContent]:
    """The first `limit` objects above `after` whose key has the prefix, in key order, with the CIDs of their bodies.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    with db.reading() as connection:
        arguments = (bucket_id(connection, bucket), prefix, prefix + TOP, after, limit)
        rows = connection.execute(_WITH_CONTENT, arguments, binary=True).fetchall()
    return list(map(ObjectContent._make, rows))
