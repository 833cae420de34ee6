"""Changed exports: bytes, sections, and blocks whose names, and those of all blocks above, are made to fit again.

It knows the container and how a CID is written, and of DAG-CBOR what a generic codec knows.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from hashlib import sha256
from random import Random
from typing import Any

from mstbucket.core import dagcbor
from mstbucket.core.car import header, section
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import to_text
from mstbucket.core.dagcbor import Link
from mstbucket.errors import MstBucketError

Blocks = list[tuple[bytes, bytes]]  # the CID of each block and the block, the root first

INTEGERS = (-1, 0, 1, 2, 23, 24, 1024, 1025, 1 << 20, (1 << 20) + 1, 1 << 53, (1 << 63) - 1, 1 << 63, -(1 << 63))
TEXTS = ("", "a", "\0", "null", "é", "x" * 300, "Enabled", "Suspended", '"', "-")
BYTES = (b"", b"\0", b"a", b"\xff", bytes(32), bytes(64), b"z" * 1025, b"\0ffffffffffffffff", b"a\0" + b"8" + b"0" * 15)
OTHERS: tuple[Any, ...] = (None, True, False, 0.5, [], {}, [0], [1, 2], {"": "a"}, {"a": ""}, {"a": 1})
NAMES = (
    "version_id", "delete_marker", "sha256", "parts", "tags", "headers", "key", "sig", "forked", "prev", "message", "merged",
    "x", "",
)  # fmt: skip


def blocks_of(data: bytes) -> Blocks:
    return [(bytes(cid), block) for cid, block, _ in CarReader(io.BytesIO(data))]


def car_of(blocks: Blocks) -> bytes:
    return header(blocks[0][0]) + b"".join(section(cid, block) for cid, block in blocks)


def replaced(blocks: Blocks, place: int, block: bytes) -> Blocks:
    """Put another block there, and the new names into every block above, up to the root."""
    blocks = list(blocks)
    todo = [(place, block)]
    for _round in range(4 * len(blocks)):  # a link to a block above makes a circle: no names fit then
        if not todo:
            break
        place, block = todo.pop(0)
        old = blocks[place][0]
        new = old[:4] + sha256(block).digest()
        blocks[place] = (new, block)
        for other, (cid, above) in enumerate(blocks):
            if old in above and other != place:
                blocks[other] = (cid, above.replace(old, new))
        todo = [(other, b) for other, (cid, b) in enumerate(blocks) if cid[4:] != sha256(b).digest()]
    return blocks


def encode(value: Any) -> bytes:
    """DAG-CBOR of values that no clause need allow: integers of 64 bits without sign, maps with any text for a key."""
    match value:
        case None | bool() | float():
            return dagcbor.encode(value)
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case list():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            pairs = sorted(((encode(key), encode(item)) for key, item in value.items()), key=lambda pair: pair[0])
            return _head(5, len(value)) + b"".join(key + item for key, item in pairs)
    return b"\xd8\x2a\x58\x25\x00" + bytes(value.cid)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    width = next(n for n in range(4) if number < 1 << (8 << n))
    return bytes([major << 5 | 24 + width]) + number.to_bytes(1 << width, "big")


# --- kinds of change: each is given its own copy, and returns a file ----------------------------------------------------


def of_bytes(random: Random, data: bytes, _: Blocks) -> bytes:
    changed = bytearray(data)
    for _n in range(random.choice((1, 1, 1, 2, 5))):
        place = min(random.randrange(len(changed) + 1), random.choice((len(changed), 150)))
        match random.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([random.randrange(256)])
            case 1:
                changed[place:place] = random.randbytes(random.randrange(1, 4))
            case 2:
                del changed[place : place + random.randrange(1, 5)]
            case 3:
                del changed[place:]
            case _:
                flipped = changed[place] ^ 1 << random.randrange(8) if place < len(changed) else 0
                changed[place : place + 1] = bytes([flipped])
    return bytes(changed)


def of_sections(random: Random, _: bytes, blocks: Blocks) -> bytes:
    first, second = random.randrange(len(blocks)), random.randrange(len(blocks))
    root = blocks[0]
    match random.randrange(5):
        case 0:
            del blocks[first]
        case 1:
            blocks.insert(second, blocks[first])
        case 2:
            blocks[first], blocks[second] = blocks[second], blocks[first]
        case 3:
            blocks.insert(second, blocks.pop(first))
        case _:
            del blocks[first:]
    return header(root[0]) + b"".join(section(cid, block) for cid, block in blocks)


def of_a_block(random: Random, _: bytes, blocks: Blocks) -> bytes:
    """Bytes of one block; its name is made to fit."""
    place = random.randrange(len(blocks))
    return car_of(replaced(blocks, place, of_bytes(random, blocks[place][1] or b"\0", [])))


def of_links(random: Random, _: bytes, blocks: Blocks) -> bytes:
    """One link of a block is to another block of the file."""
    place = random.randrange(len(blocks))
    block = blocks[place][1]
    places = [n for cid, _ in blocks if (n := block.find(cid)) >= 0]
    if places:
        at = random.choice(places)
        block = block[:at] + random.choice(blocks)[0] + block[at + 36 :]
    return car_of(replaced(blocks, place, block))


def of_fields(random: Random, _: bytes, blocks: Blocks) -> bytes:
    """Values in one DAG-CBOR block; it stays canonical."""
    place = random.choice([n for n, (cid, _) in enumerate(blocks) if cid[1] == 0x71])
    value = dagcbor.decode(blocks[place][1])
    for _n in range(random.choice((1, 1, 1, 2))):
        spots = list(_spots(value))
        if spots:
            _change(random, *random.choice(spots), blocks)
    return car_of(replaced(blocks, place, encode(value)))


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its places."""
    if isinstance(value, (dict, list)):
        for place in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, place
            yield from _spots(value[place])


def _change(random: Random, container: Any, place: Any, blocks: Blocks) -> None:
    old = container[place]
    match random.randrange(6):
        case 0:
            del container[place]
        case 1 if isinstance(container, dict):
            container[random.choice(NAMES)] = _value(random, old, blocks)
        case 1 | 2 if isinstance(container, list):
            container.insert(random.randrange(len(container) + 1), old)
        case 3 if isinstance(old, bytes):
            container[place] = of_bytes(random, old or b"a", [])
        case 3 if isinstance(old, int):
            container[place] = old + random.choice((-1, 1))
        case 4 if isinstance(container, dict):
            container[random.choice(list(container))] = old
        case _:
            container[place] = _value(random, old, blocks)


def _value(random: Random, old: Any, blocks: Blocks) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: random.choice(INTEGERS), lambda: random.choice(TEXTS), lambda: random.choice(BYTES),
        lambda: random.choice(OTHERS), lambda: Link(random.choice(blocks)[0]),
    ]  # fmt: skip
    same = {int: 0, str: 1, bytes: 2, Link: 4}.get(type(old))
    return random.choice(kinds)() if same is None or random.random() < 0.4 else kinds[same]()


KINDS = (of_bytes, of_sections, of_a_block, of_links, of_fields, of_fields, of_fields)


def mutants(bases: list[bytes], seed: int, count: int) -> list[bytes]:
    """So many changed files, the same for one seed."""
    random = Random(seed)
    parts = [(data, blocks_of(data)) for data in bases]
    found = []
    for n in range(count):
        data, blocks = parts[random.randrange(len(parts))]
        found.append(KINDS[n % len(KINDS)](random, data, list(blocks)))
    return found


def second_name(data: bytes, otherwise: str) -> str:
    """The CID of the second block of a proof, its commit, where the file can be read so far."""
    try:
        return to_text(list(itertools.islice(CarReader(io.BytesIO(data)), 2))[1][0])
    except (MstBucketError, IndexError):
        return otherwise
