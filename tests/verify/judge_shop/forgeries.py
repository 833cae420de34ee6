"""Made-up exports: histories of versions that are right or not, and nodes of bodies whose numbers fit or do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

from mstbucket.core.dagcbor import Link

from .mutants import Blocks, car_of, encode, replaced

CHUNK, WIDTH, OBJECT_MAX = 1 << 20, 1024, 53_687_091_200_000
_FULL = (CHUNK, 2 * CHUNK, CHUNK << 10, CHUNK << 11, CHUNK << 20, CHUNK << 21, OBJECT_MAX)
EDGES = [edge + n for edge in _FULL for n in (-1, 0, 1)]


def histories(forge_type: Callable[[], Any], seed: int, count: int) -> list[bytes]:
    """Buckets of few keys with many versions; the trees are good, and the histories are what chance makes of them."""
    random = Random(seed)
    found = []
    for _n in range(count):
        forge = forge_type()
        keys = [b"%d" % random.randrange(40) for _ in range(random.randrange(1, 8))]
        ids = [None, None, "1", "2", "3", "4", "5", "6"]
        present = {key for key in keys if random.random() < 0.6}
        objects = {key: forge.manifest(b"x", version_id=random.choice(ids)) for key in present}
        versions: dict[bytes, bytes] = {}
        for key in keys:
            gone = key not in present
            for place in range(random.randrange(1, 7)):
                seq = (1 << 63) - 1 - (place + (random.random() < 0.97)) * random.choice((1, 7))
                marker = (place == 0 and gone and random.random() < 0.95) or random.random() < 0.2
                name = random.choice((f"v{place}", f"v{place}", f"v{place}", random.choice(ids)))
                made = forge.marker(version_id=name) if marker else forge.manifest(b"y", version_id=name)
                versions[key + b"\0%016x" % ((1 << 64) - 1 - seq)] = made
        found.append(forge.car(forge.bucket(objects, versions)))
    return found


# --- bodies: nodes alone, so that a good one is an export with its chunks missing ----------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _children(size: int, height: int, count: int) -> list[int]:
    full = CHUNK * WIDTH ** (height - 1)
    return [max(0, min(full, size - n * full)) for n in range(count)]


def _count(size: int, height: int) -> int:
    return -(-size // (CHUNK * WIDTH ** (height - 1)))


@cache
def _total(size: int, height: int) -> int:
    if height == 0:
        return size
    sizes = _children(size, height, _count(size, height))
    return len(_node([bytes(36)] * len(sizes), size, height)) + sum(_total(child, height - 1) for child in sizes)


def _node(cids: list[bytes], size: int, height: int) -> bytes:
    sizes = _children(size, height, len(cids))
    links = [b"\n\x24" + cid + b"\x12\0\x18" + _varint(_total(n, height - 1)) for cid, n in zip(cids, sizes, strict=True)]
    data = b"\x08\x02\x18" + _varint(size) + b"".join(b"\x20" + _varint(n) for n in sizes)
    return b"".join(b"\x12" + _varint(len(link)) + link for link in links) + b"\n" + _varint(len(data)) + data


def bodies(base: Blocks, seed: int, count: int) -> list[bytes]:
    """A bucket of one object whose body is one node of a size and a height; *base* is commit, node, manifest and body."""
    random = Random(seed)
    found = []
    for _n in range(count):
        size = max(1, random.choice(EDGES) + random.choice((0, 0, random.randrange(CHUNK))))
        height = random.choice([h for h in (1, 2, 3) if _count(size, h) <= WIDTH] or [3])
        links = min(_count(size, height) + random.choice((0, 0, 0, 0, 1, -1)), WIDTH + 1)
        codec = random.choice((0x55, 0x70)) if random.random() < 0.1 else (0x55 if height == 1 else 0x70)
        kinds = [bytes([1, codec, 0x12, 0x20]) + sha256(b"%d" % n).digest() for n in range(random.choice((1, 2, 2000)))]
        node = _node([kinds[n % len(kinds)] for n in range(links)], size, height)
        if random.random() < 0.2 and node:
            place = random.randrange(len(node))
            node = node[:place] + random.randbytes(1) + node[place + 1 :]
        cid = bytes([1, 0x70, 0x12, 0x20]) + sha256(node).digest()
        stated = random.choice((size, size, size, size + 1, random.choice(EDGES)))
        manifest = {
            "etag": "x", "size": stated, "content": Link(cid), "created": 0, "modified": 0, "content_type": "",
        }  # fmt: skip
        found.append(car_of([*replaced(base, 2, encode(manifest))[:3], (cid, node)]))
    return found
