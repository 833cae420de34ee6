"""Stores for the service tests: a fresh database on the shared server and a directory of packs, per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mstbucket


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
