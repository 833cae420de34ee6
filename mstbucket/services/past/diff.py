"""What differs between two commits: each key that does, with what either commit holds under it ([PAST-36])."""

from __future__ import annotations

from collections.abc import Iterator

from mstbucket.core import manifest as manifests
from mstbucket.core.batches import in_batches
from mstbucket.core.keys import check_text, prefix_end
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.s3rules.retention import UNLOCKED
from mstbucket.index.rows import info_of
from mstbucket.model.objects import ObjectChange, ObjectInfo
from mstbucket.services.past.view import MANIFESTS, View


def diff(old: View, new: View, prefix: str) -> Iterator[ObjectChange]:
    """What differs, in key order; see `BucketView.diff`."""
    check_text("prefix", prefix)
    end = prefix_end(prefix)
    trees = Tree(old.blocks, old.row.tree), Tree(new.blocks, new.row.tree)
    return _described(old, new, changes(*trees, prefix.encode(), None if end is None else end.encode()))


def _described(
    old: View, new: View, found: Iterator[tuple[bytes, bytes | None, bytes | None]]
) -> Iterator[ObjectChange]:
    for batch in in_batches(found, MANIFESTS):
        keys = [key.decode() for key, _, _ in batch]
        was = _infos(old, keys, [cid for _, cid, _ in batch])
        now = _infos(new, keys, [cid for _, _, cid in batch])
        yield from map(ObjectChange, keys, was, now)


def _infos(view: View, keys: list[str], cids: list[bytes | None]) -> list[ObjectInfo | None]:
    wanted = {cid for cid in cids if cid is not None}
    blocks = view.blocks.get_many(wanted) if wanted else {}
    return [
        None
        if cid is None
        else info_of(key, cid, manifests.decode(blocks[cid]), view.commit.versioning, UNLOCKED)
        for key, cid in zip(keys, cids, strict=True)
    ]
