"""Deltas: the statement that one begins with, and which blocks its base is known to have (`spec/format/33-delta.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core import dagcbor
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, DAG_PB, codec, from_text, to_text
from mstbucket.core.closure import AHEAD_WIDTH, SeenSet, closure, links_of
from mstbucket.core.commit import Commit, check_later
from mstbucket.core.commit import decode as decode_commit
from mstbucket.core.dagcbor import Link
from mstbucket.core.mst.diff import Diff, diff
from mstbucket.errors import InvalidBlock, InvalidCid, Unsupported
from mstbucket.limits import STATEMENT_BLOCK_MAX

DELTA_VERSION: Final = 1

_READ: Final = 256  # nodes, manifests or body nodes asked for at once


@dataclass(frozen=True, slots=True)
class DeltaStatement:
    """What a delta is: all that the bucket of *commit* has, and that of *base* is not known to have."""

    base: CID
    commit: CID


def encode(statement: DeltaStatement) -> bytes:
    """Return the first block of a delta."""
    # [DELTA-2] the base as text: nothing of it is in the file
    return dagcbor.encode(
        {"base": to_text(statement.base), "delta": DELTA_VERSION, "commit": Link(statement.commit)}
    )


def decode(block: bytes) -> DeltaStatement | None:
    """Return the statement that *block* is, or None if it is no statement of a delta at all.

    Raises:
        Unsupported: a newer program wrote it: update this one.
        InvalidBlock: it is one that `encode` does not write.
    """
    if len(block) > STATEMENT_BLOCK_MAX:  # [DELTA-2] before anything is read
        return None
    value = dagcbor.decode(block)
    if not isinstance(value, dict) or type(value.get("delta")) is not int:
        return None
    if value["delta"] != DELTA_VERSION:
        raise Unsupported(f"the delta has version {value['delta']}; this program reads {DELTA_VERSION}")
    try:
        statement = _from_value(value)
    except (InvalidCid, TypeError, LookupError, AttributeError) as error:
        raise InvalidBlock(f"the statement of the delta is none: {error}") from error
    if encode(statement) != block:
        raise InvalidBlock("the statement of the delta is not written as its fields demand")
    return statement


def _from_value(value: dict[str, Any]) -> DeltaStatement:
    statement = DeltaStatement(from_text(value["base"]), value["commit"].cid)
    for cid in (statement.base, statement.commit):
        if cid[:4] != DAG_CBOR_PREFIX:
            raise InvalidBlock("the statement of the delta names what is no commit")
    return statement


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
