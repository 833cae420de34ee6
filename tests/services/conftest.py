"""Stores for the service tests: a fresh database on the shared server and a directory of packs, per test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mstbucket
from mstbucket.services import completing, copying, deleting, putting, uploads


@pytest.fixture
def open_store(database_url: str, tmp_path: Path) -> Iterator[Callable[[], mstbucket.Store]]:
    """Opens the test's store, any number of times; what was opened is closed at the end."""
    opened: list[mstbucket.Store] = []

    def open_() -> mstbucket.Store:
        opened.append(mstbucket.open(database=database_url, blobs=tmp_path / "blobs", background=False))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], mstbucket.Store]) -> mstbucket.Store:
    """One open store without background work."""
    return open_store()


@pytest.fixture
def bucket(store: mstbucket.Store) -> mstbucket.Bucket:
    """An empty bucket."""
    return store.create_bucket("things")


@pytest.fixture
def second_store(second_database_url: str, tmp_path: Path) -> Iterator[mstbucket.Store]:
    """Another, empty store that shares nothing with the first."""
    with mstbucket.open(database=second_database_url, blobs=tmp_path / "blobs-2", background=False) as store:
        yield store


DAY_MS = 24 * 3600 * 1000


class Clock:
    """The time at which whatever is written is written, in ms since 1970; moved by tests, so that months pass at once."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms

    def pass_days(self, days: float) -> None:
        self.ms += round(days * DAY_MS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands at the last midnight UTC, and that every writer of this process goes by."""
    clock = Clock(time.time_ns() // 1_000_000 // DAY_MS * DAY_MS)
    for module in (putting, copying, deleting, completing, uploads):
        monkeypatch.setattr(module, "now_ms", clock)
    return clock
