"""Reading a tree: one key, a range of keys in order, or all nodes in the order of an export.

Walks read ahead: a subtree of height 4 is fetched level by level, one `get_many` for up to 128 nodes. So a source with
a cost per call is asked some eight times for a thousand keys, and memory stays bounded.

Walks go over trees that this store made, or that `verify.tree` has judged. What they check themselves is what keeps
them correct in order and bounded on any input: limits, order of keys within and across nodes, no empty subtrees, depth.
Not checked here: hashes, canonical form, heights of keys.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, cast

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, to_text
from mstbucket.core.mst.node import key_height, read_node
from mstbucket.errors import Untrue
from mstbucket.limits import TREE_HEIGHT_MAX

_AHEAD_HEIGHT: Final = 4  # a subtree of this height has 1,000 keys in 270 nodes, on average
_AHEAD_NODES: Final = 2048  # and hardly ever more than this
_AHEAD_BYTES: Final = 8 * 1024 * 1024  # honest nodes have 300 bytes; read no further ahead than this
_CALL_NODES: Final = 128  # of one get_many: at most 128 MiB of nodes made to be large


# Keys, values, links (none where there is no subtree), block.
_Read = tuple[list[bytes], list[CID], list[CID | None], bytes]


def get(blocks: BlockSource, root: CID, key: bytes) -> CID | None:
    """Return the value of *key* in the tree under *root*, or None. Reads the nodes on the way, one `get` each.

    Raises:
        MissingBlock: from *blocks*; the key is then unknown, not absent.
        InvalidBlock, Untrue: a node on the way is malformed, or the way goes on beyond any height.
    """
    link: CID | None = root
    for _ in range(TREE_HEIGHT_MAX + 1):
        if link is None:
            return None
        keys, values, links = read_node(blocks.get(link))
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            return values[at]
        link = links[at] if links else None
    if link is None:
        return None
    raise too_deep(root)


def walk(blocks: BlockSource, root: CID, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, CID]]:
    """Yield the pairs of the tree under *root* with ``start <= key < end``, ascending; no *end* is no bound.

    Reads only nodes that the range touches. 100,000 keys take about 0.11 s (`tests/bench/bench_tree.py`).

    Raises:
        MissingBlock: from *blocks*; the pairs yielded so far are right.
        InvalidBlock, Untrue: a node is malformed, or contradicts the ones around it.
    """
    nodes = _Ahead(blocks, root, start, end)
    last = b""
    stack: list[tuple[bytes, CID | int]] = [(root, nodes.height)]  # pairs of key and value, or a link and its height
    while stack:
        name, what = stack.pop()
        if not isinstance(what, int):
            # [MST-7] ascending across nodes is the same as inside the interval handed down
            if name <= last:
                raise out_of_order(root, name)
            last = name
            yield name, what
            continue
        keys, values, links, _ = nodes.take(name, nodes.height - what)
        links = links or [None] * (len(keys) + 1)
        if what > 1:
            for at in range(len(keys), -1, -1):
                if at < len(keys):
                    stack.append((keys[at], values[at]))
                link = links[at]
                if link is not None:
                    stack.append((link, what - 1))
            continue
        # From here on nearly all nodes and pairs: the leaves, and the pairs between them.
        for at, link in enumerate(links):
            if link is not None:
                # [MST-8]
                if not what:
                    raise too_deep(root)
                leaf, theirs = nodes.take_leaf(link)
                if leaf:
                    if leaf[0] <= last:
                        raise out_of_order(root, leaf[0])
                    last = leaf[-1]
                    yield from zip(leaf, theirs)  # noqa: B905  as many of both; the check costs a tenth
            if at < len(keys):
                key = keys[at]
                if key <= last:
                    raise out_of_order(root, key)
                last = key
                yield key, values[at]


def walk_prefix(blocks: BlockSource, root: CID, prefix: bytes) -> Iterator[tuple[bytes, CID]]:
    """Yield the pairs whose key starts with the bytes of *prefix*, ascending; as `walk` otherwise."""
    # The least byte string above all with the prefix: drop 0xff at the end, count up the last byte left.
    stem = prefix.rstrip(b"\xff")
    end = stem[:-1] + bytes((stem[-1] + 1,)) if stem else None
    return walk(blocks, root, prefix, end)


def walk_blocks(blocks: BlockSource, root: CID) -> Iterator[tuple[CID, bytes | None]]:
    """Yield all nodes of the tree under *root*, and the places of its values, in depth-first encoded link order.

    A node comes as its CID and block. A value comes as its CID and None, at the place where a depth-first export writes
    what the value links to; equal values come as often as there are keys. For each entry the subtree (`t`) comes before
    the value (`v`), and the leftmost subtree (`l`) comes last: this is not the order of keys.

    Raises:
        MissingBlock: from *blocks*.
        InvalidBlock, Untrue: a node is malformed, or contradicts the ones around it.
    """
    # [MST-9]
    nodes = _Ahead(blocks, root, b"", None)
    # links with depth and the open interval of their keys; values with a depth of -1
    stack: list[tuple[CID, int, bytes, bytes | None]] = [(root, 0, b"", None)]
    while stack:
        cid, depth, above, below = stack.pop()
        if depth < 0:
            yield cid, None
            continue
        keys, values, links, block = nodes.take(cid, depth)
        # [MST-7] inside the open interval handed down by the parent
        if keys and (keys[0] <= above or (below is not None and keys[-1] >= below)):
            raise out_of_order(root, keys[0])
        yield cid, block
        todo: list[tuple[CID, int, bytes, bytes | None]] = []
        for at, value in enumerate(values):
            link = links[at + 1] if links else None
            if link is not None:
                todo.append((link, depth + 1, keys[at], keys[at + 1] if at + 1 < len(keys) else below))
            todo.append((value, -1, b"", None))
        if links and links[0] is not None:
            todo.append((links[0], depth + 1, above, keys[0] if keys else below))
        todo.reverse()
        stack += todo


class _Ahead:
    """The nodes of one walk, read ahead in the order of levels and taken in the order of the walk."""

    __slots__ = ("_blocks", "_end", "_nodes", "_ranged", "_root", "_start", "height")

    def __init__(self, blocks: BlockSource, root: CID, start: bytes, end: bytes | None) -> None:
        self._blocks = blocks
        self._root = root
        self._start = start
        self._end = end
        self._ranged = start != b"" or end is not None
        block = blocks.get(root)
        keys, _, _ = read_node(block)
        self.height = key_height(keys[0]) if keys else 0
        self._nodes: dict[CID, bytes | _Read] = {}
        self._nodes[root] = top = self._parse(root, block)
        if self.height <= _AHEAD_HEIGHT:
            self._load([link for link in top[2] if link is not None], self.height - 1)

    def take(self, cid: CID, depth: int) -> _Read:
        """Return the node of *cid*, *depth* levels below the root, cut down to what the range needs."""
        # [MST-10] the only thing that ends a chain of empty nodes that links back to itself
        if depth > TREE_HEIGHT_MAX:
            raise too_deep(self._root)
        node = self._nodes.pop(cid, None)
        if node is None:
            self._load([cid], self.height - depth)
            node = self._nodes.pop(cid)
        return self._parse(cid, node) if isinstance(node, bytes) else node

    def take_leaf(self, cid: CID) -> tuple[list[bytes], list[CID]]:
        """Return the keys and values of the node of *cid*, which has to be of height 0, cut down to the range."""
        block = self._nodes.pop(cid, None)
        if type(block) is not bytes:
            self._load([cid], 0)
            block = cast("bytes", self._nodes.pop(cid))
        if self._ranged:
            keys, values, links, _ = self._parse(cid, block)
        else:
            keys, values, links = read_node(block)
            if not keys and not links:
                raise empty_subtree(cid)
        # [MST-8]
        if links:
            raise too_deep(self._root)
        return keys, values

    def _load(self, frontier: list[CID], height: int) -> None:
        """Read the nodes of *frontier*, which are of *height*. If that is low enough, read all below them too, by levels."""
        size = count = 0
        while frontier and count + len(frontier) <= _AHEAD_NODES:
            count += len(frontier)
            lower: list[CID] = []
            for at in range(0, len(frontier), _CALL_NODES):
                if size > _AHEAD_BYTES:
                    return
                wanted = frontier[at : at + _CALL_NODES]
                found = self._blocks.get_many(wanted)
                size += sum(map(len, found.values()))
                # Nodes of height 0, three of four, are taken apart when it is their turn; and the high ones.
                if height <= 0 or height > _AHEAD_HEIGHT:
                    self._nodes.update(found)
                    continue
                for name in wanted:
                    node = self._nodes[name] = self._parse(name, found[name])
                    lower += [link for link in node[2] if link is not None]
            frontier = lower
            height -= 1

    def _parse(self, cid: CID, block: bytes) -> _Read:
        keys, values, links = read_node(block)
        # [MST-5] [MST-6] only a root may be wholly empty
        if not keys and not links and cid != self._root:
            raise empty_subtree(cid)
        if self._ranged:
            first = bisect_left(keys, self._start)
            last = len(keys) if self._end is None else max(bisect_left(keys, self._end), first)
            links = links[first : last + 1]
            if links and first < len(keys) and keys[first] == self._start:
                links[0] = None  # all of it lies before the start
            keys, values = keys[first:last], values[first:last]
        return keys, values, links, block


def out_of_order(root: CID, key: bytes) -> Untrue:
    """The error for a key that stands where its order does not allow it ([MST-7])."""
    return Untrue(
        f"the tree under {to_text(root)} has the key {key[:40]!r} out of order: get it from another source"
    ).about(cid=root)


def empty_subtree(cid: CID) -> Untrue:
    """The error for a node without keys and links that is no root."""
    # [MST-5]
    return Untrue(f"node {to_text(cid)} is an empty subtree: a link to it must have been null").about(cid=cid)


def too_deep(root: CID) -> Untrue:
    """The error for nodes where the height of the tree leaves no room for any ([MST-8], [MST-10])."""
    return Untrue(
        f"the tree under {to_text(root)} is deeper than {TREE_HEIGHT_MAX} levels: it is not what it claims"
    ).about(cid=root)
