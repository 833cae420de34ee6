"""[GW-22] The rows of bodies, keys and ranges, over HTTP."""

from __future__ import annotations

import pytest
import test_objects
from httprows import rows_of
from httpstore import HttpStore

globals().update(rows_of(test_objects))


@pytest.fixture
def store(as_asked: HttpStore) -> HttpStore:
    """Before the gateway that the row needs."""
    return as_asked
