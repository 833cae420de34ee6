"""Make a proof: answer the question from the store, and write down every block that this takes."""

from __future__ import annotations

from collections.abc import Collection
from typing import BinaryIO, Final

from mstbucket.core import car, manifest, statement
from mstbucket.core import commit as commits
from mstbucket.core.blocks import BlockSource
from mstbucket.core.change_statement import Change, ChangesQuestion
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.keys import encode_key
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT
from mstbucket.core.mst.walk import get
from mstbucket.core.s3rules.ranges import parse_range
from mstbucket.core.statement import Question, Statement
from mstbucket.errors import NoSuchKey, Unsupported
from mstbucket.files.whole import write_all
from mstbucket.index.leases import Kept
from mstbucket.limits import CHANGES_STATEMENT_MAX, MIB
from mstbucket.model.looks import Proved
from mstbucket.verify.answer import accept_any, answer
from mstbucket.verify.proved import proved

_KEPT: Final = 32 * MIB  # of nodes; 10,000 changes of an honest tree touch 10 MB
_CHANGE: Final = 45  # bytes of a change in a statement, beside its key, at least


def prove(blocks: BlockSource, commit: CID, question: Question, target: BinaryIO) -> Proved:
    """Write the proof of what *commit* says about *question*, and return what it proves. Memory is bounded."""
    stated = statement.encode(Statement(commit, question))
    root = dag_cbor_cid(stated)
    write_all(target, car.header(root))

    def take(cid: CID, _what: str) -> bytes:
        block = stated if cid == root else blocks.get(cid)
        write_all(target, car.section(cid, block))
        return block

    return proved(answer(root, take, lambda _data: None, accept_any))


def prove_changes(old: BlockSource, since: CID, new: BlockSource, commit: CID, target: BinaryIO) -> Proved:
    """Write the proof of what differs between two commits of a bucket, each read from its own source. Memory is bounded.

    It reads the nodes that differ, by levels, and then the few that the proof needs besides, one by one.

    Raises:
        Unsupported: there are more changes than a statement holds.
        Untrue: the one commit is no later state of the bucket of the other.
    """
    # The earlier commit is in the proof. From here on only what differs is read of it.
    first = {EMPTY_ROOT: EMPTY_BLOCK, since: old.get(since)}
    sides = was, now = _Remembering(old, first), _Remembering(new, first)
    before, after = (commits.decode(side.get(cid)) for side, cid in zip(sides, (since, commit), strict=True))
    objects = _changes(Tree(was, before.tree), Tree(now, after.tree))
    versions = _changes(Tree(was, before.versions or EMPTY_ROOT), Tree(now, after.versions or EMPTY_ROOT))
    return prove(now, commit, ChangesQuestion(since, objects, versions), target)


def _changes(old: Tree, new: Tree) -> tuple[Change, ...]:
    found: list[Change] = []
    size = 0
    for change in changes(old, new):
        size += len(change[0]) + _CHANGE
        if size > CHANGES_STATEMENT_MAX:  # [PROOF-9]
            raise Unsupported(f"the commits differ by more than {len(found):,} keys, more than one proof holds: prove them "
                              "from commit to commit between, or export a delta")  # fmt: skip
        found.append(change)
    return tuple(found)


class _Remembering:
    """A `BlockSource` that keeps what it gave, up to a bound: what a comparison has read, the proof asks for again."""

    def __init__(self, source: BlockSource, first: dict[CID, bytes]) -> None:
        self._source = source
        self._kept = dict(first)
        self._size = 0

    def get(self, cid: CID) -> bytes:
        """The block of `cid`."""
        return self.get_many((cid,))[cid]

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`."""
        found = {cid: self._kept[cid] for cid in cids if cid in self._kept}
        missing = [cid for cid in cids if cid not in found]
        for cid, block in self._source.get_many(missing).items() if missing else ():
            found[cid] = block
            if self._size < _KEPT:
                self._kept[cid] = block
                self._size += len(block)
        return found


def body_of(blocks: BlockSource, commit: Kept, key: str, range_: str | None) -> tuple[int, int]:
    """Which bytes of the object under *key* in *commit* are asked for; all of them where *range_* is None.

    Raises:
        NoSuchKey: the commit does not hold it.
        InvalidRange: it has no such bytes.
    """
    cid = get(blocks, commit.tree, encode_key(key))
    if cid is None:
        raise NoSuchKey(f"commit {commit.seq} of bucket {commit.name!r} has no object {key!r}, and so none of its bytes")
    size = manifest.decode(blocks.get(cid)).size
    assert size is not None  # the tree of objects holds no delete markers
    return (0, size) if range_ is None else parse_range(range_, size)
