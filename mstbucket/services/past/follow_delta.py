"""A bucket goes on from the base of a delta to its commit ([DELTA-6])."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

from mstbucket.core import commit as commits
from mstbucket.core import delta as deltas
from mstbucket.core.batches import in_batches
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, CID_SIZE, to_text
from mstbucket.core.delta_statement import DeltaStatement
from mstbucket.errors import Conflict, ExtraBlock, MissingBlock, NoSuchCommit, OtherCommit
from mstbucket.index import buckets, following
from mstbucket.index.commits import Head
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context
from mstbucket.services.past.advance import EVERY, Accept, Progress, To, advance
from mstbucket.services.past.bring import bring, check_length
from mstbucket.services.tree.fold import ASKED, with_empty_tree
from mstbucket.services.tree.import_rows import Spool
from mstbucket.services.tree.leases import Lease, hold_newest
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.spill.seen import Seen


def import_delta(
    context: Context,
    stream: Readable,
    statement: DeltaStatement,
    name: str | None,
    progress: Progress | None,
    expected: CID | None,
    accept: Accept,
) -> str:
    """Bring a bucket from the base of a delta to its commit; return its name. See `Store.import_car`."""
    if expected not in (None, statement.commit):
        raise OtherCommit(f"the delta leads to commit {to_text(statement.commit)}, and another one is expected").about(
            cid=statement.commit
        )
    name = _bucket_at(context, statement, name)
    with ExitStack() as stack:
        head, lease = hold_newest(context, name)
        stack.enter_context(lease)
        if head.commit == statement.commit:  # it was imported before
            accept(statement.commit, commits.decode(context.blocks.get(statement.commit)))
            return name
        if head.commit != statement.base:
            raise _not_the_base(name, head, statement.base)
        blocks = stack.enter_context(Staged(context))
        order = stack.enter_context(closing(_Order()))
        to = _stage_delta(context, stream, statement, blocks, order, lease.during(progress), accept)
        blocks.seal()
        blocks.record()
        _check_delta(context, statement, order, lease)
        bring(_Stored(context, blocks, lease), context.blocks, commits.decode(context.blocks.get(statement.base)), to.commit)
        blocks.seal()
        blocks.record()
        advance(context, head, lease, to, blocks)
    publish_made(context, name, f"bucket {name!r} has followed")
    return name


def _bucket_at(context: Context, statement: DeltaStatement, name: str | None) -> str:
    """The bucket that a delta is for: the named one; else the only one at its base, or at its commit."""
    if name is not None and buckets.exists(context.db, name):
        return name
    for cid in (statement.base, statement.commit) if name is None else ():
        names = following.buckets_at(context.db, cid)
        if len(names) == 1:
            return names[0]
        if names:
            raise Conflict(f"buckets {', '.join(names[:5])} are all at commit {to_text(cid)}: name the one to import into")
    where = "no bucket of this store is at it" if name is None else f"there is no bucket {name!r}"
    raise NoSuchCommit(  # [DELTA-6]
        f"the delta leads from commit {to_text(statement.base)}, and {where}: import the export of that commit first, or "
        "the deltas up to it"
    ).about(cid=statement.base)


def _not_the_base(name: str, head: Head, base: CID) -> Conflict:
    there = "no commit" if head.commit is None else f"commit {head.seq}, {to_text(head.commit)}"
    return Conflict(
        f"the delta leads from commit {to_text(base)}, and bucket {name!r} is at {there}: import the deltas between, or "
        "import the export of that commit under another name first"
    ).about(bucket=name, cid=base)


class _Order(Spool):
    """The CIDs of the blocks of a delta, as they came."""

    def cids(self) -> Iterator[CID]:
        """All of them."""
        left = b""
        for piece in self.pieces():
            data = left + piece
            whole = len(data) - len(data) % CID_SIZE
            yield from (data[at : at + CID_SIZE] for at in range(0, whole, CID_SIZE))
            left = data[whole:]


def _stage_delta(
    context: Context,
    stream: Readable,
    statement: DeltaStatement,
    blocks: Staged,
    order: _Order,
    said: Progress,
    accept: Accept,
) -> To:
    """Stage all blocks of a delta but the statement; return where it leads, which was accepted before the rest was read."""
    sections = iter(CarReader(stream))
    next(sections)  # the statement
    cid, block, _ = next(sections, (b"", b"", 0))
    if cid != statement.commit:  # [DELTA-5]
        raise MissingBlock(f"the delta lacks its commit, {to_text(statement.commit)}").about(cid=statement.commit)
    commit = commits.decode(block)
    accept(cid, commit)
    commits.check_later(commits.decode(context.blocks.get(statement.base)), commit)  # [DELTA-3]
    blocks.add(cid, block)
    order.add(cid)
    for number, (one, block, offset) in enumerate(sections):
        blocks.add(one, block)
        order.add(one)
        if number % EVERY == 0:
            blocks.say_alive()
            said(offset)
    return To(cid, commit)


def _check_delta(context: Context, statement: DeltaStatement, order: _Order, lease: Lease) -> None:
    """[DELTA-5] The file holds the blocks that the two commits demand, in their order, and no others."""
    came = order.cids()
    with Seen() as seen:
        try:
            for number, (cid, _) in enumerate(deltas.delta(context.blocks, statement, seen)):
                found = next(came, None)
                if found != cid:
                    there = "the file ends" if found is None else f"there is {to_text(found)}"
                    raise MissingBlock(f"block {to_text(cid)} has to come, and {there}").about(cid=cid)
                if number % EVERY == 0:
                    lease.renew()
        except MissingBlock as error:
            raise MissingBlock(f"the delta is not whole: {error}").about(error) from error
    for cid in came:
        raise ExtraBlock(f"block {to_text(cid)} is no part of the delta").about(cid=cid)


class _Stored:
    """A `Source` once all of a delta has come: the own store."""

    def __init__(self, context: Context, staged: Staged, lease: Lease) -> None:
        self._blocks = with_empty_tree(context.blocks)
        self._staged = staged
        self._lease = lease

    def get(self, cid: CID) -> bytes:
        return self._blocks.get(cid)

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        self._say_alive()
        return self._blocks.get_many(cids)

    def bring_chunks(self, chunks: Sequence[tuple[CID, int]]) -> None:
        """Chunks of the file were hashed as they came, and those of the base before: their lengths are left to judge."""
        for batch in in_batches(chunks, ASKED):
            self._say_alive()
            there = self._staged.count_on([cid for cid, _ in batch])
            for cid, length in batch:
                if cid not in there:
                    lost = f"chunk {to_text(cid)} of the base is lost or damaged: verify the bucket"
                    raise MissingBlock(lost).about(cid=cid)
                check_length(cid, there[cid], length)

    def _say_alive(self) -> None:
        self._staged.say_alive()
        self._lease.renew()
