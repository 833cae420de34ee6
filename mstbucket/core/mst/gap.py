"""Gaps: the places of subtrees in which a batch of changes has something to do (`apply` says how they are used)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import cast

from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, to_text
from mstbucket.core.mst.node import (
    LINK_PART,
    PARTS,
    SUFFIX_PART,
    VALUE_PART,
    decode_node,
    entry_parts,
    join_node,
    link_part,
)
from mstbucket.errors import Untrue

Change = tuple[bytes, CID | None, int]  # key, value, height of the key


class Gap:
    """The place of one subtree with something to do, and the node that will stand there."""

    __slots__ = (
        "above", "bare", "below", "block", "changes", "cut", "fragments", "inner", "keys", "parts", "patches", "places",
        "rest", "result", "stale",
    )  # fmt: skip

    above: bytes  # the interval, both ends open; b"" and None are no bound
    below: bytes | None
    keys: list[bytes]
    parts: list[bytes]
    inner: list[_Inner]  # one more than keys
    places: list[tuple[int, Gap]]  # those of `inner` that are gaps, with their index
    stale: Collection[int]  # entries to be made again, as their neighbours are others now; may point past the ends
    result: CID | None
    bare: bool  # no key is left in it
    rest: CID | None  # where there is neither a key nor a place: the only subtree
    block: bytes  # of `result`; while `patch` waits for what is below, the old one
    patches: list[tuple[bytes, bytes]] | None  # where `patch` does it: bytes of the block, and what they become

    def __init__(self, fragments: list[CID], changes: list[Change], cut: bool = False) -> None:
        self.patches = None
        self.rest = None
        self.fragments = fragments
        self.changes = changes
        self.cut = cut  # the fragments may go on outside the interval: take only what is inside


NO_PLACES: list[tuple[int, Gap]] = []  # shared and never changed: one list less for each of the most frequent gaps
_Inner = CID | Gap | None  # what stands between two keys: a subtree to be left as it is, a gap, or nothing


def stand_in(gap: Gap) -> None:
    """Above the old tree its root, or what is cut from it, counts as the only subtree of a node without keys."""
    gap.keys, gap.parts, gap.stale = [], [], ()
    gap.inner = [Gap(gap.fragments, [], gap.cut) if gap.fragments else None]


def gather(gap: Gap, old: Mapping[CID, bytes], level: int) -> None:
    """Set the gap's keys, parts and inner gaps to those of its fragments, as far as they are within its interval."""
    keys: list[bytes] = []
    parts: list[bytes] = []
    inner: list[_Inner] = [None]
    stale: tuple[int, ...] = ()
    for at, cid in enumerate(gap.fragments):
        more_keys, links, more_parts = decode_node(old[cid])
        # [MST-8] children are exactly one lower, nothing is below height 0; [MST-5] no subtree is wholly empty
        if not level and links.count(None) != len(links):
            raise Untrue(
                f"node {to_text(cid)} is at height 0 and links to a subtree: the tree is not what it claims"
            ).about(cid=cid)
        if not more_keys and links[0] is None:
            raise Untrue(f"node {to_text(cid)} is an empty subtree: a link to it must have been null").about(cid=cid)
        more_inner: list[_Inner] = [*links]
        if gap.cut:
            more_keys, more_parts = _cut(gap, more_keys, more_parts, more_inner)
            stale = (*stale, len(keys))
        if not at:
            keys, parts, inner = more_keys, more_parts, more_inner
            continue
        # [MST-7] across fragments too
        if more_keys and keys and more_keys[0] <= keys[-1]:
            raise Untrue(f"node {to_text(cid)} has keys that belong further left: the tree is not in order").about(cid=cid)
        stale = (*stale, len(keys) - 1, len(keys))
        inner += more_inner
        _merge(inner, len(keys))
        keys += more_keys
        parts += more_parts
    # [MST-7] inside the open interval handed down by the parent
    if keys and (keys[0] <= gap.above or (gap.below is not None and keys[-1] >= gap.below)):
        raise outside(gap)
    gap.keys, gap.parts, gap.inner, gap.stale = keys, parts, inner, stale


def outside(gap: Gap) -> Untrue:
    """Return the error for a subtree whose keys are not all between the keys around its link."""
    return Untrue(
        f"node {to_text(gap.fragments[0])} has keys outside the interval its parent gives it"
    ).about(cid=gap.fragments[0])


def _cut(gap: Gap, keys: list[bytes], parts: list[bytes], inner: list[_Inner]) -> tuple[list[bytes], list[bytes]]:
    """Return what the gap's interval leaves of a node; shorten its subtrees *inner*, whose ends may be cut further."""
    first = bisect_right(keys, gap.above)
    last = len(keys) if gap.below is None else bisect_left(keys, gap.below)
    inner[:] = inner[first : last + 1]
    for end in {0, last - first}:
        link = inner[end]
        if type(link) is bytes:
            inner[end] = Gap([link], [], cut=True)
    return keys[first:last], parts[first * PARTS : last * PARTS]


def divide(gap: Gap, level: int, replaced: list[CID]) -> None:
    """Carry out the gap's changes of this *level*, hand the lower ones down, and list the inner gaps."""
    keys, parts, inner, changes = gap.keys, gap.parts, gap.inner, gap.changes
    moved: set[int] = set()  # as changes ascend, an index once noted stays right
    at = done = 0
    while done < len(changes):
        key, value, height = changes[done]
        first = done
        done += 1
        at = bisect_left(keys, key, at)
        below = keys[at] if at < len(keys) else None
        if key == below:
            # [MST-8] or the key would come to stand in the tree twice
            if height != level:
                raise Untrue(f"the key {key[:40]!r} stands at height {level}, but its height is {height}")
            replaced.append(parts[at * PARTS + VALUE_PART])
            if value is not None:
                parts[at * PARTS + VALUE_PART] = value
            else:
                del keys[at], parts[at * PARTS : (at + 1) * PARTS]
                _merge(inner, at)
                moved |= {at - 1, at}
        elif height < level:
            # what follows into the same gap goes with it
            while done < len(changes) and changes[done][2] < level and (below is None or changes[done][0] < below):
                done += 1
            _hand_down(inner, at, changes[first:done])
        elif value is not None:
            keys.insert(at, key)
            parts[at * PARTS : at * PARTS] = (b"", b"", b"", value)
            inner[at : at + 1] = _split(inner[at])
            moved |= {at, at + 1}
    if moved:
        gap.stale = range(len(keys)) if gap.stale else moved
    gap.places = [(at, place) for at, place in enumerate(inner) if type(place) is Gap]
    for at, place in gap.places:
        place.above = keys[at - 1] if at else gap.above
        place.below = keys[at] if at < len(keys) else gap.below


def change_lowest(gap: Gap, replaced: list[CID]) -> None:
    """Do what `divide` does at height 0, where most nodes are and nothing is between the keys."""
    keys, parts = gap.keys, gap.parts
    moved: set[int] = set()
    at = 0
    for key, value, height in gap.changes:
        at = bisect_left(keys, key, at)
        if at < len(keys) and keys[at] == key:
            # [MST-8]
            if height:
                raise Untrue(f"the key {key[:40]!r} stands at height 0, but its height is {height}")
            replaced.append(parts[at * PARTS + VALUE_PART])
            if value is not None:
                parts[at * PARTS + VALUE_PART] = value
            else:
                del keys[at], parts[at * PARTS : (at + 1) * PARTS]
                moved.add(at)
        elif value is not None:
            keys.insert(at, key)
            parts[at * PARTS : at * PARTS] = entry_parts(keys[at - 1] if at else b"", key, None, value)
            moved.add(at + 1)
    if moved:
        gap.stale = range(len(keys)) if gap.stale else moved
        gap.inner = [None] * (len(keys) + 1)
    gap.places = NO_PLACES


def _hand_down(inner: list[_Inner], at: int, changes: list[Change]) -> None:
    """Leave *changes* to the gap at index *at*."""
    here = inner[at]
    if type(here) is Gap:
        here.changes += changes
    elif type(here) is bytes:
        inner[at] = Gap([here], changes)
    else:
        inner[at] = Gap([], changes)


def _merge(inner: list[_Inner], at: int) -> None:
    """Make one gap of those at *at* and the next, as the key between them is gone. If one is empty the other stays."""
    left, right = inner[at : at + 2]
    here: _Inner
    if left is None:
        here = right
    elif right is None:
        here = left
    else:
        a = left if isinstance(left, Gap) else Gap([left], [])
        b = right if isinstance(right, Gap) else Gap([right], [])
        here = Gap(a.fragments + b.fragments, a.changes + b.changes, a.cut or b.cut)
    inner[at : at + 2] = [here]


def _split(inner: _Inner) -> list[_Inner]:
    """Return the two gaps that one becomes when a key is inserted in it; its changes so far lie left of the key.

    Which fragments are on which side is known only when they are open, so both gaps get all of them, to be cut.
    """
    if inner is None:
        return [None, None]
    if isinstance(inner, Gap):
        inner.cut = True
        return [inner, Gap(inner.fragments, [], cut=True) if inner.fragments else None]
    return [Gap([inner], [], cut=True), Gap([inner], [], cut=True)]


def write(gap: Gap) -> None:
    """Join the gap's node from its parts and the results of its inner gaps."""
    keys, parts = gap.keys, gap.parts
    links = cast("list[CID | None]", gap.inner)  # once the gaps in it have given way to their results
    for at, place in gap.places:
        links[at] = place.result
        if at:
            here = (at - 1) * PARTS
            shared = len(keys[at - 1]) - len(parts[here + SUFFIX_PART])
            parts[here + LINK_PART] = link_part(shared, place.result)
    left = links[0]
    if not keys and left is None:
        gap.result = None
        return
    for at in gap.stale:
        if 0 <= at < len(keys):
            here = at * PARTS
            before = keys[at - 1] if at else b""
            parts[here : here + PARTS] = entry_parts(before, keys[at], links[at + 1], parts[here + VALUE_PART])
    gap.block = block = join_node(len(keys), parts, left)
    gap.result = DAG_CBOR_PREFIX + sha256(block).digest()
