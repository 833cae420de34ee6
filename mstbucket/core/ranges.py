"""Byte ranges in S3's (that is RFC 9110's) spelling."""

from __future__ import annotations

import re
from typing import Final

from mstbucket.errors import InvalidInput, InvalidRange

_ONE: Final = re.compile(r"\s*([0-9]*)\s*-\s*([0-9]*)\s*")


def parse_range(text: str, size: int) -> tuple[int, int]:
    """Return the half-open range (start, stop) of an object of `size` bytes that `text` asks for.

    `bytes=0-9` is the first ten, `bytes=10-` all from the eleventh, `bytes=-10` the last ten; an end past the object is
    cut to it. Several ranges give the whole object, as S3 does.

    Raises:
        InvalidRange: no byte of the object lies in it (an empty object has none).
        InvalidInput: it is not a range at all.
    """
    unit, equals, spec = text.partition("=")
    parts = [_ONE.fullmatch(part) for part in spec.split(",")]
    if unit.strip() != "bytes" or not equals or any(part is None or part.groups() == ("", "") for part in parts):
        raise InvalidInput(f"{text!r} is not a byte range: write it as 'bytes=0-9', 'bytes=10-' or 'bytes=-10'")
    if len(parts) > 1:
        return 0, size
    assert parts[0] is not None
    first, last = parts[0].groups()
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), size if last == "" else min(int(last) + 1, size)
        if last != "" and int(last) < start:
            raise InvalidInput(f"{text!r} is not a byte range: it ends before it starts")
    if start >= stop:
        raise InvalidRange(f"range {text!r} lies outside the object, which has {size} bytes")
    return start, stop
