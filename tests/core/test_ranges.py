"""[GET-4] [GET-5] Byte ranges as RFC 9110 writes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.s3rules.ranges import parse_range
from mstbucket.errors import InvalidInput, InvalidRange

SIZE = 10_000
WHOLE = (0, SIZE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-499", (0, 500)),
        ("bytes=500-999", (500, 1000)),
        ("bytes=-500", (9500, SIZE)),
        ("bytes=9500-", (9500, SIZE)),
        ("Bytes=0-3", (0, 4)),
        ("BYTES=-1", (9999, SIZE)),
        ("bytes= 0-3", (0, 4)),
        ("bytes=\t0-3 ", (0, 4)),
        ("bytes=,0-3", (0, 4)),
        ("bytes=0-3, ,", (0, 4)),
        ("bytes=0-3, 5-6", WHOLE),
        ("bytes=0-3 ,5-6", WHOLE),
        ("bytes= 0-999, 4500-5499, -1000", WHOLE),
        ("bytes=0-" + "9" * 5000, WHOLE),
        ("bytes=-" + "9" * 5000, WHOLE),
        ("bytes=" + "0" * 5000 + "1-2", (1, 3)),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_the_grammar_allows_is_read(text: str, expected: tuple[int, int]) -> None:
    """[GET-5] three of them are the RFC's own examples."""
    assert parse_range(text, SIZE) == expected


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=--1", "bytes=1", "0-3", "=0-3", "bytes:0-3", "lines=0-3",
     " bytes=0-3", "bytes =0-3", "bytes=0 -3", "bytes=0- 3", "bytes=0 - 3", "bytes=\n0-3", "bytes=0-3\n",
     "bytes=\u00a00-3", "bytes=\u0660-3",
     "bytes=5-4", "bytes=0-3,5-4", "bytes=0-3,x", "bytes=0x0-3", "bytes=+0-3", "bytes=0-3;5-6", "bytes=0-3-5", "(0, 4)",
     "bytes=2-" + "0" * 5000 + "1"],
)  # fmt: skip
def test_what_it_does_not_allow_is_no_range(text: str) -> None:
    """[GET-5] refused, and neither guessed nor ignored."""
    with pytest.raises(InvalidInput) as caught:
        parse_range(text, SIZE)
    assert not isinstance(caught.value, InvalidRange)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_a_range_without_a_byte_of_the_object_is_refused(text: str) -> None:
    """[GET-4]"""
    with pytest.raises(InvalidRange):
        parse_range(text, SIZE)


@given(st.text("bytes=0123456789-, \t", max_size=20).map(lambda rest: f"bytes={rest}"), st.integers(0, 50))
def test_every_text_is_read_as_the_grammar_reads_it(text: str, size: int) -> None:
    """[GET-5] against the RFC's grammar, written as one expression."""
    one = r"(?:[0-9]+-[0-9]*|-[0-9]+)"
    grammar = rf"bytes=[ \t]*(?:,[ \t]*)*{one}(?:[ \t]*,[ \t]*(?:{one})?)*[ \t]*"
    members = re.findall(one, text.partition("=")[2])
    backwards = any(int(a) > int(b) for a, b in (member.split("-") for member in members) if a and b)
    if re.fullmatch(grammar, text) is None or backwards:
        with pytest.raises(InvalidInput, match="not a byte range"):
            parse_range(text, size)
        return
    try:
        start, stop = parse_range(text, size)
    except InvalidRange:
        assert len(members) == 1
        return
    first, last = members[0].split("-") if len(members) == 1 else ("0", "")
    whole = range(size)
    wanted = whole[int(first) : int(last) + 1 if last else None] if first else whole[max(size - int(last), 0) :]
    assert range(start, stop) == wanted
