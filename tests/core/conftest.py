"""The slow and obvious tree, straight from the definition, that everything fast is compared with; and keys to try."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from multiformats import CID as LibraryCid

FIXTURES = Path(__file__).parents[2] / "fixtures"

Tree = tuple[bytes, dict[bytes, bytes]]


def slow_height(key: bytes) -> int:
    """[MST-1] by counting characters"""
    bits = "".join(f"{byte:08b}" for byte in sha256(key).digest())
    return (len(bits) - len(bits.lstrip("0"))) // 2


def slow_prefix(a: bytes, b: bytes) -> int:
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))


@functools.lru_cache(maxsize=200_000)
def slow_node(entries: tuple[tuple[bytes, bytes, bytes | None], ...], left: bytes | None) -> tuple[bytes, bytes]:
    """Encode (key, value, right subtree) by the generic library, and hash."""
    written = []
    before = b""
    for key, value, right in entries:
        shared = slow_prefix(before, key)
        link = None if right is None else LibraryCid.decode(right)
        written.append({"k": key[shared:], "p": shared, "t": link, "v": LibraryCid.decode(value)})
        before = key
    block = dag_cbor.encode({"e": written, "l": None if left is None else LibraryCid.decode(left)})
    return b"\x01\x71\x12\x20" + sha256(block).digest(), block


def slow_subtree(pairs: list[tuple[bytes, bytes]], height: int, blocks: dict[bytes, bytes]) -> bytes | None:
    """Split the sorted *pairs* at the keys of *height*; what lies between goes one lower."""
    if not pairs:
        return None
    between: list[list[tuple[bytes, bytes]]] = [[]]
    here = []
    for key, value in pairs:
        if slow_height(key) == height:
            here.append((key, value))
            between.append([])
        else:
            between[-1].append((key, value))
    links = [slow_subtree(part, height - 1, blocks) for part in between]
    entries = tuple((key, value, link) for (key, value), link in zip(here, links[1:], strict=True))
    cid, block = slow_node(entries, links[0])
    blocks[cid] = block
    return cid


def slow_tree(pairs: Mapping[bytes, bytes]) -> Tree:
    """Return the root and all nodes of the tree of *pairs*."""
    blocks: dict[bytes, bytes] = {}
    root = slow_subtree(sorted(pairs.items()), max(map(slow_height, pairs), default=0), blocks)
    if root is None:
        root, block = slow_node((), None)
        blocks[root] = block
    return root, blocks


@functools.cache
def mined(height: int, count: int, stem: str = "k") -> list[bytes]:
    """Return the first *count* keys of *height* among stem + number."""
    keys = (f"{stem}{n}".encode() for n in itertools.count())
    return sorted(itertools.islice((key for key in keys if slow_height(key) == height), count))


def value_of(what: object) -> bytes:
    return b"\x01\x71\x12\x20" + sha256(repr(what).encode()).digest()


def load_json(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


def load_key_lines() -> list[str]:
    return (FIXTURES / "atproto-interop/mst/example_keys.txt").read_text(encoding="utf-8").split()


def small_universe() -> list[bytes]:
    """Seven keys of heights 0 1 0 3 0 0 2 in this order: splits, merges, empty nodes and growth are all in reach."""
    wanted = [0, 1, 0, 3, 0, 0, 2]
    stems = "abcdefg"
    return [mined(height, 1, stem)[0] for height, stem in zip(wanted, stems, strict=True)]


def subsets(keys: list[bytes]) -> Iterator[tuple[bytes, ...]]:
    for size in range(len(keys) + 1):
        yield from itertools.combinations(keys, size)


class Oracle:
    """What the tests of the tree share."""

    fixtures = FIXTURES
    height: Callable[[bytes], int] = staticmethod(slow_height)
    prefix: Callable[[bytes, bytes], int] = staticmethod(slow_prefix)
    tree: Callable[[Mapping[bytes, bytes]], Tree] = staticmethod(slow_tree)
    node = staticmethod(slow_node)
    mined = staticmethod(mined)
    value: Callable[[object], bytes] = staticmethod(value_of)
    universe = staticmethod(small_universe)
    subsets = staticmethod(subsets)
    json = staticmethod(load_json)
    key_lines = staticmethod(load_key_lines)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()
