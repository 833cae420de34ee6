"""Ranges of objects, as Python's slices count them."""

from __future__ import annotations

from mstbucket.errors import InvalidRange
from mstbucket.fsspec.listing import Source


def read_slice(source: Source, key: str, start: int | None, end: int | None, etag: str | None = None) -> bytes:
    """The bytes `[start:end]` of an object; every one is checked against its hash.

    Args:
        source: where the object is.
        key: the object.
        start, end: as in a slice: negative ones count from the end, None is the beginning or the end.
        etag: that the object has to have, or None for any.

    Raises:
        NotFound: there is no such object.
        PreconditionFailed: it has another ETag.
        CorruptionError: its bytes are missing or damaged.
    """
    if end is not None and (end < 0 or (start is not None and start < 0)):  # only the size says where that is
        info = source.head_object(key, if_match=etag)
        start, end, _ = slice(start, end).indices(info.size)
        etag = info.etag
    if end is not None and end <= (start or 0):
        source.head_object(key, if_match=etag)
        return b""
    span = _span(start, end)
    try:
        with source.get_object(key, range=span, if_match=etag) as reader:
            return reader.read()
    except InvalidRange:  # it starts behind the last byte
        return b""


def _span(start: int | None, end: int | None) -> str | None:
    if start is not None and start < 0:
        return f"bytes={start}"
    if end is not None:
        return f"bytes={start or 0}-{end - 1}"
    return None if not start else f"bytes={start}-"
