"""The past: opening a view, pages of it, and what differs between two commits. CPU time of this process.

The store has 100,000 objects, or as many as MSTBUCKET_BENCH_KEYS says. The trees of the last row are in memory, and have a
million keys. The floor of a page is the same page from the index.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from bench_tree import MANY, make_changes, make_pairs
from rows import Row, cpu_seconds

import mstbucket
from mstbucket import PutRequest
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.diff import diff

KEYS = int(os.environ.get("MSTBUCKET_BENCH_KEYS", "100000"))
CHANGES = 100


def run() -> list[Row]:
    """All figures of the past."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        return [*_of_store(store.create_bucket("past")), _in_memory()]


def _of_store(bucket: mstbucket.Bucket) -> list[Row]:
    bucket.put_objects(PutRequest(f"{n // 1000:04}/{n % 1000:03}", b"") for n in range(KEYS))
    old = bucket.flush().seq
    bucket.put_objects(PutRequest(f"{n // 1000:04}/{n % 1000:03}", b"x") for n in range(0, KEYS, KEYS // CHANGES))
    new = bucket.flush().seq
    middle = f"{KEYS // 2000:04}"
    with bucket.at(old) as view:
        return [
            _row("open and close a view", 10, lambda: bucket.at(old).close(), "head_commit", bucket.head_commit),
            _row(f"1,000 of {KEYS:,} keys at a commit", 30,
                 lambda: view.list_objects(start_after=middle), "the index",
                 lambda: bucket.list_objects(start_after=middle)),
            _row("a page of 100 folders of 1,000", 150,
                 lambda: view.list_objects(delimiter="/", max_keys=100), "the index",
                 lambda: bucket.list_objects(delimiter="/", max_keys=100)),
            _row("head at a commit", 5, lambda: view.head_object(f"{middle}/500"), "the index",
                 lambda: bucket.head_object(f"{middle}/500")),
            _row(f"diff of {CHANGES} in {KEYS:,}, with manifests", 60,
                 lambda: list(bucket.diff(old, new)), "1,000 of the index", bucket.list_objects),
        ]  # fmt: skip


def _row(name: str, target: float, work: Callable[[], object], floor_name: str, floor: Callable[[], object]) -> Row:
    ms, beside = 1000 * cpu_seconds(work), 1000 * cpu_seconds(floor)
    return Row(name, ms, "ms", floor_name, ms / beside, f"<= {target:g} ms", ms <= target)


def _in_memory() -> Row:
    pairs = make_pairs(MANY)
    blocks = MemoryBlocks()
    old = build(pairs, blocks.put)
    done = apply(blocks, old, make_changes(pairs, CHANGES, "mixed"))
    for cid, block in done.created.items():
        blocks.put(cid, block)
    trees = Tree(blocks, old), Tree(blocks, done.root)
    return _row(f"changes: {CHANGES} in a million, in memory", 20, lambda: list(changes(*trees)), "diff, with nodes",
                lambda: diff(blocks, old, done.root))  # fmt: skip
