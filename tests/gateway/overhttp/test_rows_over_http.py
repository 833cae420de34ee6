"""[GW-22] The corner cases of listing, reading, writing and deleting, over HTTP through two gateways."""

from __future__ import annotations

import test_complete_conditions
import test_conditions
import test_corner_cases
import test_corner_cases_versions
import test_corner_cases_versions_copied
import test_corner_cases_versions_listed
import test_multipart
import test_multipart_copy
import test_multipart_listing
import test_objects
import test_part_checksums
import test_s3_attributes
from httprows import LONG, NOT_OF_S3, OTHERWISE, UNSAID, rows_of

globals().update(rows_of(test_corner_cases))

WHOLE = [test_corner_cases, test_corner_cases_versions, test_corner_cases_versions_copied,
         test_corner_cases_versions_listed]  # fmt: skip
TABLES = [*WHOLE, test_conditions, test_complete_conditions, test_objects, test_s3_attributes, test_multipart,
          test_multipart_copy, test_multipart_listing, test_part_checksums]  # fmt: skip


def test_every_row_that_is_not_run_over_http_is_there() -> None:
    """Each that is named is one; that it cannot be said is seen when it runs."""
    there = {name for table in TABLES for name in rows_of(table)}
    assert {row.partition("[")[0] for row in UNSAID | OTHERWISE} | set(LONG) <= there
    assert set(NOT_OF_S3) <= {name for table in TABLES for name in vars(table)}
    for table in WHOLE:
        assert {name for name in vars(table) if name.startswith("test_")} <= rows_of(table).keys()
    assert not UNSAID.keys() & OTHERWISE.keys()
