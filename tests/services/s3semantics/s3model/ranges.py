"""Which bytes a request asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from s3model.errors import Refused


def span(wanted: str | None, size: int) -> tuple[int, int]:
    """RFC 9110, section 14.1.2: `bytes=FIRST-LAST`, `bytes=FIRST-`, `bytes=-COUNT`; None is all of it."""
    if wanted is None:
        return 0, size
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    assert found is not None
    first, last = found.groups()
    if first == "":
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), size if last == "" else min(int(last) + 1, size)
    if start >= stop:
        raise Refused("InvalidRange")
    return start, stop


def part_span(number: int, parts: Sequence[int]) -> tuple[int, int]:
    """The bytes of the part at this place, from 1, whatever its number was in the upload."""
    if number > len(parts):
        raise Refused("InvalidPartNumber")
    start = sum(parts[: number - 1])
    return start, start + parts[number - 1]
