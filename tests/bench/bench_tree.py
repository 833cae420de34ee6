"""The tree at 100,000 keys, and building at a million: CPU time, against hashing the same keys and nodes.

With MSTBUCKET_BENCH_PEER=DIR also against the prototype in that directory (`tree_peer.py`).
"""

from __future__ import annotations

import random
from hashlib import sha256

from rows import Row, cpu_seconds
from tree_peer import compare

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff
from mstbucket.core.mst.proof import prove
from mstbucket.core.mst.walk import get, walk, walk_blocks

KEYS = 100_000
MANY = 1_000_000

Pairs = list[tuple[bytes, bytes]]


def photo(rng: random.Random) -> bytes:
    return b"photos/%04d/%09d.jpg" % (rng.randrange(1000), rng.randrange(10**9))


def make_pairs(count: int) -> Pairs:
    rng = random.Random(count)
    keys: set[bytes] = set()
    while len(keys) < count:
        keys.add(photo(rng))
    return [(key, dag_cbor_cid(key)) for key in sorted(keys)]


def make_changes(pairs: Pairs, count: int, kind: str) -> list[tuple[bytes, bytes | None]]:
    """Return *count* sorted changes: updates, inserts, deletes, or two parts, one part and one part of them."""
    rng = random.Random(f"{kind} {count}")
    changes: dict[bytes, bytes | None] = {}
    while len(changes) < count:
        what = rng.choice(("update", "update", "insert", "delete")) if kind == "mixed" else kind
        key = photo(rng) if what == "insert" else rng.choice(pairs)[0]
        changes[key] = None if what == "delete" else dag_cbor_cid(b"new %d" % len(changes))
    return sorted(changes.items())


def hash_all(blocks: list[bytes]) -> None:
    for block in blocks:
        sha256(block).digest()


def building(count: int, repeat: int) -> Row:
    pairs = make_pairs(count)
    blocks: dict[bytes, bytes] = {}
    build(pairs, blocks.__setitem__)
    floor = cpu_seconds(lambda: hash_all([key for key, _ in pairs] + list(blocks.values())), repeat)
    took = cpu_seconds(lambda: build(pairs, {}.__setitem__), repeat)
    rate = count / took
    goal = "at least 500,000"
    return Row(f"build {count:,} sorted keys", rate, "keys/s", "sha256 of keys, nodes", took / floor, goal, rate >= 5e5)


def batches(store: MemoryBlocks, root: bytes, pairs: Pairs) -> list[Row]:
    rows = []
    for count, kind, limit in (
        (1, "update", 0.1),
        (1000, "mixed", 35),
        (1000, "update", 35),
        (1000, "insert", 35),
        (1000, "delete", 35),
    ):
        changes = make_changes(pairs, count, kind)
        created = list(apply(store, root, changes).created.values())
        hashed = [key for key, _ in changes] + created
        floor = cpu_seconds(lambda hashed=hashed: hash_all(hashed))
        took = cpu_seconds(lambda changes=changes: apply(store, root, changes), 7)
        name = f"apply {count:,} {kind}{'s' * (count > 1 and kind != 'mixed')}"
        rows.append(
            Row(
                name,
                took * 1e3,
                "ms",
                "sha256 of changed keys, new nodes",
                took / floor,
                f"at most {limit:g}",
                took * 1e3 <= limit,
            )
        )
    return rows


def comparing(store: MemoryBlocks, root: bytes, pairs: Pairs) -> Row:
    applied = apply(store, root, make_changes(pairs, 100, "mixed"))
    both = MemoryBlocks({**store.blocks, **applied.created})
    found = diff(both, root, applied.root)
    hashed = [both.blocks[cid] for cid in found.created + found.deleted]
    floor = cpu_seconds(lambda: hash_all(hashed))
    took = cpu_seconds(lambda: diff(both, root, applied.root), 7)
    return Row(
        "diff, 100 mixed changes",
        took * 1e3,
        "ms",
        "sha256 of nodes that differ",
        took / floor,
        "at most 6",
        took * 1e3 <= 6,
    )


def reading(store: MemoryBlocks, root: bytes, pairs: Pairs) -> list[Row]:
    rows = []
    nodes = list(store.blocks.values())
    floor = cpu_seconds(lambda: hash_all(nodes))
    for name, work, limit in (
        ("walk in order", lambda: sum(1 for _ in walk(store, root)), 80),
        ("walk in export order", lambda: sum(1 for _ in walk_blocks(store, root)), 120),
    ):
        took = cpu_seconds(work) * 1e3
        rows.append(Row(name, took, "ms", "sha256 of nodes", took / floor / 1e3, f"at most {limit}", took <= limit))
    keys = [key for key, _ in make_changes(pairs, 1000, "update")]
    paths = [node for key in keys for node in prove(store, root, key).nodes]
    floor = cpu_seconds(lambda: hash_all(paths))
    for name, call, limit in (("look up a key", get, 0.05), ("prove a key", prove, 0.1)):
        took = cpu_seconds(lambda call=call: [call(store, root, key) for key in keys], 3)
        each = took / len(keys) * 1e3
        rows.append(Row(name, each, "ms", "sha256 of nodes on the way", took / floor, f"at most {limit}", each <= limit))
    return rows


def run() -> list[Row]:
    pairs = make_pairs(KEYS)
    store = MemoryBlocks()
    root = build(pairs, store.put)
    return [
        building(KEYS, 5),
        building(MANY, 2),
        *batches(store, root, pairs),
        comparing(store, root, pairs),
        *reading(store, root, pairs),
        *compare(
            pairs,
            make_changes(pairs, 900, "mixed"),
            make_changes(pairs, 1, "update"),
            make_changes(pairs, 100, "mixed"),
        ),
    ]
