"""Which bytes of an object a read asks for: byte ranges as RFC 9110 writes them, and parts by their number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mstbucket.errors import InvalidInput, InvalidPartNumber, InvalidRange

_UNIT: Final = "bytes"
_OWS: Final = " \t"  # RFC 9110, section 5.6.3
_ONE: Final = re.compile(r"([0-9]*)-([0-9]*)")
_DIGITS: Final = 20  # more of them than any size has; Python would refuse to read 5,000


def parse_range(text: str, size: int) -> tuple[int, int]:
    """Return the half-open range (start, stop) of an object of `size` bytes that `text` asks for.

    `bytes=0-9` is the first ten, `bytes=10-` all from the eleventh, `bytes=-10` the last ten; an end past the object is
    cut to it. Several ranges give the whole object, as S3 does.

    Raises:
        InvalidRange: no byte of the object lies in it (an empty object has none).
        InvalidInput: it is not a range at all.
    """
    unit, _, members = text.partition("=")
    specs = [spec for member in members.split(",") if (spec := member.strip(_OWS))]  # [GET-5] empty ones do not count
    ranges = [_one(spec) for spec in specs]
    if unit.lower() != _UNIT or not ranges or None in ranges:
        raise InvalidInput(f"{text[:80]!r} is not a byte range: write it as 'bytes=0-9', 'bytes=10-' or 'bytes=-10'")
    if len(ranges) > 1:
        return 0, size
    assert ranges[0] is not None
    first, last = ranges[0]
    if first is None:
        assert last is not None
        start, stop = max(size - last, 0), size
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    if start >= stop:
        raise InvalidRange(f"range {text[:80]!r} lies outside the object, which has {size} bytes")
    return start, stop


def part_range(number: int, parts: Sequence[int]) -> tuple[int, int]:
    """The half-open range of the part at place `number`, counted from 1, of an object with parts of these sizes.

    An object that came by a single put has one part ([MPU-16]).
    """
    if number < 1:
        raise InvalidInput(f"part number {number} is not a part number: they start at 1")
    if number > len(parts):
        raise InvalidPartNumber(f"part {number} was asked for of an object that has {len(parts)}")
    start = sum(parts[: number - 1])
    return start, start + parts[number - 1]


def _one(spec: str) -> tuple[int | None, int | None] | None:
    """First and last byte of one range, or None where it is none; without a first one, the last is a number of bytes."""
    found = _ONE.fullmatch(spec)
    if found is None or spec == "-":
        return None
    first, last = (_number(digits) for digits in found.groups())
    return None if first is not None and last is not None and last < first else (first, last)


def _number(digits: str) -> int | None:
    return int(digits.lstrip("0")[:_DIGITS] or "0") if digits else None
