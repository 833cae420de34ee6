"""Any sequence of calls on two buckets against the model of S3, whatever is flushed, reopened, or moved in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from s3machine import S3Machine
from s3pair import PART_SIZE_MIN

import mstbucket
from mstbucket.core.s3rules import parts as part_rules

pytestmark = pytest.mark.early

Machine = type[S3Machine]


@pytest.fixture
def machine(
    database_url: str, second_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """The machine over two places that share nothing."""
    monkeypatch.setattr(part_rules, "PART_SIZE_MIN", PART_SIZE_MIN)
    opened: list[mstbucket.Store] = []

    def open_(place: int) -> mstbucket.Store:
        database = (database_url, second_database_url)[place]
        opened.append(mstbucket.open(database=database, blobs=tmp_path / f"blobs-{place}", background=False))
        return opened[-1]

    class Here(S3Machine):
        names = (f"bucket-{number}" for number in itertools.count())
        open_store: Callable[[int], mstbucket.Store] = staticmethod(open_)

    yield Here
    for store in opened:
        store.close()


@pytest.mark.timeout(1800)  # half a minute, where the machine has nothing else to do
def test_any_sequence_of_calls_is_that_of_s3(machine: Machine) -> None:
    """[PUT-7], [PUT-9], [GET-1], [GET-4], [LIST-1] to [LIST-5], [FLUSH-1], [EXP-1], [IMP-2], [MPU-15], [MARK-1]."""
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=40))


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_many_long_sequences_of_calls_are_those_of_s3(machine: Machine) -> None:
    """The same for an hour or two."""
    run_state_machine_as_test(machine, settings=settings(max_examples=3000, stateful_step_count=80))
