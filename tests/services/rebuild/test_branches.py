"""Which commits end the branches of one identity, and which of them is the newest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mstbucket.services.rebuild.refs import heads


def ref(name: str, seq: int, prev: str | None, time: int = 0) -> Any:
    """A published commit, as far as branches are seen."""
    before = None if prev is None else prev.encode()
    return SimpleNamespace(cid=name.encode(), commit=SimpleNamespace(seq=seq, time=time, prev=before, merged=None))


def test_of_branches_that_ended_at_different_numbers_the_longest_comes_first() -> None:
    """[REB-5]: it is the one that takes the bucket's name."""
    line = [ref("1", 1, None), ref("2", 2, "1"), ref("3", 3, "2"), ref("4", 4, "3")]
    shorter = [ref("2b", 2, "1", time=99)]
    shortest = [ref("1b", 1, None, time=999)]
    for refs in (line + shorter + shortest, [*shortest, *shorter, *line]):
        assert [one.cid for one in heads(refs)] == [b"4", b"2b", b"1b"]


def test_of_branches_that_ended_at_one_number_the_later_comes_first() -> None:
    """[REB-5]"""
    refs = [ref("1", 1, None), ref("2a", 2, "1", time=5), ref("2b", 2, "1", time=6), ref("2c", 2, "1", time=6)]
    assert [one.cid for one in heads(refs)] == [b"2b", b"2c", b"2a"]
