"""What a put costs with the body in Postgres until the flush, and with a pack of its own; sets `INLINE_MAX`."""

from __future__ import annotations

import random
import tempfile
import time

from rows import Row

import mstbucket
from mstbucket.limits import INLINE_MAX, KIB
from mstbucket.services.objects import read_body

SIZES = [4 * KIB, 16 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB]
PUTS = 60


def run() -> list[Row]:
    """One figure a size: milliseconds a put inline, flush included, beside the same through a pack."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        bucket = store.create_bucket("inline")
        for size in SIZES:
            inline, packed = (_milliseconds(bucket, size, limit) for limit in (2 * SIZES[-1], 0))
            target = "< 1" if size <= INLINE_MAX else "-"
            ratio = inline / packed
            met = ratio < 1 or target == "-"
            rows.append(Row(f"inline put of {size // KIB} KiB", inline, "ms", "through a pack", ratio, target, met))
    return rows


def _milliseconds(bucket: mstbucket.Bucket, size: int, limit: int) -> float:
    bodies = [random.Random(size + n).randbytes(size) for n in range(PUTS)]
    read_body.INLINE_MAX = limit  # type: ignore[misc]
    try:
        start = time.perf_counter()
        for n, body in enumerate(bodies):
            bucket.put_object(f"{limit}/{size}/{n}", body)
        bucket.flush()
        return (time.perf_counter() - start) / PUTS * 1000
    finally:
        read_body.INLINE_MAX = INLINE_MAX  # type: ignore[misc]
