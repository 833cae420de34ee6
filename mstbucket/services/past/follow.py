"""A bucket goes on to a later commit that was made elsewhere, from a delta or from a whole export ([DELTA-6], [IMP-10]).

    1. A lease holds the newest commit, the base. The blocks of the file go to pending packs, and get their rows.
    2. The file is verified: a delta by what differs between the two commits ([DELTA-7]), an export from end to end.
    3. What differs between the trees of the two commits becomes rows that nobody sees.
    4. One transaction is alone in the bucket. If the base is still the newest commit and nothing was written since, it
       replaces the rows that differ, judges the versions of their keys side by side, and moves the commit.

A crash before 4 ends leaves blocks that nothing leads to, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core import commit as commits
from mstbucket.core import delta as deltas
from mstbucket.core.batches import in_batches
from mstbucket.core.car import CarReader
from mstbucket.core.cid import CID, CID_SIZE, to_text
from mstbucket.core.commit import EMPTY_TREE, Commit
from mstbucket.core.delta import DeltaStatement
from mstbucket.core.keys import split_version_key
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.diff import Change
from mstbucket.errors import CommitMoved, Conflict, ExtraBlock, MissingBlock, NoSuchCommit, OtherCommit, Unsupported
from mstbucket.index import buckets, following, space, staging
from mstbucket.index import commits as rows
from mstbucket.index.commits import Head, read_head
from mstbucket.index.following import Breach, BreachKind
from mstbucket.index.tx import enter_alone
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context
from mstbucket.services.past.bring import bring, check_length
from mstbucket.services.tree.fold import ASKED, WithEmptyTree
from mstbucket.services.tree.import_rows import Spool
from mstbucket.services.tree.leases import Lease, hold_newest
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.spill.seen import Seen
from mstbucket.verify.history import nothing_above, two_of_one_id
from mstbucket.verify.replay import Replay

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

Accept = Callable[[CID, Commit], object]
Progress = Callable[[int], object]

_EVERY: Final = 4096  # blocks between two calls of `progress`, and two looks at the lease
_MANIFESTS: Final = 128  # read at a time


class To(NamedTuple):
    """Where the bucket goes."""

    cid: CID
    commit: Commit


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


def import_next(
    context: Context, stream: Readable, name: str, progress: Progress | None, expected: CID | None, accept: Accept
) -> str:
    """Bring a bucket from the commit before that of a whole export to that; return its name. See `Store.import_car`."""
    with ExitStack() as stack:
        head, lease = hold_newest(context, name)
        stack.enter_context(lease)
        replay = stack.enter_context(Replay(stream, expected))
        to = To(replay.root, replay.commit)
        accept(*to)
        if (head.identity, head.commit) != (to.commit.bucket, to.commit.prev):
            raise CommitMoved(f"somebody else flushed bucket {name!r} meanwhile: it has gone its own way").about(bucket=name)
        blocks = stack.enter_context(Staged(context))
        said = lease.during(progress)
        for number, (_, cid, block, _, _) in enumerate(replay):
            if block is not None:
                blocks.add(cid, block)
            if number % _EVERY == 0:
                blocks.say_alive()
                said(replay.offset)
        blocks.seal()
        blocks.record()
        advance(context, head, lease, to, blocks)
    publish_made(context, name, f"bucket {name!r} has followed")
    return name


# --- what may follow what ---------------------------------------------------------------------------------------------


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


def follows(context: Context, name: str, commit: Commit) -> bool:
    """Whether there is a bucket of that name, and its newest commit is the one before *commit* ([IMP-10])."""
    if not buckets.exists(context.db, name):
        return False
    with context.db.reading() as connection:
        head = read_head(connection, name)
    return head.identity == commit.bucket and head.commit is not None and head.commit == commit.prev


# --- a delta ----------------------------------------------------------------------------------------------------------


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
        if number % _EVERY == 0:
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
                if number % _EVERY == 0:
                    lease.renew()
        except MissingBlock as error:
            raise MissingBlock(f"the delta is not whole: {error}").about(error) from error
    for cid in came:
        raise ExtraBlock(f"block {to_text(cid)} is no part of the delta").about(cid=cid)


class _Stored:
    """A `Source` once all of a delta has come: the own store."""

    def __init__(self, context: Context, staged: Staged, lease: Lease) -> None:
        self._blocks = WithEmptyTree(context.blocks)
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


# --- the switch -------------------------------------------------------------------------------------------------------


def advance(context: Context, head: Head, lease: Lease, to: To, blocks: Staged) -> None:
    """Steps 3 and 4: the rows that differ, and the commit. All blocks have their rows, and were judged.

    Raises:
        Untrue: the versions of a key are no history ([VER-21]). Nothing has changed.
        CommitMoved, Conflict, Unsupported: the bucket has gone its own way, or has object lock. Nothing has changed.
    """
    with closing(Spool()) as changed, closing(Spool()) as objects, closing(Spool()) as versions:
        _fill_objects(context, head, lease, to.commit, changed, objects)
        _fill_versions(context, head, lease, to.commit, changed, versions)
        with context.db.transaction() as connection:
            following.stage(connection, changed.pieces(), objects.pieces(), versions.pieces())
            lease.confirm()
            blocks.say_alive()
            _switch(connection, head, to, blocks)


def _switch(connection: Connection, head: Head, to: To, blocks: Staged) -> None:
    tx = enter_alone(connection, head.name)
    here = read_head(connection, head.name)
    if (here.bucket, here.commit) != (head.bucket, head.commit):
        raise CommitMoved(f"somebody else flushed bucket {head.name!r} meanwhile: it has gone its own way")
    if following.is_dirty(tx):  # [DELTA-6]
        raise Conflict(f"bucket {head.name!r} was written to since commit {head.seq}: it has gone its own way, so import "
                       "under another name")  # fmt: skip
    if following.has_object_lock(tx):
        raise Unsupported(f"bucket {head.name!r} protects versions with object lock, which no commit tells of: import the "
                          "export under another name")  # fmt: skip
    if head.versions is None and to.commit.versions is None:
        following.replace_objects(tx)
    else:
        _refuse_breach(following.replace(tx))
    moved = following.move(tx, head, *to)
    assert moved  # nobody else is here
    rows.insert(tx, to.cid, to.commit, whole=True)
    blocks.withdraw(tx)
    space.count_dead(connection)


def _refuse_breach(breach: Breach | None) -> None:
    if breach is None:
        return
    key = breach.key.encode()
    if breach.kind is BreachKind.NOTHING_ABOVE:  # [VER-21] [VSN-4]
        raise nothing_above(key)
    raise two_of_one_id(key, null=breach.kind is BreachKind.TWO_NULL_VERSIONS)  # [VER-21] [VSN-2]


def _fill_objects(
    context: Context, head: Head, lease: Lease, commit: Commit, changed: Spool, objects: Spool
) -> None:
    assert head.tree is not None  # there is a commit
    for key, cid, block in _changed(context, lease, head.tree, commit.tree):
        changed.add(following.changed_row(key, None))
        if cid is not None:
            objects.add(staging.object_row(head.bucket, key, cid, block))


def _fill_versions(
    context: Context, head: Head, lease: Lease, commit: Commit, changed: Spool, versions: Spool
) -> None:
    for stored, cid, block in _changed(context, lease, head.versions or EMPTY_TREE, commit.versions or EMPTY_TREE):
        key, seq = split_version_key(stored)
        changed.add(following.changed_row(key, seq))
        if cid is not None:
            versions.add(staging.version_row(head.bucket, key, seq, cid, block))


def _changed(context: Context, lease: Lease, old: CID, new: CID) -> Iterator[tuple[bytes, CID | None, bytes]]:
    """The keys whose values differ, each with its new value and that block; None and no bytes where the key has gone."""
    source = WithEmptyTree(context.blocks)
    found: Iterator[Change] = changes(Tree(source, old), Tree(source, new))
    for batch in in_batches(found, _MANIFESTS):
        lease.renew()
        blocks = context.blocks.get_many({cid for _, _, cid in batch if cid is not None})
        for key, _, cid in batch:
            yield key, cid, b"" if cid is None else blocks[cid]
