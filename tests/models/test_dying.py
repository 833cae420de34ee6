"""What died can be collected without a mark: the model holds, and each of its parts is needed.

The protocol stands in spec/store/26-collection.md, under "What died, without a mark".
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dying import Rules, explore

ALL = ("put", "part", "write", "flush", "sweep")


def test_no_state_has_a_loss_and_what_died_is_freed() -> None:
    """[GC-20] [GC-21] [GC-22] [GC-23] [GC-24]"""
    count, freed, way = explore(ALL, Rules(), left=6)
    assert way is None
    assert count > 15_000
    assert freed > 500, "and not because nothing is ever freed"


@pytest.mark.slow
def test_nor_with_more_of_everything() -> None:
    for processes in (ALL, (*ALL, "flush 2"), ("put", "put 2", "write", "flush", "sweep 1", "sweep 2")):
        count, _, way = explore(processes, Rules(), left=8 if processes == ALL else 7)
        assert way is None
        assert count > 70_000


@pytest.mark.parametrize("part", [field.name for field in fields(Rules)])
def test_without_any_part_something_is_lost(part: str) -> None:
    processes = ("put", "write", "flush", "sweep 1", "sweep 2") if part == "barrier" else ALL
    _, _, way = explore(processes, replace(Rules(), **{part: False}), left=6)
    assert way is not None, f"without {part} nothing was lost: then it is not needed, or the model does not have it"
    assert len(way) <= 14, way
