"""[GW-22] The rows of bodies, keys and ranges, over HTTP."""

from __future__ import annotations

import asked
import test_objects
from httprows import rows_of

globals().update(rows_of(test_objects))


store = asked.store
