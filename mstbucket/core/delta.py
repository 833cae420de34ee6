"""Deltas: their blocks, and which of these the base is known to have (`spec/format/33-delta.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, DAG_PB, codec
from mstbucket.core.closure import AHEAD_WIDTH, SeenSet, closure, links_of
from mstbucket.core.commit import Commit, check_later
from mstbucket.core.commit import decode as decode_commit
from mstbucket.core.delta_statement import DeltaStatement
from mstbucket.core.mst.diff import Diff, diff

_READ: Final = 256  # nodes, manifests or body nodes asked for at once


def tree_diffs(blocks: BlockSource, base: Commit, commit: Commit) -> tuple[Diff, Diff | None]:
    """How the two trees differ: of objects, and of versions where both commits have one.

    Reads only nodes that differ.
    """
    objects = diff(blocks, base.tree, commit.tree)
    if base.versions is None or commit.versions is None:
        return objects, None
    return objects, diff(blocks, base.versions, commit.versions)


def learn(blocks: BlockSource, base: Commit, commit: Commit, seen: SeenSet) -> tuple[Diff, Diff | None]:
    """Put into *seen* what the base is known to have ([DELTA-4]), at a cost in proportion to the difference.

    Args:
        blocks: has the nodes of both trees that differ, and all of the base.

    Returns what `tree_diffs` does.

    Raises:
        MissingBlock: from *blocks*.
        InvalidBlock, Untrue: a block that was read is malformed.
    """
    found = tree_diffs(blocks, base, commit)
    for one, root, new in ((found[0], base.tree, commit.tree), (found[1], base.versions, commit.versions)):
        if one is None or root is None:
            continue
        if root == new:
            seen.add(root)
        for _, links in _read(blocks, one.deleted):
            for link in links:
                seen.add(link)
        _learn_below(blocks, (old for _, old, _ in one.changes if old is not None), seen)
    return found


def delta(blocks: BlockSource, statement: DeltaStatement, seen: SeenSet) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks of a delta behind its statement, in order ([DELTA-5]); fills *seen*, which is empty.

    Raises:
        MissingBlock: from *blocks*.
        Untrue: the one commit is no later state of the bucket of the other.
    """
    base, commit = (decode_commit(blocks.get(cid)) for cid in (statement.base, statement.commit))
    check_later(base, commit)
    learn(blocks, base, commit, seen)
    yield from closure(blocks, statement.commit, seen, AHEAD_WIDTH)


def _learn_below(blocks: BlockSource, manifests: Iterable[CID], seen: SeenSet) -> None:
    """Put in what these manifests lead to: their bodies, whole. Chunks are not read."""
    below: list[CID] = []
    for _, links in _read(blocks, manifests):
        below += links
        if len(below) >= _READ:
            _learn_bodies(blocks, below, seen)
            below.clear()
    _learn_bodies(blocks, below, seen)


def _learn_bodies(blocks: BlockSource, roots: Iterable[CID], seen: SeenSet) -> None:
    level = [cid for cid in roots if seen.add(cid)]
    while nodes := [cid for cid in level if codec(cid) == DAG_PB]:
        level = [link for _, links in _read(blocks, nodes) for link in links if seen.add(link)]


def _read(blocks: BlockSource, cids: Iterable[CID]) -> Iterator[tuple[CID, list[CID]]]:
    """Read blocks, some at a time; each with its links."""
    batch: dict[CID, None] = {}
    for cid in cids:
        batch[cid] = None
        if len(batch) >= _READ:
            yield from _links(blocks, batch)
            batch.clear()
    if batch:
        yield from _links(blocks, batch)


def _links(blocks: BlockSource, cids: dict[CID, None]) -> Iterator[tuple[CID, list[CID]]]:
    for cid, block in blocks.get_many(list(cids)).items():
        yield cid, [link for link, _ in links_of(cid, block)]
