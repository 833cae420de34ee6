"""A check of the whole store: metadata by the object, data by the byte, beside what cannot be left out."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from rows import Row, wall_seconds

import mstbucket

OBJECTS = 20_000
LARGE = 64 << 20  # bytes, in bodies of 32 MiB
RATE = 150_000  # objects a second, of the rows and the tree


def run() -> list[Row]:
    """Measure; takes a minute, most of it to fill two stores."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        with mstbucket.open(Path(directory) / "many", background=False) as store:
            bucket = store.create_bucket("many")
            bucket.put_objects(mstbucket.PutRequest(f"{n % 97:02}/{n:06}", b"%d" % n) for n in range(OBJECTS))
            bucket.flush()
            base = wall_seconds(lambda: store.check("database"), 3)
            for level in ("tree", "presence", "proof"):
                spent = wall_seconds(lambda level=level: store.check(level), 2)  # type: ignore[misc]
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
            floor = wall_seconds(lambda: [hashlib.sha256(data) for _ in range(LARGE >> 20)], 3)
            spent = wall_seconds(lambda: store.check("data"), 3) - wall_seconds(lambda: store.check("presence"), 3)
            ratio = floor / spent
            rate, met = LARGE / spent / 1e6, ratio >= 0.8
            rows.append(Row("check --level data", rate, "MB/s", "sha256 alone", ratio, ">= 0.8", met))
    return rows
