"""[GW-22] The rows of checksums of parts, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_part_checksums
from httprows import rows_of
from httpstore import HttpStore

globals().update(rows_of(test_part_checksums))

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def store(as_asked: HttpStore) -> HttpStore:
    """Before the gateway that the row needs."""
    return as_asked


@pytest.fixture
def tmp_path(store: HttpStore) -> Path:
    """Where the gateway's blobs are: what a refused write leaves is looked for there."""
    return Path(store.gateways[0].store["MSTBUCKET_BLOBS"]).parent
