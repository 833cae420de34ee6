"""Making one place like another: a directory, the keys under a prefix of a bucket, or of a bucket of an S3 service.

    with mstbucket.open("store") as store:
        wanted = Filters([(False, "*.tmp")])
        source = Directory("trip", wanted, lambda text, failed: print(text), follow=True)
        target = Objects(store.bucket("photos"), "2026/", wanted)
        print(sync(source, target, Options(delete=True), tell=print, tick=lambda done: None))

Both places are read as streams of entries in key order; `plan` merges them into steps, which is pure; a *mover*, one per
direction, carries a step out; `engine` runs movers on threads. `spec/store/21-sync.md` is normative.
"""

from __future__ import annotations

from mstbucket.sync.directory import Directory
from mstbucket.sync.engine import Event, Removed, Summary
from mstbucket.sync.filters import Filters
from mstbucket.sync.mover import Failed, Moved
from mstbucket.sync.objects import Objects
from mstbucket.sync.plan import How
from mstbucket.sync.remote import Remote
from mstbucket.sync.run import Options, sync

__all__ = [
    "Directory",
    "Event",
    "Failed",
    "Filters",
    "How",
    "Moved",
    "Objects",
    "Options",
    "Remote",
    "Removed",
    "Summary",
    "sync",
]
