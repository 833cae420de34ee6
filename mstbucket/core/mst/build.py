"""The tree of sorted pairs in one pass: one open node per height, closed when a higher key arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from mstbucket.core.cid import CID, CID_SIZE, DAG_CBOR_PREFIX
from mstbucket.core.mst.node import (
    EMPTY_BLOCK,
    EMPTY_ROOT,
    KEY_HEADS,
    LEAF_PREFIXES,
    LINK_PART,
    PARTS,
    SUFFIX_PART,
    check_pair,
    entry_parts,
    join_node,
    key_height,
    link_part,
)
from mstbucket.errors import InvalidInput
from mstbucket.limits import VERSION_KEY_MAX

_HEIGHT_0: Final = 0x40  # first bytes of a digest from here on have no two leading zero bits

Put = Callable[[bytes, bytes], object]


class _Open:
    """The node being filled at one height: its parts so far, the last key in it, the subtree left of its first."""

    __slots__ = ("last", "left", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.last = b""
        self.left: CID | None = None

    def take(self, child: CID | None) -> None:
        """Hang *child*, if there is one, to the right of all keys so far."""
        if child is None:
            return
        if not self.parts:
            self.left = child
            return
        shared = len(self.last) - len(self.parts[SUFFIX_PART - PARTS])
        self.parts[LINK_PART - PARTS] = link_part(shared, child)


def build(pairs: Iterable[tuple[bytes, bytes]], put: Put) -> CID:
    """Write the tree of *pairs* and return the CID of its root.

    *pairs* are keys and values (CIDs, 36 bytes), ascending strictly; they are read once, and what is kept in memory is
    one open node per height. *put* is called with the CID and the block of every node, children before parents.
    Build at about 600,000 pairs a second (`tests/bench/bench_tree.py`). Equal pairs give equal calls.

    Raises:
        InvalidInput: a key is out of order, empty or too long, a value is no CID, or a node would be above the limits.
            Nodes put before are of no use then, but also do no harm.
    """
    levels: list[_Open] = []  # of heights 1 and up
    leaf: list[bytes] = []  # height 0, where three of four keys stand, is spelled out for speed
    last, last_int, last_size = b"", 0, 0
    from_bytes, digest_of = int.from_bytes, sha256
    for key, value in pairs:
        size = len(key)
        # [MST-7] [MST-2]
        if key <= last or size > VERSION_KEY_MAX or len(value) != CID_SIZE:
            check_pair(key, value)
            raise InvalidInput(f"the key {key[:40]!r} comes after {last[:40]!r}: sort the pairs, without repeats")
        # [MST-1] the first byte of the digest tells the height, but for one key in 256
        first = digest_of(key).digest()[0]
        if first < _HEIGHT_0:
            child = _write(len(leaf) // PARTS, leaf, None, put) if leaf else None
            leaf = []
            _climb(levels, (8 - first.bit_length()) // 2 if first else key_height(key), child, put, (key, value))
        else:
            # [MST-4] the prefix by XOR of the keys as integers; the key before stands in this node if the leaf has any
            number = from_bytes(key, "big")
            if not leaf:
                leaf += (KEY_HEADS[size], key, LEAF_PREFIXES[0], value)
            else:
                surplus = size - last_size
                if not surplus:
                    shared = size - ((number ^ last_int).bit_length() + 7 >> 3)
                elif surplus > 0:
                    shared = last_size - (((number >> 8 * surplus) ^ last_int).bit_length() + 7 >> 3)
                else:
                    shared = size - ((number ^ (last_int >> -8 * surplus)).bit_length() + 7 >> 3)
                leaf += (KEY_HEADS[size - shared], key[shared:], LEAF_PREFIXES[shared], value)
            last_int, last_size = number, size
        last = key
    root = _close(levels, _write(len(leaf) // PARTS, leaf, None, put) if leaf else None, put)
    if root is not None:
        return root
    # [MST-6] the empty tree is one node
    put(EMPTY_ROOT, EMPTY_BLOCK)
    return EMPTY_ROOT


def _climb(levels: list[_Open], height: int, child: CID | None, put: Put, pair: tuple[bytes, CID]) -> None:
    """Close every node below *height*, the lowest of which is *child*, and enter *pair* at it."""
    while len(levels) < height:
        levels.append(_Open())
    if height > 1:
        # [MST-5] a level without keys, between others, is an empty node: links never skip a height
        child = _close(levels[: height - 1], child, put)
        levels[: height - 1] = [_Open() for _ in range(height - 1)]
    here = levels[height - 1]
    here.take(child)
    here.parts += entry_parts(here.last, pair[0], None, pair[1])
    here.last = pair[0]


def _close(levels: list[_Open], child: CID | None, put: Put) -> CID | None:
    """Write the open nodes of *levels*, lowest first, each linking to the one below; return the highest."""
    for here in levels:
        here.take(child)
        # The highest level is open because a key stands in it, so no empty node is ever written at the top. [MST-6]
        if here.parts or here.left is not None:
            child = _write(len(here.parts) // PARTS, here.parts, here.left, put)
    return child


def _write(count: int, parts: list[bytes], left: CID | None, put: Put) -> CID:
    block = join_node(count, parts, left)
    cid = DAG_CBOR_PREFIX + sha256(block).digest()
    put(cid, block)
    return cid
