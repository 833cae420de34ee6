"""Verify what a tree holds under a key, or that it does not hold the key, from the nodes on the key's path alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from mstbucket.core.cid import CID, to_text, verify_block
from mstbucket.errors import InvalidInput, MissingBlock, Untrue
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.verify.node import Place, judge
from mstbucket.verify.ordered import below
from mstbucket.verify.tree import check_node_cid


def verify_proof(root: CID, key: bytes, nodes: Sequence[bytes], *, key_max: int = KEY_MAX) -> CID | None:
    """Return the value that *nodes* prove *key* to have in the tree *root*, or None where they prove it is absent.

    This holds for a tree that is good as a whole. Nodes away from the path are not here, and so are not checked: only
    `verify_tree` can tell that nobody hid the key at a wrong place. The caller knows from elsewhere that *root* is the
    right one.

    Args:
        nodes: the blocks of the nodes on the path, root first, and none besides: down to the one that holds the key,
            or to the one that has no subtree where the key would be.
        key_max: `KEY_MAX` for a tree of objects, `VERSION_KEY_MAX` for a tree of versions.

    Raises:
        InvalidBlock, HashMismatch, Untrue: a node is not good at its place, or not on the path.
        MissingBlock: the path goes on after the last node.
    """
    if key_max not in (KEY_MAX, VERSION_KEY_MAX):
        raise InvalidInput(f"trees have keys of at most {KEY_MAX} or {VERSION_KEY_MAX} bytes, not {key_max}")
    check_node_cid(root)
    place: Place | None = (root, None, b"", None)
    value: CID | None = None
    for number, block in enumerate(nodes):
        # [VER-14] nothing after the answer
        if place is None:
            raise Untrue(f"the proof has {len(nodes)} nodes, and {number} of them give the answer: remove the rest")
        # [VER-13] each node is what the link before names, and good at its place
        verify_block(place[0], block)
        node = judge(block, place, key_max)
        at = bisect_left(node.keys, key)
        if at < len(node.keys) and node.keys[at] == key:
            value, place = node.values[at], None
        else:
            place = below(node, place, at)
    if place is not None:
        # [VER-14] nothing missing
        raise MissingBlock(
            f"the proof ends before node {to_text(place[0])}: ask for it, nothing is proved without"
        ).about(cid=place[0])
    return value
