"""Fixtures of tables whose rows ask for a gateway of their own: a table takes those that it needs by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from httpstore import HttpStore


@pytest.fixture
def store(as_asked: HttpStore) -> HttpStore:
    """Before the gateway that the row needs."""
    return as_asked


@pytest.fixture
def tmp_path(store: HttpStore) -> Path:
    """Where the gateway's blobs are: what a refused write leaves is looked for there."""
    return Path(store.gateways[0].store["MSTBUCKET_BLOBS"]).parent
