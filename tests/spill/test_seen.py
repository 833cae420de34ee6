"""The sets of blocks seen, against Python's own containers, with so little memory that nearly all is in runs."""

from __future__ import annotations

import os
import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.errors import InvalidInput, StorageError
from mstbucket.spill.runs import Run, Runs
from mstbucket.spill.seen import NUMBER_BITS, Seen, SeenNumbers

CIDS = [raw_cid(str(n).encode()) for n in range(60)] + [dag_cbor_cid(str(n).encode()) for n in range(60)]


class SeenMachine(RuleBasedStateMachine):
    """[VER-20] Whatever is added, asked and repeated, the sets answer as a set and a dict do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.numbers = Seen(memory_max=3), SeenNumbers(memory_max=3)
        self.model: dict[bytes, int] = {}

    @rule(cid=st.sampled_from(CIDS), number=st.integers(0, 2**NUMBER_BITS - 1))
    def add(self, cid: bytes, number: int) -> None:
        new = cid not in self.model
        self.model.setdefault(cid, number)
        assert self.seen.add(cid) is new
        assert self.numbers.add(cid, number) is new

    @rule(cid=st.sampled_from(CIDS))
    def ask(self, cid: bytes) -> None:
        assert (cid in self.seen) is (cid in self.model)
        assert self.numbers.get(cid) == self.model.get(cid)

    @invariant()
    def counts(self) -> None:
        assert len(self.seen) == len(self.numbers) == len(self.model)

    def teardown(self) -> None:
        for cid in CIDS:
            self.ask(cid)
        self.seen.close()
        self.numbers.close()


SeenMachine.TestCase.settings = settings(deadline=None, max_examples=40, stateful_step_count=80)
TestSeen = SeenMachine.TestCase


@pytest.mark.parametrize("memory_max", [1, 7, 64, 1000])
def test_many_more_than_memory_holds(memory_max: int) -> None:
    cids = [raw_cid(n.to_bytes(4, "big")) for n in range(3000)]
    random.Random(memory_max).shuffle(cids)
    with Seen(memory_max) as seen, SeenNumbers(memory_max) as numbers:
        for n, cid in enumerate(cids[:2000]):
            assert seen.add(cid)
            assert numbers.add(cid, n)
        assert len(seen) == len(numbers) == 2000
        assert [cid in seen for cid in cids] == [True] * 2000 + [False] * 1000
        assert [numbers.get(cid) for cid in cids] == [*range(2000), *[None] * 1000]
        assert not any(seen.add(cid) for cid in cids[:2000])
        assert not any(numbers.add(cid, 0) for cid in cids[:2000])


def test_the_same_bytes_under_two_codecs_are_two_blocks() -> None:
    with Seen() as seen:
        assert seen.add(raw_cid(b"\xa0"))
        assert seen.add(dag_cbor_cid(b"\xa0"))
        assert not seen.add(raw_cid(b"\xa0"))


@pytest.mark.parametrize("number", [-1, 2**48])
def test_a_number_that_does_not_fit_is_refused(number: int) -> None:
    with SeenNumbers() as numbers, pytest.raises(InvalidInput):
        numbers.add(CIDS[0], number)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=200, unique=True), st.integers(1, 50))
def test_a_run_finds_its_records_and_no_others(numbers: list[int], step: int) -> None:
    """Records of every spread: a run's answers are right even where they crowd one bucket."""
    records = sorted(n.to_bytes(16, "big") for n in numbers)
    run = Run((records[at : at + step] for at in range(0, len(records), step)), len(records))
    try:
        assert [run.find(record) for record in records] == records
        assert [run.below(record) for record in records] == list(range(len(records)))
        for record in records:
            other = bytes([record[0] ^ 1]) + record[1:]
            assert run.find(other) == (other if other in records else None)
    finally:
        run.close()


def test_bytes_across_two_records_are_not_found() -> None:
    """A search in packed records must not report a match that starts inside one of them."""
    one, two = b"\0" * 8 + b"\0\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\1" + b"\0" * 8
    run = Run([[one, two]], 2)
    try:
        assert run.find(one[8:] + two[:8]) is None
        assert run.find(two) == two
    finally:
        run.close()


def test_runs_stay_few() -> None:
    """At most one run a level, levels eight times apart: 4,000 batches of one record make four runs."""
    runs = Runs(1)
    for n in range(4000):
        runs.add([sha256(n.to_bytes(4, "big")).digest()[:16]])
    levels = [run for run in runs._levels if run is not None]
    assert len(runs._levels) <= 4
    assert sum(run.count for run in levels) == 4000
    runs.close()


def test_a_temporary_directory_that_fails_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", os.path.join(os.sep, "nowhere", "at-all"))
    with Seen(memory_max=1) as seen:
        seen.add(CIDS[0])
        with pytest.raises(StorageError, match="TMPDIR"):
            seen.add(CIDS[1])
        assert CIDS[0] in seen
        assert len(seen) == 1
