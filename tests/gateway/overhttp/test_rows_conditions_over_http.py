"""[GW-22] The tables of conditions, over HTTP."""

from __future__ import annotations

import asked
import test_complete_conditions
import test_conditions
from httprows import rows_of

globals().update(rows_of(test_conditions))
globals().update(rows_of(test_complete_conditions))


store, tmp_path = asked.store, asked.tmp_path
