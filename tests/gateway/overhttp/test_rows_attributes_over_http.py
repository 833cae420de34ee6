"""[GW-22] The rows of copies, tags, metadata and names of buckets, over HTTP."""

from __future__ import annotations

import pytest
import test_s3_attributes
from httprows import rows_of
from httpstore import HttpStore

globals().update(rows_of(test_s3_attributes))


@pytest.fixture
def store(as_asked: HttpStore, request: pytest.FixtureRequest) -> HttpStore:
    """Before the gateway that the row needs. The rows of names are about whole names, and about no name twice."""
    if request.node.originalname == "test_bucket_names":
        as_asked.prefix = ""
    return as_asked
