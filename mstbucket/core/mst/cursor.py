"""A place in a tree that moves forward, by one pair or past any number of them: what a listing with folders needs.

`walk` gives a whole range, and reads far ahead. A cursor reads what the next pair needs. It goes past the keys between two
places without reading the nodes that hold nothing else. Reading ahead begins once pairs are taken one after the other, and
grows with their number. So a run of pairs costs few calls, and a jump wastes no more nodes than the run before it was long.

What is checked, and what is not, is as for `walk`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID
from mstbucket.core.mst.node import key_height, read_node
from mstbucket.core.mst.walk import empty_subtree, out_of_order, too_deep

_RUN: Final = 1024  # pairs; a longer run does not read further ahead
_CALL_NODES: Final = 128  # of one get_many: at most 128 MiB of nodes made to be large

# Keys, values and links of a node, cut off at the end of the range; no links where there is no subtree.
_Read = tuple[list[bytes], list[CID], list[CID | None]]


class _Open:
    """A node on the way to the place. Its links have the even slots, its pairs the odd ones."""

    __slots__ = ("height", "keys", "links", "slot", "values")

    def __init__(self, node: _Read, height: int) -> None:
        self.keys, self.values, self.links = node
        self.height = height
        self.slot = 0

    def skip_to(self, key: bytes) -> None:
        """Go past every pair below *key*, and every subtree that holds nothing else; never back."""
        self.slot = max(self.slot, _slot_of(self.keys, key))


class Cursor:
    """A place in the tree under *root*, among the pairs with ``start <= key < end``; at first before all of them.

    Raises, also in its methods; what was given before is right:
        MissingBlock: from *blocks*.
        InvalidBlock, Untrue: a node is malformed, or contradicts the ones around it.
    """

    __slots__ = ("_blocks", "_end", "_expected", "_from", "_last", "_nodes", "_root", "_run", "_stack")

    def __init__(
        self, blocks: BlockSource, root: CID, start: bytes = b"", end: bytes | None = None, *, expected: int = 0
    ) -> None:
        """Read the root.

        Args:
            end: None is no bound.
            expected: how many pairs will be taken one after the other, as far as the caller knows.
        """
        self._blocks = blocks
        self._root = root
        self._end = end
        self._from = start  # no key to come is below
        self._last = b""
        self._run = 0  # pairs taken since the last jump
        self._expected = expected
        self._nodes: dict[CID, _Read] = {}  # read ahead
        block = blocks.get(root)
        keys, _, _ = read_node(block)
        self._stack = [_Open(self._parse(root, block), key_height(keys[0]) if keys else 0)]
        self._stack[0].skip_to(start)

    def seek(self, key: bytes) -> None:
        """Go past every pair below *key*. Where the place is behind them already, nothing changes."""
        if key <= self._from:
            return
        self._from = key
        self._run = self._expected = 0
        self._nodes.clear()
        stack = self._stack
        for depth in range(1, len(stack)):
            above = stack[depth - 1]
            at = above.slot // 2  # of the first pair behind the node that is open below
            if at < len(above.keys) and above.keys[at] <= key:
                del stack[depth:]
                break
        if stack:
            stack[-1].skip_to(key)

    def next(self) -> tuple[bytes, CID] | None:
        """Return the next pair, and go past it; None where there is none."""
        stack = self._stack
        while stack:
            top = stack[-1]
            slot = top.slot
            at = slot >> 1
            if at >= len(top.keys) + (not slot & 1):
                stack.pop()
                continue
            top.slot = slot + 1
            if slot & 1:
                key = top.keys[at]
                # [MST-7] ascending across nodes is the same as inside the interval handed down
                if key <= self._last or key < self._from:
                    raise out_of_order(self._root, key)
                self._last = key
                self._run += 1
                return key, top.values[at]
            link = top.links[at] if top.links else None
            if link is not None:
                stack.append(self._open(link, top.height - 1))
        return None

    def _open(self, link: CID, height: int) -> _Open:
        # [MST-8]
        if height < 0:
            raise too_deep(self._root)
        node = self._nodes.pop(link, None)
        if node is None:
            self._load(link, height)
            node = self._nodes.pop(link)
        opened = _Open(node, height)
        opened.skip_to(self._from)
        return opened

    def _load(self, link: CID, height: int) -> None:
        """Read a node. Where it is low enough for the run, read all below it that lies ahead too, by levels."""
        run = min(max(self._run, self._expected), _RUN)
        whole = (run.bit_length() - 3) // 2  # a subtree of this height has 4**(whole + 1) keys, as many as the run, or fewer
        count = 0
        frontier = [link]
        while frontier and (count := count + len(frontier)) <= max(run // 2, 1):
            lower: list[CID] = []
            for at in range(0, len(frontier), _CALL_NODES):
                wanted = frontier[at : at + _CALL_NODES]
                found = self._blocks.get_many(wanted)
                for cid in wanted:
                    keys, _, links = self._nodes[cid] = self._parse(cid, found[cid])
                    if links and 0 < height <= whole:
                        ahead = links[(_slot_of(keys, self._from) + 1) // 2 :]
                        lower += [cid for cid in ahead if cid is not None]
            frontier = lower
            height -= 1

    def _parse(self, cid: CID, block: bytes) -> _Read:
        keys, values, links = read_node(block)
        # [MST-5] only a root may be wholly empty
        if not keys and not links and cid != self._root:
            raise empty_subtree(cid)
        if self._end is not None and keys and keys[-1] >= self._end:
            last = bisect_left(keys, self._end)
            return keys[:last], values[:last], links[: last + 1]
        return keys, values, links


def _slot_of(keys: list[bytes], key: bytes) -> int:
    """The slot of the pair of *key* in a node; where there is none, that of the link under which it would be."""
    at = bisect_left(keys, key)
    return 2 * at + (at < len(keys) and keys[at] == key)
