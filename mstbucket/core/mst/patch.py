"""The usual case of a fold: one whole subtree, whose own keys stay. Its block is patched, not put together again.

An update changes 36 bytes of each node on the way, an insertion or a deletion at height 0 two entries of one. All
other bytes are those that the node had; they were judged when it entered the store, and hashed when it was read
([FLUSH-10]). Where a patch is not possible, the node is written from its keys, or `gap` does the whole of it.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from typing import cast

from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, to_text
from mstbucket.core.dagcbor import LINK_HEAD
from mstbucket.core.mst.gap import NO_PLACES, Gap, outside
from mstbucket.core.mst.node import (
    LEFT_HEAD,
    NODE_HEADS,
    VALUE_HEAD,
    encode_node,
    entry_parts,
    link_of,
    read_keys,
    read_node,
    value_of,
)
from mstbucket.errors import Untrue
from mstbucket.limits import NODE_BLOCK_MAX, NODE_ENTRIES_MAX

_LINK = b"\x61t" + LINK_HEAD


def open_inner(gap: Gap, block: bytes, level: int, replaced: list[CID]) -> bool:
    """Carry out the changes of *level* in *block*, the gap's only and whole fragment, and list the gaps below.

    Returns False, and has done nothing, if a key of this level comes or goes.
    """
    keys, entries, left = read_keys(block)
    _check(gap, keys, left is None)
    patches: list[tuple[bytes, bytes]] = []
    places: list[tuple[int, Gap]] = []
    before: list[CID] = []
    changes = gap.changes
    at = done = 0
    size, count = len(keys), len(changes)
    while done < count:
        key, value, height = changes[done]
        first = done
        done += 1
        at = bisect_left(keys, key, at)
        below = keys[at] if at < size else None
        if key == below:
            # [MST-8] or the key would come to stand in the tree twice
            if height != level:
                raise Untrue(f"the key {key[:40]!r} stands at height {level}, but its height is {height}")
            if value is None:
                return False
            old = value_of(block, entries[at])
            before.append(old)
            patches.append((VALUE_HEAD + old, VALUE_HEAD + value))
        elif height < level:
            # what follows into the same gap goes with it
            while done < count and changes[done][2] < level and (below is None or changes[done][0] < below):
                done += 1
            if places and places[-1][0] == at:
                places[-1][1].changes += changes[first:done]
                continue
            link = link_of(block, entries[at - 1].get("t") if at else left)
            place = Gap([] if link is None else [link], changes[first:done])
            place.above = keys[at - 1] if at else gap.above
            place.below = gap.below if below is None else below
            places.append((at, place))
        elif value is not None:
            return False
    replaced += before
    if not keys and not places:
        gap.rest = link_of(block, left)
    gap.bare, gap.places, gap.block, gap.patches = not keys, places, block, patches
    return True


def close_inner(gap: Gap) -> None:
    """Write the node that `open_inner` opened, with what came of the gaps below."""
    patches = cast("list[tuple[bytes, bytes]]", gap.patches)
    block = gap.block
    shaped = True
    for at, place in gap.places:
        new = place.result
        old = place.fragments[0] if place.fragments else None
        if old is None or new is None:
            shaped = shaped and old is new
        elif old != new:
            patches.append((_LINK + old, _LINK + new) if at else (LEFT_HEAD + old, LEFT_HEAD + new))
    if shaped:
        for was, becomes in patches:
            pieces = block.split(was)
            # Equal values stand there twice, and bytes of a key may look like a link.
            if len(pieces) != 2:
                shaped = False
                break
            block = becomes.join(pieces)
    if not shaped:
        keys, values, links = read_node(gap.block)
        links = links or [None] * (len(keys) + 1)
        for at, place in gap.places:
            links[at] = place.result
        for key, value, _ in gap.changes:
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                values[at] = cast("CID", value)  # a key of this height that stays
        if not keys and links[0] is None:
            gap.result = None
            return
        block = encode_node(keys, values, links)
    gap.block = block
    gap.result = DAG_CBOR_PREFIX + sha256(block).digest()


def change_leaf(gap: Gap, block: bytes, replaced: list[CID]) -> None:
    """Carry out the gap's changes in *block*, its only and whole fragment, which is at height 0, and write it."""
    keys, values, links = read_node(block)
    if links:
        name = to_text(gap.fragments[0])
        raise Untrue(f"node {name} is at height 0 and links to a subtree: the tree is not what it claims")
    _check(gap, keys, not links)
    left: bytes | None = block  # None once it cannot be patched
    at = 0
    for key, value, height in gap.changes:
        at = bisect_left(keys, key, at)
        if at < len(keys) and keys[at] == key:
            # [MST-8]
            if height:
                raise Untrue(f"the key {key[:40]!r} stands at height 0, but its height is {height}")
            old = values[at]
            replaced.append(old)
            if value is None:
                left = left and _spliced(left, keys, values, at, None)
                del keys[at], values[at]
            else:
                left = left and _updated(left, VALUE_HEAD + old, VALUE_HEAD + value)
                values[at] = value
        elif value is not None:
            left = left and _spliced(left, keys, values, at, (key, value))
            keys.insert(at, key)
            values.insert(at, value)
    gap.bare, gap.places = not keys, NO_PLACES
    if not keys:
        gap.result = None
        return
    if left is None or len(left) > NODE_BLOCK_MAX or len(keys) > NODE_ENTRIES_MAX:
        left = encode_node(keys, values, [None] * (len(keys) + 1))
    gap.block = left
    gap.result = DAG_CBOR_PREFIX + sha256(left).digest()


def _check(gap: Gap, keys: list[bytes], bare: bool) -> None:
    # [MST-5] no subtree is wholly empty
    if not keys:
        if bare:
            raise Untrue(
                f"node {to_text(gap.fragments[0])} is an empty subtree: a link to it must have been null"
            ).about(cid=gap.fragments[0])
    # [MST-7] inside the open interval handed down by the parent
    elif keys[0] <= gap.above or (gap.below is not None and keys[-1] >= gap.below):
        raise outside(gap)


def _updated(block: bytes, old: bytes, new: bytes) -> bytes | None:
    """Return *block* with *new* in the place of *old*, or None if *old* stands there more than once."""
    return None if block.find(old, block.find(old) + 1) >= 0 else block.replace(old, new)


def _spliced(block: bytes, keys: list[bytes], values: list[CID], at: int, pair: tuple[bytes, CID] | None) -> bytes | None:
    """Return the leaf *block* with *pair* before the entry *at*, or without that entry; None if it cannot be spliced.

    The entry after it is made again, as its neighbour is another one now.
    """
    count = len(keys)
    start = end = len(NODE_HEADS[count])
    before = b""
    if at:
        before = keys[at - 1]
        start = end = _end_of_entry(block, values[at - 1])
    parts: list[bytes] = []
    follower = at
    if pair is None:
        follower += 1
        end = _end_of_entry(block, values[at])
    else:
        parts += entry_parts(before, pair[0], None, pair[1])
        before = pair[0]
    if follower < count:
        parts += entry_parts(before, keys[follower], None, values[follower])
        end = _end_of_entry(block, values[follower])
    if start < 0 or end < 0 or count >= NODE_ENTRIES_MAX:
        return None
    head = NODE_HEADS[count + (1 if pair is not None else -1)]
    return b"".join((head, block[len(NODE_HEADS[count]) : start], *parts, block[end:]))


def _end_of_entry(block: bytes, value: CID) -> int:
    """Return where the only entry with *value* ends, or -1 if there are several."""
    wanted = VALUE_HEAD + value
    start = block.find(wanted)
    return -1 if block.find(wanted, start + 1) >= 0 else start + len(wanted)
