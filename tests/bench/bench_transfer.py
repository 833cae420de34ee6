"""Export and import of small objects, each beside the verify of the same file in the same run.

Once by wall time, and once by the CPU time of this process, without the server's: it says more where others work, too.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rows import Row

import mstbucket

OBJECTS = int(os.environ.get("BENCH_OBJECTS", "100000"))
ROUNDS = 3


def _least(work: Callable[[int], object]) -> tuple[float, float]:
    """The least seconds of a few runs: by the wall clock, and of this process."""
    walls, used = [], []
    for n in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        work(n)
        walls.append(time.perf_counter() - wall)
        used.append(time.process_time() - cpu)
    return min(walls), min(used)


def run() -> list[Row]:
    """The figures; half a minute for 100,000 objects on a quiet machine."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "e.car"
        with mstbucket.open(Path(folder) / "from", background=False) as store:
            bucket = store.create_bucket("export")
            bucket.put_objects(mstbucket.PutRequest(f"e/{n:08}", f"body {n}".encode() * 8) for n in range(OBJECTS))
            bucket.flush()
            out = _least(lambda n: bucket.export_car(path))
        check = _least(lambda n: mstbucket.verify_car(path))

        def fresh(n: int) -> tuple[float, float]:
            with mstbucket.open(Path(folder) / f"into{n}", background=False) as other:
                wall, cpu = time.perf_counter(), time.process_time()
                other.import_car(path)
                return time.perf_counter() - wall, time.process_time() - cpu

        taken = [fresh(n) for n in range(ROUNDS)]
        into = min(wall for wall, _ in taken), min(cpu for _, cpu in taken)
    rows = []
    for name, took, wanted, rate in (("export", out, 1.0, 60_000), ("import", into, 0.7, 50_000)):
        for at, clock in enumerate(("wall", "CPU")):
            value, ratio = OBJECTS / took[at], check[at] / took[at]
            target = f">= {wanted:g}, {rate:,}/s"
            met = ratio >= wanted and value >= rate
            rows.append(Row(f"{name}, {clock}", value, "objects/s", "its verify", ratio, target, met))
    return rows
