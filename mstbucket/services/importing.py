"""Import: one pass through the CAR verifies it whole and copies it into the store, one transaction makes it a bucket.

The file itself becomes a pack, byte for byte, so its offsets are the index. Rows are prepared during the pass in
temporary files, in the form in which the database takes them. Until the last statement commits nothing is visible; what
an interrupted import leaves is a pending pack ([IMP-3]).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final

from mstbucket.core.cid import from_text
from mstbucket.core.commit import Commit
from mstbucket.core.car import CarReader
from mstbucket.core.keys import check_bucket_name
from mstbucket.core.manifest import Manifest
from mstbucket.errors import StorageError, Unsupported
from mstbucket.limits import MIB
from mstbucket.pg import binary
from mstbucket.services.buckets import now_ms
from mstbucket.services.context import Context
from mstbucket.services.packing import PackInProgress, publish_refs
from mstbucket.services.rows import json_of

_SPOOL: Final = 16 * MIB  # of prepared rows held in memory, for blocks and for objects each; then on disk
_PIECE: Final = MIB  # sent to the database at a time
