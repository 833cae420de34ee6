"""What died could be collected without a mark: the model holds, each of its parts is needed. Nothing of it is built yet.

The design stands in spec/store/26-collection.md, under "What died, without a mark".
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from dying import Rules, explore

ALL = ("put a", "put b", "import b", "sweep")


def test_no_state_has_a_loss_and_what_died_is_freed() -> None:
    count, freed, way = explore(ALL, Rules(), left=3)
    assert way is None
    assert count > 40_000
    assert freed > 500, "and not because nothing is ever freed"


@pytest.mark.slow
def test_nor_with_more_of_everything() -> None:
    for processes in (ALL, ("put a", "sweep 1", "sweep 2"), ("put a", "put b", "import b", "sweep 1", "sweep 2")):
        count, _, way = explore(processes, Rules(), left=4)
        assert way is None
        assert count > 70_000


@pytest.mark.parametrize("part", [field.name for field in fields(Rules)])
def test_without_any_part_something_is_lost(part: str) -> None:
    processes = ("put a", "sweep 1", "sweep 2") if part == "barrier" else ALL
    _, _, way = explore(processes, replace(Rules(), **{part: False}), left=4)
    assert way is not None, f"without {part} nothing was lost: then it is not needed, or the model does not have it"
    assert len(way) <= 14, way
