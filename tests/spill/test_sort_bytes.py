"""Sorting byte strings, and the pile: with next to no memory they do what lists and byte arrays do."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.errors import StorageError
from mstbucket.spill.pile import Pile
from mstbucket.spill.sort_bytes import SortedBytes


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=80), max_size=60), st.sampled_from([1, 200, 1 << 20]))
def test_records_come_back_in_order(records: list[bytes], run: int) -> None:
    with SortedBytes(run) as sort:
        for record in records:
            sort.add(record)
        assert [*sort] == sorted(records)


READS = st.tuples(st.integers(0, 200), st.integers(0, 60))
STEPS = st.lists(st.binary(max_size=50) | st.integers(0, 200) | READS, max_size=40)


@settings(deadline=None, max_examples=150)
@given(STEPS, st.sampled_from([1, 64, 1 << 20]))
def test_a_pile_is_a_byte_array(steps: list[bytes | int | tuple[int, int]], memory_max: int) -> None:
    model = bytearray()
    with Pile(memory_max) as pile:
        for step in steps:
            match step:
                case bytes():
                    assert pile.add(step) == len(model)
                    model += step
                case int():
                    top = min(step, len(model))
                    pile.cut(top)
                    del model[top:]
                case (place, size):
                    assert pile.read(place, size) == model[place : place + size]
            assert pile.top == len(model)
        assert pile.read(0, 1 << 20) == model


def test_a_temporary_directory_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with SortedBytes(100) as sort, pytest.raises(StorageError, match="TMPDIR"):
        sort.add(bytes(200))
    with Pile(100) as pile, pytest.raises(StorageError, match="TMPDIR"):
        pile.add(bytes(200))
