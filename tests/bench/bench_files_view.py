"""The files view beside the export of the same commit: objects in many folders, and all in one, which is sharded.

MSTBUCKET_BENCH_KEYS sets the number of keys.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rows import Row, cpu_seconds

import mstbucket
from mstbucket import Bucket, PutRequest

KEYS = int(os.environ.get("MSTBUCKET_BENCH_KEYS", "40000"))
WANTED = 2.5  # times the export: two passes over the keys, and a hash in Python for each name of a large folder


class Nowhere:
    """A file that forgets."""

    def write(self, data: bytes) -> int:
        return len(data)


def run() -> list[Row]:
    """CPU time of this process."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        mstbucket.open(Path(folder) / "s", background=False) as store,
    ):
        for name, form in (("folders", "{0:05}/{1:03}.txt"), ("one-folder", "{0:05}{1:03}.txt")):
            bucket = store.create_bucket(name)
            bucket.put_objects(PutRequest(form.format(*divmod(n, 1000)), b"%d" % n) for n in range(KEYS))
            bucket.flush()
            rows.append(_row(name, bucket))
    return rows


def _row(name: str, bucket: Bucket) -> Row:
    floor = cpu_seconds(lambda: bucket.export_car(Nowhere()), repeat=2)  # type: ignore[arg-type]
    made = cpu_seconds(lambda: bucket.export_files(Nowhere()), repeat=2)  # type: ignore[arg-type]
    ratio = made / floor
    return Row(f"files view, {KEYS:,} objects, {name}", made, "s", "export", ratio, f"<= {WANTED}x", ratio <= WANTED)
