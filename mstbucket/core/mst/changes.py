"""What changed between two trees, key by key in order, in bounded memory: both are walked side by side.

Each side is a row of things to come: pairs, and links to subtrees. Two equal links in front have equal keys below them, so
both go unread. Of two others the higher is opened, or both. `core.mst.diff` gives the changed nodes as well, and holds all.

Nodes are read ahead by levels, and equal ones cancel there as well: a few changes in a large tree cost two calls a level.
Checks are as for `walk`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID
from mstbucket.core.mst.diff import Change
from mstbucket.core.mst.node import key_height, read_node
from mstbucket.core.mst.walk import empty_subtree, out_of_order, too_deep

_AHEAD_NODES: Final = 4096  # read ahead on each side at a time; honest nodes have 300 bytes
_WIDE: Final = 256  # nodes of one level
_CALL_NODES: Final = 128  # of one get_many: at most 128 MiB of nodes made to be large
_RUN: Final = 1024  # changes one after the other; a longer run does not read further ahead

_Read = tuple[list[bytes], list[CID], list[CID | None]]


class Tree(NamedTuple):
    """A tree, and where its blocks are."""

    blocks: BlockSource
    root: CID


# What is to come of a tree. A pair is its key, its value, and _PAIR; a link is b"", the CID, and the height of its node.
# Plain tuples, because most are made only to be found equal.
_Item = tuple[bytes, CID, int]
_PAIR: Final = -1


class _Side:
    """One of the two trees: what is to come of it, the next last."""

    def __init__(self, tree: Tree, start: bytes, end: bytes | None) -> None:
        self._tree = tree
        self._start = start
        self._end = end
        self._last = b""
        self._nodes: dict[CID, _Read] = {}
        block = tree.blocks.get(tree.root)
        keys, _, _ = read_node(block)
        self._nodes[tree.root] = self._parse(tree.root, block)
        self.ahead: list[_Item] = [(b"", tree.root, key_height(keys[0]) if keys else 0)]

    def take(self) -> None:
        """Go past the pair in front."""
        key, _, _ = self.ahead.pop()
        # [MST-7]
        if key <= self._last:
            raise out_of_order(self._tree.root, key)
        self._last = key

    def open(self) -> None:
        """Put what is in the node of the link in front in the place of the link."""
        _, cid, height = self.ahead.pop()
        keys, values, links = self._nodes.pop(cid)
        if not links:
            self.ahead += [(key, value, _PAIR) for key, value in zip(reversed(keys), reversed(values), strict=True)]
            return
        # [MST-8]
        if height <= 0:
            raise too_deep(self._tree.root)
        ahead = self.ahead
        for at in range(len(keys), -1, -1):
            if at < len(keys):
                ahead.append((keys[at], values[at], _PAIR))
            below = links[at]
            if below is not None:
                ahead.append((b"", below, height - 1))

    def holds(self, cid: CID) -> bool:
        """Whether the node was read."""
        return cid in self._nodes

    def level(self, height: int) -> list[CID]:
        """The links in front that are of one height, with nothing but pairs between."""
        links = []
        for _, cid, there in reversed(self.ahead):
            if there == height:
                links.append(cid)
            elif there != _PAIR:
                break
        return links

    def read(self, wanted: list[CID]) -> list[CID]:
        """Read nodes; return the links in them."""
        links: list[CID] = []
        for at in range(0, len(wanted), _CALL_NODES):
            some = [cid for cid in wanted[at : at + _CALL_NODES] if cid not in self._nodes]
            found = self._tree.blocks.get_many(some) if some else {}
            for cid in some:
                self._nodes[cid] = self._parse(cid, found[cid])
        for cid in wanted:
            links += [link for link in self._nodes[cid][2] if link is not None]
        return links

    def _parse(self, cid: CID, block: bytes) -> _Read:
        keys, values, links = read_node(block)
        # [MST-5] only a root may be wholly empty
        if not keys and not links and cid != self._tree.root:
            raise empty_subtree(cid)
        first = bisect_left(keys, self._start)
        last = len(keys) if self._end is None else max(bisect_left(keys, self._end), first)
        if first == 0 and last == len(keys):
            return keys, values, links
        links = links[first : last + 1]
        if links and first < len(keys) and keys[first] == self._start:
            links[0] = None  # all of it lies before the start
        return keys[first:last], values[first:last], links


def changes(old: Tree, new: Tree, start: bytes = b"", end: bytes | None = None) -> Iterator[Change]:
    """Yield (key, old value or None, new value or None) of what differs with ``start <= key < end``, ascending.

    Reads only nodes that differ, and none that lies outside of the range.

    Raises:
        MissingBlock: from the blocks; what was yielded so far is right.
        InvalidBlock, Untrue: a node is malformed, or contradicts the ones around it.
    """
    if old.root == new.root:
        return
    sides = a, b = _Side(old, start, end), _Side(new, start, end)
    run = 0  # changes since something was equal
    while a.ahead or b.ahead:
        x, y = (side.ahead[-1] if side.ahead else None for side in sides)
        if x == y:  # a pair, or all that is below a link
            run = 0
            for side in sides:
                if side.ahead[-1][2] == _PAIR:
                    side.take()
                else:
                    side.ahead.pop()
            continue
        heights = tuple(_PAIR if item is None else item[2] for item in (x, y))
        if min(heights) != _PAIR:
            for side in sides:
                cid, height = side.ahead[-1][1:]
                if height == max(heights):
                    if not side.holds(cid):
                        _read_both(a, b, height)
                    if not side.holds(cid):  # it does not differ from a later one of the other side
                        side.read([cid])
                    side.open()
        elif max(heights) != _PAIR:
            side = a if heights[0] != _PAIR else b
            _read_one(side, run)
            side.open()
        else:
            run += 1
            key = min(item[0] for item in (x, y) if item is not None)
            values = [None if item is None or item[0] != key else item[1] for item in (x, y)]
            for side, value in zip(sides, values, strict=True):
                if value is not None:
                    side.take()
            yield key, values[0], values[1]


def _read_both(a: _Side, b: _Side, height: int) -> None:
    """Read the nodes of the links in front of that height, the higher one, and by levels what does not cancel below."""
    left, right = a.level(height), b.level(height)
    count = before = 0
    while True:
        same = set(left) & set(right)
        left, right = ([cid for cid in links if cid not in same] for links in (left, right))
        width = len(left) + len(right)
        count += width
        if height < 0 or width == 0 or count > _AHEAD_NODES:
            return
        # Where all of it differs, few subtrees to the leaves are of more use than a level of many.
        if height > 1 and width > _WIDE and width > 3 * before:
            return
        before = width
        left, right = a.read(left), b.read(right)
        height -= 1
        # The lower of two trees joins where the higher one has come down to it.
        left += a.level(height) if not left else []
        right += b.level(height) if not right else []


def _read_one(side: _Side, run: int) -> None:
    """Read the node of the link in front, which stands against a pair or nothing, and more as far as the run before it."""
    _, cid, height = side.ahead[-1]
    if side.holds(cid):
        return
    whole = (min(run, _RUN).bit_length() - 3) // 2  # a subtree of this height has as many keys as the run was long, or fewer
    frontier = side.level(height)[: max(run // 4, 1)]
    while frontier and height >= 0:
        below = side.read(frontier)
        if height > whole or len(below) > _RUN:
            return
        frontier, height = below, height - 1
