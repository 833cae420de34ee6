"""[GW-22] The corner cases of versions, over HTTP."""

from __future__ import annotations

import test_corner_cases_versions
from httprows import rows_of

globals().update(rows_of(test_corner_cases_versions))
