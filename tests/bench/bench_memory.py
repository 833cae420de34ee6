"""Memory at its peak: how much a flush of many new keys holds above what the process held before.

A flush folds a bounded number of keys into each commit, so the figure does not depend on how many there are; put
BENCH_KEYS=1000000 into the environment to see that. Linux only, as the peak is that of `/proc`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rows import Row

import mstbucket

KEYS = int(os.environ.get("BENCH_KEYS", "100000"))
MIB = 2**20


def _peak() -> int:
    return next(int(x.split()[1]) << 10 for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        bucket = store.create_bucket("memory")
        bucket.put_objects(mstbucket.PutRequest(f"{n % 977:03}/{n:09}", b"%d" % n) for n in range(KEYS))
        Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on that of what is held now
        before = _peak()
        bucket.flush()
        peak = _peak()
    name = f"peak of a flush of {KEYS:,} new keys"
    return [Row(name, peak / MIB, "MiB", "held before", peak / before, "at most 200", peak <= 200 * MIB)]
