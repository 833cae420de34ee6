"""[GW-22] The corner cases of versions as the source or the target of copies and of multipart uploads, over HTTP."""

from __future__ import annotations

import pytest
import test_corner_cases_versions_copied
from httprows import rows_of
from httpstore import HttpStore

globals().update(rows_of(test_corner_cases_versions_copied))


@pytest.fixture
def store(usual: object) -> HttpStore:
    """Before a gateway as it is: some of these rows are about the real size of a part."""
    return usual()  # type: ignore[operator,no-any-return]
