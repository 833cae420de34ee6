"""Arguments in the binary form, as they are written at once, beside the same written one by one."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from mstbucket.pg import binary


def one_by_one(oid: int, form: str, size: int, values: list[int]) -> bytes:
    if not values:
        return struct.pack(">iiI", 0, 0, oid)
    head = struct.pack(">iiIii", 1, 1, oid, len(values), 1)
    return head + b"".join(struct.pack(f">i{form}", size, value) for value in values)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_bigints_written_at_once_are_those_written_one_by_one(values: list[int]) -> None:
    assert binary.bigint_array(values) == one_by_one(20, "q", 8, values)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50))
def test_integers_written_at_once_are_those_written_one_by_one(values: list[int]) -> None:
    assert binary.integer_array(values) == one_by_one(23, "i", 4, values)
