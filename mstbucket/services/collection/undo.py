"""The undo window: what a cycle removed comes back as long as it is open, and then goes for good ([GC-10], [GC-11])."""

from __future__ import annotations

import random
import time
from typing import Final

from mstbucket.errors import Conflict
from mstbucket.index import collection
from mstbucket.model.collection import Amount
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection.roots import ATTEMPTS, BARRIER_WAIT

BATCH: Final = 10_000  # rows brought back by one transaction, 0.2 s: all writers wait for it
_RELEASE: Final = 10_000  # rows forgotten by one transaction


def undo(context: Context) -> Amount:
    """Bring back all that waits; see `Store.undo_collect`."""
    back = Amount()
    failures = 0
    while True:
        try:
            seen, blocks, size = collection.bring_back(context.db, BARRIER_WAIT, BATCH)
        except Conflict:
            failures += 1
            if failures == ATTEMPTS:
                raise
            time.sleep(random.uniform(0, 1))
            continue
        back += Amount(blocks, size)
        if seen < BATCH:
            return back


def release(context: Context) -> None:
    """Let go of all whose undo window has ended: rows are forgotten, and the blobs of their packs may go."""
    while collection.release(context.db, _RELEASE):
        pass
