"""Listing: pages of keys and common prefixes, from the index alone, at a cost that depends only on the page.

Without a delimiter a page is one index range scan. With one it is a loose index scan: a recursive query that finds the
next key, and after a common prefix jumps past everything below it instead of reading it ([LIST-4]).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from mstbucket.core.keys import TOP, check_text
from mstbucket.core.times import moment
from mstbucket.errors import InvalidInput, InvalidToken
from mstbucket.index.buckets import bucket_id
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.objects import MarkerPage, ObjectSummary, Page
from mstbucket.pg.database import Database

_PLAIN: Final = """
    SELECT key, size, etag, modified FROM objects
    WHERE bucket = %(bucket)s AND key >= %(prefix)s AND key <= %(end)s AND key > %(after)s
    ORDER BY key LIMIT %(limit)s
"""

# `item` is the key, or the common prefix where the row stands for one; `past` is what the next item must be above.
_LOOSE: Final = """
    WITH RECURSIVE page AS (
        (SELECT 1 AS n, f.* FROM
            (SELECT o.key, o.size, o.etag, o.modified, strpos(substr(o.key, %(skip)s), %(delimiter)s) AS cut
             FROM objects o WHERE o.bucket = %(bucket)s AND o.key >= %(prefix)s AND o.key <= %(end)s AND o.key > %(after)s
             ORDER BY o.key LIMIT 1) f)
        UNION ALL
        SELECT p.n + 1, f.* FROM page p CROSS JOIN LATERAL
            (SELECT o.key, o.size, o.etag, o.modified, strpos(substr(o.key, %(skip)s), %(delimiter)s) AS cut
             FROM objects o WHERE o.bucket = %(bucket)s AND o.key <= %(end)s
                AND o.key > CASE WHEN p.cut = 0 THEN p.key
                                 ELSE left(p.key, %(before)s + p.cut) || %(top)s END
             ORDER BY o.key LIMIT 1) f
        WHERE p.n < %(limit)s
    )
    SELECT CASE WHEN cut = 0 THEN key ELSE left(key, %(before)s + cut) END, size, etag, modified, cut FROM page ORDER BY n
"""


@dataclass(frozen=True, slots=True)
class _Item:
    """The last thing a page held; the next page starts above it."""

    text: str
    is_prefix: bool

    @property
    def past(self) -> str:
        return self.text + TOP if self.is_prefix else self.text


def list_page(
    db: Database,
    bucket: str,
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
        after = _read_token(continuation_token).past
    found = _find(db, bucket, prefix, delimiter, after, max_keys)
    last = found.last if found.truncated else None
    return Page(*found[:3], None if last is None else _write_token(last))


def list_marked(
    db: Database, bucket: str, prefix: str, delimiter: str | None, marker: str | None, max_keys: int
) -> MarkerPage:
    """One page; see `Bucket.list_objects_v1` for the meaning of each argument."""
    after = marker or ""
    check_text("marker", after)
    if delimiter and after.startswith(prefix):
        cut = after.find(delimiter, len(prefix))
        if cut >= 0:  # [MARK-1] the marker is, or lies in, a common prefix, which is not above it
            after = _Item(after[: cut + len(delimiter)], True).past
    found = _find(db, bucket, prefix, delimiter, after, max_keys)
    last = found.last if found.truncated and delimiter else None  # [MARK-2] as in S3: only with a delimiter
    return MarkerPage(*found[:3], None if last is None else last.text)


class _Found(NamedTuple):
    """A page, and the last thing it holds."""

    keys: tuple[ObjectSummary, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: _Item | None


def _find(db: Database, bucket: str, prefix: str, delimiter: str | None, after: str, max_keys: int) -> _Found:
    """Keys with `prefix` above `after`, rolled up at the delimiter; what both forms of the listing are made of."""
    for name, text in (("prefix", prefix), ("delimiter", delimiter or "")):
        check_text(name, text)
    if max_keys < 0:
        raise InvalidInput(f"max_keys is {max_keys}; it must be from 0 to {LIST_KEYS_MAX}")
    wanted = min(max_keys, LIST_KEYS_MAX)  # [LIST-2]
    with db.reading() as connection:
        arguments: dict[str, object] = {
            "bucket": bucket_id(connection, bucket),
            "prefix": prefix,
            "end": prefix + TOP,
            "after": after,
            "limit": wanted + 1,  # one more, so that `is_truncated` is exact at an exact fit ([LIST-3])
        }
        if wanted == 0:
            return _Found((), (), False, None)
        if delimiter:
            length = len(prefix)
            arguments |= {"delimiter": delimiter, "skip": length + 1, "top": TOP}
            # `cut` is the place of the delimiter's first character behind the prefix, counted from 1.
            arguments["before"] = length + len(delimiter) - 1
            rows = connection.execute(_LOOSE, arguments, binary=True).fetchall()
        else:
            rows = [(*row, 0) for row in connection.execute(_PLAIN, arguments, binary=True).fetchall()]
    truncated = len(rows) > wanted
    rows = rows[:wanted]
    keys = tuple(ObjectSummary(text, size, etag, moment(ms)) for text, size, etag, ms, cut in rows if cut == 0)
    prefixes = tuple(row[0] for row in rows if row[4] != 0)
    return _Found(keys, prefixes, truncated, _Item(rows[-1][0], rows[-1][4] != 0) if rows else None)


def iterate(db: Database, bucket: str, prefix: str) -> Iterator[ObjectSummary]:
    """Every key with `prefix`, in order, a page at a time.

    A key that is there from the first page to the last is given exactly once, whatever is written meanwhile.
    """
    token: str | None = None
    while True:
        page = list_page(
            db,
            bucket,
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


# --- continuation tokens: the exact last item, sealed against accidents (not against forgery: it grants nothing) ---------


def _write_token(item: _Item) -> str:
    payload = (b"p" if item.is_prefix else b"k") + item.text.encode()
    return base64.urlsafe_b64encode(_seal(payload) + payload).decode()


def _read_token(token: str) -> _Item:
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        seal, payload = raw[:6], raw[6:]
        text = payload[1:].decode()
    except ValueError as error:
        raise InvalidToken("the continuation token is damaged: start the listing again without one") from error
    if seal != _seal(payload) or payload[:1] not in (b"p", b"k"):
        raise InvalidToken("the continuation token was not made by this store: start the listing again without one")
    return _Item(text, payload[:1] == b"p")


def _seal(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=6, person=b"mstbucket-list").digest()
