"""[GW-22] The rows of uploads in parts, over HTTP."""

from __future__ import annotations

import asked
import test_multipart
import test_multipart_copy
import test_multipart_listing
from httprows import rows_of

globals().update(rows_of(test_multipart))
globals().update(rows_of(test_multipart_copy))
globals().update(rows_of(test_multipart_listing))


store, tmp_path = asked.store, asked.tmp_path
