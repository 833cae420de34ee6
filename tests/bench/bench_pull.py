"""A pull of a hundred changes between two stores: requests, blocks, time; beside a comparison of two trees in memory.

MSTBUCKET_BENCH_KEYS sets the number of keys; the figures that are wanted are those of a million.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

from rows import Row, wall_seconds

import mstbucket
from mstbucket import PutRequest
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff

KEYS = int(os.environ.get("MSTBUCKET_BENCH_KEYS", "100000"))
CHANGED = 100
REQUESTS_MAX = 50
PULL_MAX = 2.0  # s
SAME_MAX = 1  # requests


def run() -> list[Row]:
    """Wall time, for much of it is the server's."""
    rng = random.Random(1)
    keys = [f"{n % 97:02}/{n:08}" for n in range(KEYS)]
    changed = rng.sample(keys, CHANGED)
    floor = _floor(keys, set(changed))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        mstbucket.open(Path(folder) / "s", background=False) as store,
        mstbucket.open(Path(folder) / "t", background=False) as other,
    ):
        bucket = store.create_bucket("source")
        bucket.put_objects(PutRequest(key, b"%d" % n) for n, key in enumerate(keys))
        bucket.flush()
        other.pull(bucket)
        bucket.put_objects(PutRequest(key, rng.randbytes(100)) for key in changed)
        bucket.flush()
        begun = time.perf_counter()
        report = other.pull(bucket)
        seconds = time.perf_counter() - begun
        same = other.pull(bucket)
    of = f"{CHANGED:,} of {KEYS:,}"
    return [
        Row(f"pull, {of}", report.requests, "requests", "wanted", report.requests / REQUESTS_MAX, "< 1x",
            report.requests < REQUESTS_MAX),
        Row(f"pull, {of}", report.blocks, "blocks", "changed keys", report.blocks / CHANGED, "<= 8x",
            report.blocks <= 8 * CHANGED),
        Row(f"pull, {of}", seconds, "s", "wanted", seconds / PULL_MAX, "<= 1x", seconds <= PULL_MAX),
        Row(f"pull, {of}", seconds, "s", "diff in memory", seconds / floor, "-", True),
        Row("pull, no difference", same.requests, "requests", "wanted", same.requests / SAME_MAX, "<= 1x",
            same.requests <= SAME_MAX),
    ]  # fmt: skip


def _floor(keys: list[str], changed: set[str]) -> float:
    """Seconds to compare two such trees that are in memory."""
    blocks = MemoryBlocks()

    def put(cid: bytes, block: bytes) -> None:
        blocks.put(cid, block)

    roots = [
        build(sorted((key.encode(), dag_cbor_cid(b"%d" % (key in touched))) for key in keys), put)
        for touched in (set[str](), changed)
    ]
    return wall_seconds(lambda: diff(blocks, roots[0], roots[1]))

