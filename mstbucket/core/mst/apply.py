"""A batch of changes folded into a tree: every node that changes is read once and written once.

The work goes down level by level and up again. A *gap* is the place of one subtree: the interval between two
neighbouring keys of the level above. On the way down each gap with anything to do gathers two things: the old subtrees in
its interval, its *fragments*, and the changes to keys in its interval. It may have

* no fragment: the subtree is made of inserted keys alone;
* one: the usual case;
* several: the keys between them were deleted, and they grow together;
* the same fragment in two gaps: a key was inserted above it, and it is cut in two.

All fragments of a level are fetched with one call. A gap without changes, whole and of one fragment, is not opened: it
keeps its CID. On the way up, nodes are joined again from the parts that did not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, CID_SIZE, to_text
from mstbucket.core.mst.build import build
from mstbucket.core.mst.gap import Change, Gap, change_lowest, divide, gather, stand_in, write
from mstbucket.core.mst.node import (
    EMPTY_BLOCK,
    EMPTY_ROOT,
    check_pair,
    decode_node,
    key_height,
    read_node,
)
from mstbucket.core.mst.patch import change_leaf, close_inner, open_inner
from mstbucket.errors import InvalidInput, Untrue
from mstbucket.limits import TREE_HEIGHT_MAX, VERSION_KEY_MAX


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of `apply`: the new root, and the nodes that only the new tree has, parents before children.

    `replaced` are the old values of the changed keys, as far as the old tree had these keys; in no order. `left` are the
    nodes that only the old tree has.
    """

    root: CID
    created: dict[CID, bytes]
    replaced: list[CID] = field(default_factory=list)
    left: set[CID] = field(default_factory=set)


def apply(blocks: BlockSource, root: CID, changes: Sequence[tuple[bytes, CID | None]]) -> Applied:
    """Compute the tree that *changes* make of the tree under *root*.

    *changes* are keys and values, keys ascending strictly; a value of None deletes, and deleting a key that is not
    there changes nothing. The result is a pure function of the pairs in the tree afterwards: the same root as `build`
    gives. `created` holds exactly the nodes of the new tree that the old one has not, in depth-first encoded link
    order, and `left` the opposite; where nothing changed they are empty and the root is the
    old one. Reads every node it changes, and the seams of
    deletions and insertions, with one `get_many` for each level. 1,000 changes to 100,000 keys take about 40 ms
    (`tests/bench/bench_tree.py`). Nothing is stored; calls can be repeated.

    Two things are not checked here, but by `verify.tree`: that blocks hash to their CIDs, and the heights of the keys that
    stay.

    Raises:
        InvalidInput: keys not ascending, empty, or too long; a value that is no CID; a node that would exceed limits.
        MissingBlock: from *blocks*.
        InvalidBlock, Untrue: a node that was read is malformed, or its keys contradict the tree around it.
    """
    wanted = _check(changes)
    if root == EMPTY_ROOT:
        return _first(wanted)
    block = blocks.get(root)
    keys, _, _ = read_node(block)
    if not keys:
        # [MST-6]
        raise Untrue(
            f"the root {to_text(root)} holds no key: an empty node at the top must have been trimmed"
        ).about(cid=root)
    height = key_height(keys[0])
    top = max([height, *(needed for _, value, needed in wanted if value is not None)])
    # [MST-10]
    if top > TREE_HEIGHT_MAX:
        raise Untrue(f"a key of height {top} is above {TREE_HEIGHT_MAX}: no such key is found by chance")
    fold = _Fold(blocks, root, block)
    root, created = fold.collect(fold.descend(wanted, height, top))
    # Whatever the new tree has not was read: its keys moved, or its only subtree did.
    return Applied(root, created, fold.replaced, fold.old - fold.stay)


def _check(changes: Sequence[tuple[bytes, CID | None]]) -> list[Change]:
    wanted = []
    before = b""
    for key, value in changes:
        # [MST-2] [MST-7]
        if key <= before or len(key) > VERSION_KEY_MAX or (value is not None and len(value) != CID_SIZE):
            check_pair(key, EMPTY_ROOT if value is None else value)
            raise InvalidInput(f"the change of {key[:40]!r} comes after {before[:40]!r}: sort them, without repeats")
        before = key
        wanted.append((key, value, key_height(key)))
    return wanted


def _first(wanted: list[Change]) -> Applied:
    """Apply to the empty tree."""
    made: dict[CID, bytes] = {}
    root = build(((key, value) for key, value, _ in wanted if value is not None), made.__setitem__)
    if root == EMPTY_ROOT:
        return Applied(root, {})
    # `build` puts children first and, of siblings, `l` first: the reverse is the encoded order only by parents.
    return Applied(root, _in_link_order(made, root), left={EMPTY_ROOT})


def _in_link_order(made: dict[CID, bytes], root: CID) -> dict[CID, bytes]:
    created: dict[CID, bytes] = {}
    stack = [root]
    while stack:
        cid = stack.pop()
        block = created[cid] = made[cid]
        links = read_node(block)[2]
        stack += [link for link in (*links[:1], *links[:0:-1]) if link is not None]
    return created


class _Fold:
    """One run of `apply`: what was read and what was made."""

    __slots__ = ("blocks", "here", "old", "replaced", "root", "stay")

    def __init__(self, blocks: BlockSource, root: CID, block: bytes) -> None:
        self.blocks = blocks
        self.root = root
        self.old = {root}  # the nodes that were read
        self.stay: set[CID] = set()  # those of them that the new tree has
        self.here: Mapping[CID, bytes] = {root: block}  # the blocks of the level at hand
        self.replaced: list[CID] = []

    def descend(self, wanted: list[Change], height: int, top: int) -> list[list[Gap]]:
        """Take apart, change and divide from *top* to 0; return the gaps of each level, highest first."""
        whole = Gap([self.root], wanted)
        whole.above, whole.below = b"", None
        levels = []
        gaps = [whole]
        for level in range(top, -1, -1):
            levels.append(gaps)
            if level < height:
                missing = {cid for gap in gaps for cid in gap.fragments}
                self.here = self.blocks.get_many(missing) if missing else {}
                self.old |= missing
            for gap in gaps:
                self.open(gap, level, height)
            gaps = [place for gap in gaps for _, place in gap.places]
            if not gaps:
                break
        return levels

    def open(self, gap: Gap, level: int, height: int) -> None:
        """Take *gap* apart, change and divide it, and write it if there is nothing below it to wait for."""
        if level <= height and len(gap.fragments) == 1 and not gap.cut:
            block = self.here[gap.fragments[0]]
            if not level:
                change_leaf(gap, block, self.replaced)
                return
            if open_inner(gap, block, level, self.replaced):
                if not gap.places:
                    close_inner(gap)
                return
        if level > height:
            stand_in(gap)
        else:
            gather(gap, self.here, level)
        if level:
            divide(gap, level, self.replaced)
        else:
            change_lowest(gap, self.replaced)
        gap.bare = not gap.keys
        # What has nothing below it is done; its lists are dropped at once, for the garbage collector's sake.
        if not gap.places:
            gap.rest = None if not gap.bare else cast("CID | None", gap.inner[0])
            write(gap)
            del gap.parts, gap.inner, gap.changes, gap.stale, gap.keys

    def collect(self, levels: list[list[Gap]]) -> tuple[CID, dict[CID, bytes]]:
        """Write the nodes of *levels* that have others below them, lowest first; the root, and those that are new."""
        start = 0
        # [MST-6] levels at the top that have no key left are trimmed; each is one gap
        while levels[start][0].bare:
            only = levels[start][0]
            if not only.places:
                return self.trim(only.rest)
            start += 1
        for gaps in reversed(levels[start:]):
            for gap in gaps:
                if not gap.places:
                    continue
                if gap.patches is None:
                    write(gap)
                else:
                    close_inner(gap)
        top = levels[start][0]
        root = cast("CID", top.result)  # it has keys
        created: dict[CID, bytes] = {}
        old, stay = self.old, self.stay
        stack = [top]
        while stack:
            gap = stack.pop()
            cid = gap.result
            if cid is None:
                continue
            # A node that is in the old tree as well was read on the way down, because its keys (or its only subtree)
            # came from it; below it nothing is new, but there may be others that were read.
            if cid in old:
                stay.add(cid)
            else:
                created[cid] = gap.block
            # [MST-9] index 0 is `l`, which comes last
            places = gap.places
            if places:
                if not places[0][0]:
                    stack.append(places[0][1])
                stack += [place for at, place in reversed(places) if at]
        return root, created

    def trim(self, root: CID | None) -> tuple[CID, dict[CID, bytes]]:
        """Return the tree that is left when every key above an untouched subtree went."""
        if root is None:
            return EMPTY_ROOT, {EMPTY_ROOT: EMPTY_BLOCK}
        for _ in range(TREE_HEIGHT_MAX + 1):
            keys, links, _ = decode_node(self.blocks.get(root))
            self.old.add(root)
            if keys:
                self.stay.add(root)
                return root, {}
            if links[0] is None:
                break
            root = links[0]
        raise Untrue(
            f"below the root {to_text(self.root)} there are only empty nodes: the tree is not what it claims"
        ).about(cid=self.root)
