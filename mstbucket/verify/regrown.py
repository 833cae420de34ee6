"""Makes a tree again from its pairs, in order, and from whole subtrees known by their CID alone.

It shares no code with `core.mst`, which writes trees. `spec/format/03-tree.md` has the shape, [PROOF-11] the use.
"""

from __future__ import annotations

from hashlib import sha256

from mstbucket.core.cid import CID, DAG_CBOR_PREFIX
from mstbucket.errors import Untrue
from mstbucket.limits import NODE_BLOCK_MAX, NODE_ENTRIES_MAX
from mstbucket.verify.node import Node, key_height, write


class Regrown:
    """Takes pairs and subtrees, from the first key to the last, and gives the root. Memory is one node for each height."""

    def __init__(self) -> None:
        self._open: list[Node] = []

    def add(self, key: bytes, value: CID) -> None:
        """Append a pair, whose key is above all before it.

        Raises:
            Untrue: its node would be larger than any reader accepts.
        """
        height = key_height(key)
        self._close_below(height)
        node = self._open[height]
        if len(node.keys) == NODE_ENTRIES_MAX:
            raise Untrue(f"without the changes, more than {NODE_ENTRIES_MAX} keys would stand in one node: no tree has it")
        node.keys.append(key)
        node.values.append(value)
        node.links.append(None)

    def graft(self, subtree: CID, height: int) -> None:
        """Append a subtree of that height, whose keys are above all before it. The next key has to be higher up."""
        self._close_below(height + 1)
        self._open[height + 1].links[-1] = subtree

    def root(self) -> CID | None:
        """The root of the tree; None if nothing was added."""
        if not self._open:
            return None
        # [MST-6] The highest node has a key, and so nothing is to be trimmed: beside a graft there is a higher key.
        self._close_below(len(self._open) - 1)
        return _written(self._open.pop())

    def _close_below(self, height: int) -> None:
        """Write the open nodes below a height, lowest first, each in the last link of the one above ([MST-5])."""
        while len(self._open) <= height:
            self._open.append(Node(len(self._open), [], [], [None]))
        for level in range(height):
            node = self._open[level]
            if node.keys or node.links[0] is not None:
                self._open[level + 1].links[-1] = _written(node)
                self._open[level] = Node(level, [], [], [None])


def _written(node: Node) -> CID:
    block = write(node)
    if len(block) > NODE_BLOCK_MAX:
        raise Untrue(f"without the changes, a node has {len(block)} bytes, more than {NODE_BLOCK_MAX}: no tree has it")
    return DAG_CBOR_PREFIX + sha256(block).digest()
