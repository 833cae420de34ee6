"""[GW-22] The rows of checksums of parts, over HTTP."""

from __future__ import annotations

import asked
import pytest
import test_part_checksums
from httprows import rows_of

globals().update(rows_of(test_part_checksums))

pytestmark = pytest.mark.usefixtures("tiny")


store, tmp_path = asked.store, asked.tmp_path
