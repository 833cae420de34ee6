"""The CAR reader and the judges against the hashing they cannot do without. CPU time; floors measured in the same run.

The floor is the sha256 of the same blocks and, for trees, of the same keys: what every verifier of these bytes computes.
Bytes come from memory, so that no disk is measured.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterable
from hashlib import sha256

from rows import Row, cpu_seconds

from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, manifest
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.car import header, section
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.commit import Commit
from mstbucket.core.dagcbor import Link, decode
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.build import build
from mstbucket.spill.seen import Seen, SeenNumbers
from mstbucket.verify.car import verify_car
from mstbucket.verify.tree import verify_tree

MIB = 2**20
ROUNDS = 3


def hashed(blocks: Iterable[bytes]) -> float:
    """Return the floor: the CPU time of hashing *blocks*."""
    return cpu_seconds(lambda: [sha256(block).digest() for block in blocks], ROUNDS)


def drain(data: bytes) -> None:
    for _ in CarReader(io.BytesIO(data)):
        pass


def cut(data: bytes, size: int) -> None:
    """The floor of reading: as many bytes from the same stream, in pieces of one block, and hashed."""
    stream = io.BytesIO(data)
    while piece := stream.read(size):
        sha256(piece).digest()


def reader() -> list[Row]:
    rows = []
    made = random.Random(1)
    for count, size, name in ((200_000, 100, "100 B"), (100, MIB, "1 MiB")):
        blocks = [made.randbytes(size) for _ in range(count)]
        data = header(raw_cid(blocks[0])) + b"".join(section(raw_cid(block), block) for block in blocks)
        took = cpu_seconds(lambda data=data: drain(data), ROUNDS)  # type: ignore[misc]
        least = cpu_seconds(lambda data=data, size=size: cut(data, size), ROUNDS)  # type: ignore[misc]
        if size < MIB:
            value, unit, goal = count / took, "blocks/s", 1_000_000.0
        else:
            value, unit, goal = count * size / took / 1e9, "GB/s", 1.4
        rows.append(
            Row(
                f"read and hash a CAR, {name} blocks",
                value,
                unit,
                "sha256",
                took / least,
                f">= {goal:,}",
                value >= goal,
            )
        )
    return rows


def trees() -> list[Row]:
    rows = []
    for count in (100_000, 1_000_000):
        keys = sorted(b"photos/2024/%02d/img-%08d.jpg" % (n % 12, n) for n in range(count))
        blocks = MemoryBlocks()
        root = build(((key, dag_cbor_cid(key[-12:])) for key in keys), blocks.put)
        took = cpu_seconds(lambda blocks=blocks, root=root: verify_tree(blocks, root), ROUNDS)
        least = hashed([*keys, *blocks.blocks.values()])
        value = count / took
        rows.append(
            Row(
                f"verify a tree, {count:,} keys",
                value,
                "keys/s",
                "sha256 of keys and nodes",
                took / least,
                ">= 450,000",
                value >= 450_000,
            )
        )
    return rows


def export(count: int, size: int) -> tuple[bytes, list[bytes], list[bytes]]:
    """Return a bucket's CAR, its blocks and its keys; made here, so that no exporter is measured."""
    made, blocks, time_ms = random.Random(2), MemoryBlocks(), 1_766_000_000_000
    pairs = []
    for n in range(count):
        body = made.randbytes(size)
        cid = raw_cid(body)
        blocks.put(cid, body)
        etag = body[:16].hex()
        block = manifest.encode(Manifest(cid, size, etag, "image/jpeg", time_ms + n, time_ms + n, sha256=cid[4:]))
        blocks.put(dag_cbor_cid(block), block)
        pairs.append((b"photos/2024/%02d/img-%08d.jpg" % (n % 12, n), dag_cbor_cid(block)))
    pairs.sort()
    tree = build(pairs, blocks.put)
    commit = commits.encode(Commit(commit_fields.bucket_id(bytes(16)), "photos", 1, tree, time_ms, count, count * size))
    blocks.put(dag_cbor_cid(commit), commit)
    out, stack = [header(dag_cbor_cid(commit))], [dag_cbor_cid(commit)]
    while stack:
        cid = stack.pop()
        block = blocks.get(cid)
        out.append(section(cid, block))
        if cid[1] == 0x71:
            stack += reversed(list(links(decode(block))))
    return b"".join(out), list(blocks.blocks.values()), [key for key, _ in pairs]


def links(value: object) -> Iterable[bytes]:
    if isinstance(value, Link):
        yield value.cid
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from links(item)


def buckets() -> list[Row]:
    rows = []
    for count, size in ((20_000, 100), (10_000, 4096)):
        data, blocks, keys = export(count, size)
        took, least = cpu_seconds(lambda data=data: verify_car(io.BytesIO(data)), ROUNDS), hashed([*blocks, *keys])
        value = len(blocks) / took
        name = f"verify a bucket's CAR, objects of {size:,} B"
        rows.append(Row(name, value, "blocks/s", "sha256 of blocks and keys", took / least, ">= 200,000", value >= 200_000))
    return rows


def seen() -> list[Row]:
    """Sets past their bound: what adding costs with all the merging, and what asking costs."""
    cids = [raw_cid(b"%d" % n) for n in range(1_500_000)]
    rows = []
    with Seen() as blocks, SeenNumbers() as numbers:
        start = time.process_time()
        for cid in cids:
            blocks.add(cid)
        added = (time.process_time() - start) / len(cids) * 1e6
        asked = cpu_seconds(lambda: [cid in blocks for cid in cids[::30]], ROUNDS) / len(cids[::30]) * 1e6
        start = time.process_time()
        for cid in cids:
            numbers.add(cid, 5)
        kept = (time.process_time() - start) / len(cids) * 1e6
        memory: set[bytes] = set()
        least = cpu_seconds(lambda: [memory.add(cid) for cid in cids], ROUNDS) / len(cids) * 1e6  # type: ignore[func-returns-value]
    for name, value, goal in (
        ("add to the set of blocks seen, 1.5 M", added, 5.0),
        ("ask it", asked, 2.0),
        ("add to the set with numbers, 1.5 M", kept, 5.0),
    ):
        rows.append(Row(name, value, "us", "set.add", value / least, f"<= {goal}", value <= goal))
    return rows


def run() -> list[Row]:
    return [*reader(), *trees(), *buckets(), *seen()]
