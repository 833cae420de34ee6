"""What a fold leaves behind: nodes, manifests and bodies that the newest commit had, and the new one has not ([GC-20]).

They are the nodes that only the old trees have, and the manifests that the fold replaced, and their bodies, as far as
nothing in the new commit has them by what the fold knows. Whether they are dead is for a sweep to decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mstbucket.core.batches import in_batches
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.mst.apply import Applied
from mstbucket.core.mst.node import EMPTY_ROOT
from mstbucket.services.tree.snapshot import Snapshot

_ASKED = 1000  # manifests read at a time


def left_behind(trees: Sequence[Applied]) -> list[CID]:
    """The nodes that only the old trees have, but for the empty one. Keys of the two trees differ, and so do all nodes."""
    left = {cid for tree in trees for cid in tree.left}
    for tree in trees:
        left.difference_update(tree.created)
    return sorted(left - {EMPTY_ROOT})


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
    if not replaced or (snapshot.head.versioning is not None and not states):
        return list(nodes)
    came = _came(snapshot)
    manifests = replaced.keys() - came.keys()
    bodies = {body for cid in manifests if (body := replaced[cid].content) is not None}
    bodies -= {snapshot.blocks[cid].content for cid in came}
    return [*nodes, *manifests, *bodies]
