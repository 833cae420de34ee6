"""A check of the whole store: metadata by the object, data by the byte, beside what cannot be left out."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rows import Row

import mstbucket

OBJECTS = 20_000
LARGE = 64 << 20  # bytes, in bodies of 32 MiB
RATE = 150_000  # objects a second, of the rows and the tree


def wall(work: Callable[[], object], rounds: int = 3) -> float:
    """The least time of some runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def run() -> list[Row]:
    """Measure; takes a minute, most of it to fill two stores."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        with mstbucket.open(Path(directory) / "many", background=False) as store:
            bucket = store.create_bucket("many")
            bucket.put_objects(mstbucket.PutRequest(f"{n % 97:02}/{n:06}", b"%d" % n) for n in range(OBJECTS))
            bucket.flush()
            base = wall(lambda: store.check("database"))
            for level in ("tree", "presence", "proof"):
                spent = wall(lambda level=level: store.check(level), 2)  # type: ignore[misc]
                rate = OBJECTS / spent
                target = f">= {RATE:,}/s" if level == "tree" else ""
                met = level != "tree" or rate >= RATE
                rows.append(Row(f"check --level {level}", rate, "objects/s", "level database", spent / base, target, met))
        with mstbucket.open(Path(directory) / "large", background=False) as store:
            bucket = store.create_bucket("large")
            for n in range(LARGE >> 25):
                bucket.put_object(f"{n}", hashlib.shake_128(b"%d" % n).digest(1 << 25))
            bucket.flush()
            data = bytes(1 << 20)
            floor = wall(lambda: [hashlib.sha256(data) for _ in range(LARGE >> 20)])
            spent = wall(lambda: store.check("data")) - wall(lambda: store.check("presence"))
            ratio = floor / spent
            rate, met = LARGE / spent / 1e6, ratio >= 0.8
            rows.append(Row("check --level data", rate, "MB/s", "sha256 alone", ratio, ">= 0.8", met))
    return rows
