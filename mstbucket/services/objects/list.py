"""Listing the current objects: pages with a token or with a marker, and all of them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from mstbucket.core.keys import check_text
from mstbucket.core.s3rules.listing import LastItem, common_prefix, page_size, read_token, write_token
from mstbucket.core.times import moment
from mstbucket.index.listing import ListedObject, ObjectContent, list_contents, list_objects
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.listings import MarkerPage, ObjectSummary, Page
from mstbucket.model.objects import checksum_type_of
from mstbucket.pg.database import Database

#: Finds the first rows of a listing: takes a prefix, a delimiter, what the rows are above, and how many there may be.
Rows = Callable[[str, str | None, str, int], list[ListedObject]]


def rows_of(db: Database, bucket: str) -> Rows:
    """The rows of the bucket's current objects."""
    return partial(list_objects, db, bucket)


def list_page(
    rows_from: Rows,
    *,
    prefix: str,
    delimiter: str | None,
    start_after: str | None,
    continuation_token: str | None,
    max_keys: int,
) -> Page:
    """One page; see `Bucket.list_objects` for the meaning of each argument."""
    check_text("start_after", start_after or "")
    after = start_after or ""
    if continuation_token is not None:  # [LIST-5] a token replaces start_after
        after = read_token(continuation_token).past
    found = _find(rows_from, prefix, delimiter, after, max_keys)
    last = found.last if found.truncated else None
    return Page(found.keys, found.prefixes, found.truncated, None if last is None else write_token(last))


def list_marked(
    rows_from: Rows, prefix: str, delimiter: str | None, marker: str | None, max_keys: int
) -> MarkerPage:
    """One page; see `Bucket.list_objects_v1` for the meaning of each argument."""
    after = marker or ""
    check_text("marker", after)
    around = common_prefix(after, prefix, delimiter)
    if around is not None:  # [MARK-1] the marker is, or lies in, a common prefix, which is not above it
        after = LastItem(around, True).past
    found = _find(rows_from, prefix, delimiter, after, max_keys)
    last = found.last if found.truncated and delimiter else None  # [MARK-2] as in S3: only with a delimiter
    return MarkerPage(found.keys, found.prefixes, found.truncated, None if last is None else last.text)


class _Found(NamedTuple):
    """A page, and the last thing it holds."""

    keys: tuple[ObjectSummary, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: LastItem | None


def _find(rows_from: Rows, prefix: str, delimiter: str | None, after: str, max_keys: int) -> _Found:
    """The keys with `prefix` above `after`, those with the delimiter as common prefixes: a page of either form."""
    for name, text in (("prefix", prefix), ("delimiter", delimiter or "")):
        check_text(name, text)
    wanted = page_size("max_keys", max_keys)
    # [LIST-3] one more than the page holds, so a page that fits exactly is not truncated
    rows = rows_from(prefix, delimiter, after, wanted + 1)
    if wanted == 0:
        return _Found((), (), False, None)
    truncated = len(rows) > wanted
    rows = rows[:wanted]
    keys = tuple(summary_of(row) for row in rows if row.cut == 0)
    prefixes = tuple(row.key for row in rows if row.cut != 0)
    return _Found(keys, prefixes, truncated, LastItem(rows[-1].key, rows[-1].cut != 0) if rows else None)


def summary_of(row: ListedObject) -> ObjectSummary:
    """What a listing shows of an object."""
    key, size, etag, modified, checksums, _ = row
    if not checksums:
        return ObjectSummary(key, size, etag, moment(modified))
    return ObjectSummary(key, size, etag, moment(modified), tuple(checksums), checksum_type_of(checksums))  # [LIST-6]


def iterate(rows_from: Rows, prefix: str) -> Iterator[ObjectSummary]:
    """Every key with `prefix`, in order, a page at a time.

    A key that is there from the first page to the last is given exactly once, whatever is written meanwhile.
    """
    token: str | None = None
    while True:
        page = list_page(
            rows_from,
            prefix=prefix,
            delimiter=None,
            start_after=None,
            continuation_token=token,
            max_keys=LIST_KEYS_MAX,
        )
        yield from page.contents
        token = page.next_continuation_token
        if token is None:
            return


def iterate_with_content(db: Database, bucket: str, prefix: str) -> Iterator[ObjectContent]:
    """As `iterate`, with the CID of each body, by which a sync compares: a listing does not show it.

    Raises:
        NoSuchBucket: the bucket has gone (also in the middle).
    """
    check_text("prefix", prefix)
    after = ""
    while True:
        rows = list_contents(db, bucket, prefix, after, LIST_KEYS_MAX)
        yield from rows
        if len(rows) < LIST_KEYS_MAX:
            return
        after = rows[-1].key
