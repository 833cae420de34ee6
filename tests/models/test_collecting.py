"""Every state of small stores is gone through: the protocol loses nothing, and without any one part of it it does."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from collecting import Rules, explore

ALL = ("put", "shared", "import", "flush", "collect")


def test_the_protocol_loses_nothing_in_any_state() -> None:
    """[GC-1] [GC-7] [GC-8] [PUT-6] [PUT-11] [FLUSH-6]"""
    count, way = explore(ALL, Rules(), cycles=3)
    assert way is None
    assert count > 50_000


@pytest.mark.slow
def test_nor_with_two_of_each_writer() -> None:
    """[GC-7]"""
    count, way = explore(("put1", "put2", "shared", "import", "flush", "collect"), Rules(), cycles=4)
    assert way is None
    assert count > 900_000


def test_nor_with_two_collections_at_once() -> None:
    """[GC-7]: that one collects at a time is for thrift alone."""
    count, way = explore(("put1", "put2", "shared", "collect1", "collect2"), Rules(), cycles=3)
    assert way is None
    assert count > 20_000


@pytest.mark.parametrize("part", [field.name for field in fields(Rules)])
def test_without_any_part_something_is_lost_within_a_dozen_steps(part: str) -> None:
    """[GC-1] [GC-7] [PUT-6] [PUT-11] [BLOB-3]"""
    _, way = explore(ALL, replace(Rules(), **{part: False}), cycles=3)
    assert way is not None, f"without {part} nothing was lost: then it is not needed, or the model does not have it"
    assert len(way) <= 12, way
