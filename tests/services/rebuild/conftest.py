"""A store whose database is lost, and how it comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import RebuildReport, Store

Lose = Callable[..., tuple[Store, RebuildReport]]


@pytest.fixture
def lose(databases: Any, template: str, tmp_path: Path) -> Iterator[Lose]:
    """Closes a store, forgets its database, makes it again in an empty one, and opens that."""
    opened: list[Store] = []

    def work(store: Store, **options: Any) -> tuple[Store, RebuildReport]:
        store.close()
        url = options.pop("database", None) or databases.url(databases.create(template))
        blobs = options.pop("blobs", tmp_path / "blobs")
        report = Store.rebuild(database=url, blobs=blobs, **options)
        opened.append(mstbucket.open(database=url, blobs=blobs, background=False, encryption=options.get("encryption")))
        return opened[-1], report

    yield work
    for store in opened:
        store.close()
