"""[GW-22] The corner cases of listing, reading, writing and deleting, over HTTP through two gateways."""

from __future__ import annotations

import test_corner_cases
import test_corner_cases_versions
import test_corner_cases_versions_copied
import test_corner_cases_versions_listed
from httprows import LONG, UNSAID, rows_of

globals().update(rows_of(test_corner_cases))

TABLES = [test_corner_cases, test_corner_cases_versions, test_corner_cases_versions_copied,
          test_corner_cases_versions_listed]  # fmt: skip


def test_every_row_that_is_not_run_over_http_is_there() -> None:
    """Each that is named is one; that it cannot be said is seen when it runs."""
    there = {name for table in TABLES for name in rows_of(table)}
    assert {row.partition("[")[0] for row in UNSAID} | set(LONG) <= there
    assert len(UNSAID) == 11
