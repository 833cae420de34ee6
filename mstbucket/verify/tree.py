"""Verify a whole tree: every node at its place, from the root down, in no particular order and without recursion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, to_text, verify_block
from mstbucket.errors import InvalidBlock, InvalidInput
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.verify.node import Node, Place, judge

Pair: TypeAlias = tuple[bytes, CID]  # a key and its value

_BATCH: Final = 256  # nodes asked of the source at once
_PENDING_MAX: Final = 1 << 16  # above it one by one, so that hostile nodes of 8,192 links cannot pile up


@dataclass(frozen=True, slots=True)
class TreeReport:
    """A tree that was verified.

    Attributes:
        root: its CID.
        keys, nodes: how many.
        bytes: of all nodes.
        height: of the root.
        widest: entries of the largest node; above `NODE_ENTRIES_WARN` somebody chose keys to make it so.
    """

    root: CID
    keys: int
    nodes: int
    bytes: int
    height: int
    widest: int


def verify_tree(blocks: BlockSource, root: CID, *, key_max: int = KEY_MAX) -> TreeReport:
    """Check all nodes of the tree at *root* and return its figures.

    What is checked is in `spec/format/11-verification.md` [VER-1] to [VER-12]. What the values name is not looked at.
    Nothing is changed; memory is bounded, whatever the tree.

    Args:
        key_max: `KEY_MAX` for a tree of objects, `VERSION_KEY_MAX` for a tree of versions.

    Raises:
        InvalidBlock, HashMismatch, Untrue: this is no tree. Get another copy of the block named.
        MissingBlock: from *blocks*. Of a tree that is partial on purpose this says "unknown", not "absent".
    """
    keys = nodes = size = height = widest = 0
    for _, block, node in verified_nodes(blocks, root, key_max=key_max):
        if not nodes:
            height = node.height
        nodes += 1
        size += len(block)
        width = len(node.keys)
        keys += width
        widest = max(widest, width)
    return TreeReport(root, keys, nodes, size, height, widest)


def verified_nodes(blocks: BlockSource, root: CID, *, key_max: int = KEY_MAX) -> Iterator[tuple[CID, bytes, Node]]:
    """Yield (CID, block, node) for every node of the tree at *root*, each checked; the root is first.

    For callers that need the pairs, too. Raises what `verify_tree` raises, at the node that is wrong: what came before
    is good only as far as it goes.
    """
    if key_max not in (KEY_MAX, VERSION_KEY_MAX):
        raise InvalidInput(f"trees have keys of at most {KEY_MAX} or {VERSION_KEY_MAX} bytes, not {key_max}")
    check_node_cid(root)
    # [VER-2] a list for a stack; bounded by `_PENDING_MAX` and the links of one node for each height
    pending: list[Place] = [(root, None, b"", None)]
    while pending:
        batch = pending[-_BATCH:] if len(pending) < _PENDING_MAX else pending[-1:]
        del pending[-len(batch) :]
        found = blocks.get_many([place[0] for place in batch])
        for place in batch:
            cid = place[0]
            block = found[cid]
            # [VER-1] the bytes are what the link names
            if sha256(block).digest() != cid[4:]:
                verify_block(cid, block)  # raises
            node = judge(block, place, key_max)
            if node.height:
                pending += subtrees(node, place)
            yield cid, block, node


def subtrees(node: Node, place: Place) -> Iterator[Place]:
    """Yield the places below *node*, which was judged good at *place*, in the order of keys."""
    _, _, low, high = place
    below = node.height - 1  # [VER-9] one lower, exactly
    after: bytes | None
    for link, after in zip(node.links, (*node.keys, high), strict=True):
        if link is not None:
            yield link, below, low, after
        if after is not None:
            low = after


def steps(node: Node, place: Place) -> Iterator[Place | Pair]:
    """Return what hangs below *node* in the order its links are encoded: `t` before `v` in each entry, `l` last."""
    return _mixed(node, place) if node.height else zip(node.keys, node.values, strict=True)


def _mixed(node: Node, place: Place) -> Iterator[Place | Pair]:
    _, _, low, high = place
    keys, below = node.keys, node.height - 1
    afters = [*keys[1:], high] if keys else []
    for key, value, link, after in zip(keys, node.values, node.links[1:], afters, strict=True):
        if link is not None:
            yield link, below, key, after
        yield key, value
    if node.links[0] is not None:
        yield node.links[0], below, low, keys[0] if keys else high


def check_node_cid(root: CID) -> None:
    """Raise `InvalidBlock` unless *root* can be a commit's or a tree's; links in nodes are checked with the node."""
    # [VER-1]
    if len(root) != 36 or root[:4] != DAG_CBOR_PREFIX:
        raise InvalidBlock(
            f"{to_text(root)} is not the CID of a dag-cbor block, as commits and tree nodes are"
        ).about(cid=root)
