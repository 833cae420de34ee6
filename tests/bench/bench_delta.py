"""A delta of a thousand changes: what it takes and holds; applying it beside the whole import; and a merge of as many.

MSTBUCKET_BENCH_KEYS sets the number of keys; the figures that are wanted are those of a million.
"""

from __future__ import annotations

import io
import os
import random
import tempfile
from pathlib import Path

from rows import Row, wall_seconds

import mstbucket
from mstbucket import PutRequest

KEYS = int(os.environ.get("MSTBUCKET_BENCH_KEYS", "100000"))
CHANGED = 1000
BODY = 100  # bytes
DELTA_MAX = 1.0  # s
BYTES_MAX = 3_000_000  # beside the bodies
APPLY_MAX = 2.5  # times the import of the whole: it replays as much, and reads it from the store
MERGE_MAX = 2.0  # s


def run() -> list[Row]:
    """Wall time, for much of it is the server's."""
    rng = random.Random(1)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        mstbucket.open(Path(folder) / "s", background=False) as store,
        mstbucket.open(Path(folder) / "t", background=False) as other,
    ):
        bucket = store.create_bucket("source")
        bucket.put_objects(PutRequest(f"{n % 97:02}/{n:08}", b"%d" % n) for n in range(KEYS))
        base = bucket.flush().seq
        whole, delta = io.BytesIO(), io.BytesIO()
        bucket.export_car(whole)
        store.fork("source", "fork")
        changed = [PutRequest(f"{n % 97:02}/{n:08}", rng.randbytes(BODY)) for n in rng.sample(range(KEYS), CHANGED)]
        bucket.put_objects(changed)
        bucket.flush()
        made = wall_seconds(lambda: bucket.export_delta(base, delta))
        size = len(delta.getvalue()) - CHANGED * BODY
        merged = wall_seconds(lambda: store.merge("source", "fork"))
        whole.seek(0)
        full = wall_seconds(lambda: other.import_car(whole))
        delta.seek(0)
        applied = wall_seconds(lambda: other.import_car(delta))
    ratio = applied / full
    of = f"{CHANGED:,} of {KEYS:,}"
    return [
        Row(f"delta, {of}", made, "s", "wanted", made / DELTA_MAX, "<= 1x", made <= DELTA_MAX),
        Row(f"delta, {of}", size, "bytes", "wanted", size / BYTES_MAX, "<= 1x", size <= BYTES_MAX),
        Row(f"apply, {of}", applied, "s", "whole import", ratio, f"<= {APPLY_MAX}x", ratio <= APPLY_MAX),
        Row(f"merge, {of}", merged, "s", "wanted", merged / MERGE_MAX, "<= 1x", merged <= MERGE_MAX),
    ]

