"""Walk a part of a tree in the order of keys, from blocks that are asked for one by one.

Every node is judged at its place. What the caller does not need is passed over, and given to it as a place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mstbucket.core.cid import CID
from mstbucket.verify.node import Node, Place, judge
from mstbucket.verify.tree import Pair

#: Gives the block of a CID, hashed. The second argument says what it is, for an error.
Take = Callable[[CID, str], bytes]


def in_order(
    root: CID, key_max: int, take: Take, is_needed: Callable[[Place], bool]
) -> Iterator[Place | Pair]:
    """Yield the pairs of the nodes that are needed, and the places of subtrees that are not, in the order of keys.

    Memory is one node for each height. The root is asked about as every other place.

    Raises:
        InvalidBlock, Untrue: a node is not good at its place. And whatever *take* raises.
    """
    stack: list[Iterator[Place | Pair]] = [iter([(root, None, b"", None)])]
    while stack:
        for step in stack[-1]:
            if len(step) == 2 or not is_needed(step):
                yield step
                continue
            node = judge(take(step[0], "tree node"), step, key_max)
            stack.append(_below_in_order(node, step))
            break
        else:
            stack.pop()


def may_hold(place: Place, first: bytes, end: bytes | None, after: bytes = b"") -> bool:
    """Whether a key from *first* on, below *end* and above *after* can lie in the subtree of a place."""
    _, height, low, high = place
    if height is None:
        return True  # [PROOF-6] the root is asked for, whatever the question
    if end is not None and max(low, after) >= end:
        return False
    return high is None or (high > first and high > after)


def below(node: Node, place: Place, at: int) -> Place | None:
    """The subtree before key *at* of a node, as a place; None where there is none."""
    link = node.links[at]
    if link is None:
        return None
    low = node.keys[at - 1] if at else place[2]
    return link, node.height - 1, low, node.keys[at] if at < len(node.keys) else place[3]


def _below_in_order(node: Node, place: Place) -> Iterator[Place | Pair]:
    for at, key in enumerate(node.keys):
        subtree = below(node, place, at)
        if subtree is not None:
            yield subtree
        yield key, node.values[at]
    subtree = below(node, place, len(node.keys))
    if subtree is not None:
        yield subtree
