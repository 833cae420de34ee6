"""The tree beside the prototype it grew from: speed in the same run, with the same keys; more than 1 is faster.

The prototype (`fastmst.py` and `fastmerge.py`) is laxer than the tree may be: it takes the shape of nodes on trust, checks
no limit, no order and no interval, and of each verb only the main path. It is not in this repository; its directory is
named by the environment variable MSTBUCKET_BENCH_PEER. Without it these rows are left out.

What did not help, so that nobody tries it again: compiling with mypyc (1.1 to 1.6 times); the sha256 that is not
OpenSSL's; taking the garbage collector out (no share in any row); unpacking `dict.values()` or `zip(*…)` instead of
four look-ups by name (slower); a parser of our own by slices (as slow as the decoder with its dictionaries); handing
on verified nodes, or pairs of a walk, in lists of hundreds (slower by a tenth: what is kept alive grows out of the
processor's cache, which is also what a fold by levels pays beside a recursion that forgets); pairing the old and new
nodes of a comparison by their first keys (a fiftieth). Of a walk half is decoding, and of that a third the checks of
types, lengths and order that the prototype leaves out.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rows import Row

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff
from mstbucket.core.mst.walk import walk
from mstbucket.verify.tree import verify_tree

VARIABLE = "MSTBUCKET_BENCH_PEER"

Pairs = list[tuple[bytes, bytes]]
Changes = list[tuple[bytes, bytes | None]]


def compare(pairs: Pairs, some: Changes, one: Changes, few: Changes) -> list[Row]:
    """Return six rows: building *pairs*, then on their tree *some*, *one*, and the diff that *few* make; read; judged."""
    place = os.environ.get(VARIABLE)
    if place is None:
        return []
    sys.path.append(place)
    fast: Any = importlib.import_module("fastmst")
    merge: Any = importlib.import_module("fastmerge")
    store = MemoryBlocks()
    root = build(pairs, store.put)
    get = store.blocks.__getitem__
    other = apply(store, root, few)
    both = MemoryBlocks({**store.blocks, **other.created})
    get_both = both.blocks.__getitem__
    pool = dict(store.blocks)  # the prototype reads again what it has just written
    merge2 = partial(merge.merge2, pool.__getitem__, pool.__setitem__, root)
    # Both give the same, or the figures compare nothing.
    made: dict[bytes, bytes] = {}
    assert fast.build(pairs, made.__setitem__) == root
    assert made == store.blocks
    for changes in (some, one):
        assert merge2(changes) == apply(store, root, changes).root
    assert fast.diff(get_both, root, other.root)[3] == set(diff(both, root, other.root).created)
    assert list(fast.walk(get, root)) == list(walk(store, root)) == pairs
    report = verify_tree(store, root)
    assert fast.verify(get, root) == (report.keys, report.nodes)
    return [
        _row("build", 5, lambda: build(pairs, {}.__setitem__), lambda: fast.build(pairs, {}.__setitem__)),
        _row(f"batch of {len(some)}", 15, lambda: apply(store, root, some), lambda: merge2(some)),
        _row(
            "one change",
            15,
            lambda: [apply(store, root, one) for _ in range(50)],
            lambda: [merge2(one) for _ in range(50)],
        ),
        _row(f"diff of {len(few)}", 25, lambda: diff(both, root, other.root), lambda: fast.diff(get_both, root, other.root)),
        _row("walk", 7, lambda: sum(1 for _ in walk(store, root)), lambda: sum(1 for _ in fast.walk(get, root))),
        _row("strict verify", 5, lambda: verify_tree(store, root), lambda: fast.verify(get, root)),
    ]


def _row(name: str, repeat: int, ours: Callable[[], object], theirs: Callable[[], object]) -> Row:
    took, peer = _seconds(repeat, ours, theirs)
    return Row(f"{name}, beside the peer", took * 1e3, "ms", "peer's time / ours", peer / took, "at least 1.0", peer >= took)


def _seconds(repeat: int, *works: Callable[[], object]) -> list[float]:
    """Return the least CPU time of each of *works*; they take turns, so that a busy machine slows all of them."""
    gc.collect()
    gc.freeze()
    best = [float("inf")] * len(works)
    try:
        for _ in range(repeat):
            for at, work in enumerate(works):
                start = time.process_time()
                work()
                best[at] = min(best[at], time.process_time() - start)
    finally:
        gc.unfreeze()
    return best
