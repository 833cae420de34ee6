"""A healthy store gives no findings, whatever was done to it and whatever is done meanwhile."""

from __future__ import annotations

import pytest

import mstbucket


@pytest.mark.parametrize("level", ["database", "tree", "presence", "data", "proof"])
def test_a_store_with_something_of_everything_is_clean(full: mstbucket.Store, level: str) -> None:
    report = full.check(level)
    assert report.findings == ()
    assert report.incomplete == ()
