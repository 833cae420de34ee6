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
    LINK_PREFIXES,
    NO_LEFT,
    NODE_HEADS,
    PARTS,
    VALUE_HEAD,
    check_pair,
    common_prefix,
    join_node,
    key_height,
)
from mstbucket.errors import InvalidInput
from mstbucket.limits import NODE_BLOCK_MAX, VERSION_KEY_MAX

_HEIGHT_0: Final = 0x40  # first bytes of a digest from here on have no two leading zero bits
_HEIGHT_1: Final = 0x10  # and from here on no four
_LAST_LINK: Final = LINK_PART - PARTS  # from the end of a node's parts
_SMALL: Final = NODE_BLOCK_MAX // (VERSION_KEY_MAX + 128)  # entries that are within every limit, however long their keys

Put = Callable[[bytes, bytes], object]


class _Open:
    """The node being filled at one height: its parts, the last key, the `p` of that, the subtree left of the first."""

    __slots__ = ("last", "left", "parts", "shared")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.last = b""
        self.shared = 0
        self.left: CID | None = None


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
    from_bytes, digest_of, join = int.from_bytes, sha256, b"".join
    node_heads, key_heads, leaf_prefixes = NODE_HEADS, KEY_HEADS, LEAF_PREFIXES
    for key, value in pairs:
        size = len(key)
        # [MST-7] [MST-2]
        if key <= last or size > VERSION_KEY_MAX or len(value) != CID_SIZE:
            check_pair(key, value)
            raise InvalidInput(f"the key {key[:40]!r} comes after {last[:40]!r}: sort the pairs, without repeats")
        last = key
        # [MST-1] the first byte of the digest tells the height, but for one key in 256
        first = digest_of(key).digest()[0]
        if first >= _HEIGHT_0:
            # [MST-4] the prefix by XOR of the keys as integers; the key before stands in this node if the leaf has any
            number = from_bytes(key, "big")
            if leaf:
                if size == last_size:
                    shared = size - ((number ^ last_int).bit_length() + 7 >> 3)
                elif size > last_size:
                    shared = last_size - (((number >> 8 * (size - last_size)) ^ last_int).bit_length() + 7 >> 3)
                else:
                    shared = size - ((number ^ (last_int >> 8 * (last_size - size))).bit_length() + 7 >> 3)
                leaf += (key_heads[size - shared], key[shared:], leaf_prefixes[shared], value)
            else:
                leaf = [key_heads[size], key, leaf_prefixes[0], value]
            last_int, last_size = number, size
            continue
        child = None
        if leaf:
            count = len(leaf) // PARTS
            # `join_node` where something could be too large; it repeats here for the many nodes where nothing can
            block = node_heads[count] + join(leaf) + NO_LEFT if count <= _SMALL else join_node(count, leaf, None)
            child = DAG_CBOR_PREFIX + digest_of(block).digest()
            put(child, block)
            leaf = []
        if first >= _HEIGHT_1:
            if not levels:
                levels.append(_Open())
            here = levels[0]
        else:
            height = (8 - first.bit_length()) // 2 if first else key_height(key)
            child = _climb(levels, height, child, put)
            here = levels[height - 1]
        parts = here.parts
        if parts:
            if child is not None:
                parts[_LAST_LINK] = LINK_PREFIXES[here.shared] + child + VALUE_HEAD
            if size == len(here.last):  # as a rule; what `common_prefix` does, without the call
                shared = size - ((from_bytes(key, "big") ^ from_bytes(here.last, "big")).bit_length() + 7 >> 3)
            else:
                shared = common_prefix(here.last, key)
            here.shared = shared
            parts += (key_heads[size - shared], key[shared:], leaf_prefixes[shared], value)
        else:
            here.left = child
            parts += (key_heads[size], key, leaf_prefixes[0], value)
        here.last = key
    root = _close(levels, _write(leaf, None, put) if leaf else None, put)
    if root is not None:
        return root
    # [MST-6] the empty tree is one node
    put(EMPTY_ROOT, EMPTY_BLOCK)
    return EMPTY_ROOT


def _climb(levels: list[_Open], height: int, child: CID | None, put: Put) -> CID | None:
    """Close every node below *height*, which is above 1; *child* is the lowest. Return what becomes of them."""
    while len(levels) < height:
        levels.append(_Open())
    # [MST-5] a level without keys, between others, is an empty node: links never skip a height
    child = _close(levels[: height - 1], child, put)
    levels[: height - 1] = [_Open() for _ in range(height - 1)]
    return child


def _close(levels: list[_Open], child: CID | None, put: Put) -> CID | None:
    """Write the open nodes of *levels*, lowest first, each linking to the one below; return the highest."""
    for here in levels:
        if here.parts:
            if child is not None:
                here.parts[_LAST_LINK] = LINK_PREFIXES[here.shared] + child + VALUE_HEAD
        elif child is not None:
            here.left = child
        elif here.left is None:
            continue
        child = _write(here.parts, here.left, put)
    return child


def _write(parts: list[bytes], left: CID | None, put: Put) -> CID:
    block = join_node(len(parts) // PARTS, parts, left)
    cid = DAG_CBOR_PREFIX + sha256(block).digest()
    put(cid, block)
    return cid
