"""Proofs that a key has a value in a tree, or is absent from it: the nodes from the root to the key's place.

This makes them; `mstbucket.verify.key_path` judges them, and shares no code with this.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, to_text
from mstbucket.core.mst.node import check_pair, decode_node
from mstbucket.errors import Untrue
from mstbucket.limits import TREE_HEIGHT_MAX


@dataclass(frozen=True, slots=True)
class Proof:
    """The blocks of the nodes on the way from *root* to the place of *key*, in that order.

    If the last of them holds the key it proves the key's value, otherwise that the tree has no such key.
    """

    root: CID
    key: bytes
    nodes: tuple[bytes, ...]


def prove(blocks: BlockSource, root: CID, key: bytes) -> Proof:
    """Return the proof of *key*'s value, or of its absence, in the tree under *root*.

    A million keys give about ten nodes and 5 KB. Reads those nodes, one `get` each.

    Raises:
        InvalidInput: the key is empty or too long for any tree.
        MissingBlock: from *blocks*.
        InvalidBlock, Untrue: a node on the way is malformed, or the way goes on beyond any height. Heights of keys and
            the order across nodes are not checked here: a proof of a wrong tree is refused by the judge.
    """
    # [MST-11]
    check_pair(key, root)
    nodes: list[bytes] = []
    link: CID | None = root
    while link is not None:
        # [MST-10]
        if len(nodes) > TREE_HEIGHT_MAX:
            raise Untrue(f"the tree under {to_text(root)} is deeper than {TREE_HEIGHT_MAX} levels").about(cid=root)
        block = blocks.get(link)
        nodes.append(block)
        keys, links, _ = decode_node(block)
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            break
        link = links[at]
    return Proof(root, key, tuple(nodes))
