"""What a fold leaves behind: nodes, manifests and bodies that the newest commit had, and the new one has not ([GC-20]).

A fold reads every node that it changes. Those of them that the new trees do not have are left behind; so are the manifests
that it replaced, and their bodies, as far as nothing in the new commit has them by what the fold knows. Whether they are
dead is for a sweep to decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from mstbucket.core.batches import in_batches
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.mst.apply import Applied
from mstbucket.core.mst.node import EMPTY_ROOT, read_node
from mstbucket.services.tree.snapshot import Snapshot

_ASKED = 1000  # manifests read at a time


class NodesRead:
    """A source of nodes that remembers which it gave."""

    def __init__(self, blocks: BlockSource) -> None:
        self._blocks = blocks
        self.cids: set[CID] = set()

    def get(self, cid: CID) -> bytes:
        """The node of `cid`."""
        self.cids.add(cid)
        return self._blocks.get(cid)

    def get_many(self, wanted: Collection[CID]) -> Mapping[CID, bytes]:
        """The nodes of *wanted*."""
        self.cids.update(wanted)
        return self._blocks.get_many(wanted)


def left_behind(read: NodesRead, blocks: BlockSource, trees: Sequence[Applied]) -> list[CID]:
    """Those of the nodes that were read which none of the new *trees* has; the empty node is none of them.

    A node that was read and stays is found from the new roots: by a node that was made, or by another one that stays. It
    holds keys of its own, so a subtree that was not read has none of the nodes that were.
    """
    stay: set[CID] = set()
    for tree in trees:
        linked = [tree.root, *_links(tree.created.values())]
        while kept := {cid for cid in linked if cid in read.cids} - stay:
            stay |= kept
            linked = _links(blocks.get_many(kept).values())
    made = {cid for tree in trees for cid in tree.created}
    return sorted(read.cids - stay - made - {EMPTY_ROOT})


def _links(nodes: Iterable[bytes]) -> list[CID]:
    return [link for node in nodes for link in read_node(node)[2] if link is not None]


class Replaced(NamedTuple):
    """What the manifest of a replaced object or version says of its body; a delete marker has none."""

    content: CID | None
    size: int


def read_replaced(blocks: BlockSource, cids: Sequence[CID]) -> dict[CID, Replaced]:
    """The manifests that a fold replaced, as the trees had them."""
    found: dict[CID, Replaced] = {}
    for batch in in_batches(cids, _ASKED):
        for cid, block in blocks.get_many(set(batch)).items():
            fields = decode_fast(block)
            found[cid] = Replaced(fields.get("content"), fields.get("size", 0))
    return found


def _came(snapshot: Snapshot) -> Counter[CID]:
    """How often each manifest comes with the fold of *snapshot*."""
    return Counter(cid for changes in (snapshot.objects, snapshot.versions) for cid in changes.manifests if cid is not None)


def repeated(snapshot: Snapshot) -> list[CID]:
    """The manifests that come more than once: each is written once, so nobody finds its row ([GC-21])."""
    return [cid for cid, times in _came(snapshot).items() if times > 1]


def died(snapshot: Snapshot, nodes: Sequence[CID], replaced: Mapping[CID, Replaced], states: bool) -> list[CID]:
    """What may have died with the fold of *snapshot*.

    Args:
        nodes: that were left behind.
        replaced: the manifests that the two trees had under the keys that have changed.
        states: whether both commits hold all that there was at one moment. Otherwise a manifest that goes from one tree into
            the other may have left the one, and come into the other with a later commit or an earlier one.
    """
    if snapshot.head.versioning is not None and not states:
        return list(nodes)
    came = _came(snapshot)
    manifests = replaced.keys() - came.keys()
    bodies = {body for cid in manifests if (body := replaced[cid].content) is not None}
    bodies -= {snapshot.blocks[cid].content for cid in came}
    return [*nodes, *manifests, *bodies]
