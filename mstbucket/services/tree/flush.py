"""Flush: fold the changed keys of a bucket into its trees, exactly once, and move its commit ([FLUSH-1] to [FLUSH-9]).

    1. One snapshot gives the commit, the dirty keys and versions with their generations, and their rows.
    2. The flush computes the two new trees, of objects and of versions, and writes everything new to one pack, durably.
       No transaction is open meanwhile.
    3. One short transaction moves the commit from the one of step 1, records the blocks, and removes the dirty rows that
       still have the generations of step 1. If somebody else moved the commit, nothing happens, and the flush starts over.
    4. A small blob publishes the commit. By it the store can be found again without the database.

A crash before step 3 leaves a pending pack, and nothing refers to it. A crash after step 3 leaves a commit that the next
flush publishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mstbucket.core.batches import in_batches
from mstbucket.core.commit_fields import check_new_message
from mstbucket.errors import CommitMoved, MissingBlock, NothingToCommit, Unsupported
from mstbucket.index import blocks, commits, deaths, dirty, space
from mstbucket.index.commits import CommitRow, read_head
from mstbucket.index.tx import Tx, enter
from mstbucket.limits import COMMIT_SEQ_MAX
from mstbucket.model.buckets import CommitInfo
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.tree.deaths import died, left_behind, repeated
from mstbucket.services.tree.fold import ASKED, Folded, fold, write_pack
from mstbucket.services.tree.publish import publish_refs
from mstbucket.services.tree.snapshot import Snapshot, take_snapshot
from mstbucket.services.tree.turns import in_turn

_ADVICE: Final = "allow an empty commit (--allow-empty) to record it"
_SHOWN: Final = 60  # characters of another message that an error shows


def flush(context: Context, bucket: str) -> CommitInfo:
    """Fold everything dirty and return the commit that holds it; see `Bucket.flush`."""
    in_turn(context, bucket, lambda: fold_all(context, bucket), joins=True)
    _publish(context, bucket)
    return _newest(context, bucket)


def flush_saying(context: Context, bucket: str, message: str, allow_empty: bool) -> CommitInfo:
    """As `flush`, in a commit of this call's own that carries *message*, or none ([FLUSH-14]); see `Bucket.flush`."""
    check_new_message(message)
    made = in_turn(context, bucket, lambda: fold_all(context, bucket, message, always=allow_empty), joins=False)
    _publish(context, bucket)
    return newest_saying(context, bucket, message, _ADVICE) if made is None else made.info()


def _publish(context: Context, bucket: str) -> None:
    """Step 4."""
    with error_context(context, bucket):
        publish_refs(context, bucket)
    space.give_back(context.db)


def _newest(context: Context, bucket: str) -> CommitInfo:
    commit = commits.newest(context.db, bucket)
    assert commit is not None  # a commit, once made, is only ever followed by another
    return commit


def newest_saying(context: Context, bucket: str, message: str, advice: str) -> CommitInfo:
    """The newest commit, if it has that message: who repeats a call whose answer was lost is answered as then.

    Raises:
        NothingToCommit: it has not, so *message* is in no commit. What is said ends with *advice*.
    """
    commit = _newest(context, bucket)
    if commit.message != message:  # [FLUSH-14]
        says = "has no message" if commit.message is None else f"says {commit.message[:_SHOWN]!r}"
        raise NothingToCommit(
            f"bucket {bucket!r} has nothing to commit, so the message was not recorded: commit {commit.seq}, {commit.cid}, "
            f"holds everything and {says}; {advice}"
        ).about(bucket=bucket)
    return commit


def fold_all(context: Context, bucket: str, message: str | None = None, *, always: bool = False) -> CommitRow | None:
    """Fold everything that was dirty at the call, in one commit or in several, without a look at other flushes.

    Returns:
        The last commit, which holds it all; None where nothing was left for it. With *always* it is made all the same.

    Raises:
        Conflict: somebody else moved the commit. The commits made before that stay.
    """
    while True:
        made = None
        snapshot = take_snapshot(context, bucket)
        first = snapshot.head.commit is None
        if snapshot.changes or snapshot.head.tags_dirty is not None or first or always:  # [TAG-6]
            with error_context(context, bucket):
                try:
                    made = _fold_once(context, snapshot, message)
                except MissingBlock as error:
                    raise_if_moved(context, snapshot, error)
                    raise
        if not snapshot.more:
            return made


def _fold_once(context: Context, snapshot: Snapshot, message: str | None) -> CommitRow:
    """Steps 2 and 3, for the changes of one snapshot."""
    check_number(snapshot)
    folded = fold(context.blocks, snapshot, context.signer, message)
    left = left_behind((folded.objects, folded.versions))
    with PackInProgress(context) as pack:  # left before `keep`, the pack is removed
        write_pack(context.blocks, pack, snapshot, folded)  # durable from here on
        with context.db.transaction() as connection:
            tx = enter(connection, snapshot.head.name)  # [FLUSH-4]
            states = not snapshot.more and commits.is_whole(tx, snapshot.head.seq)
            record_flush(tx, snapshot, folded, pack)
            deaths.note(tx, snapshot.head.seq, died(snapshot, left, folded.replaced, states))
            deaths.follow(tx, snapshot.head.seq, folded.commit.seq)
        pack.keep()
    return commits.row_of(snapshot.head.bucket, folded.cid, folded.commit)


def raise_if_moved(context: Context, snapshot: Snapshot, error: MissingBlock) -> None:
    """Raise `CommitMoved` if the commit of the snapshot is no longer the newest: then its nodes may have been collected."""
    with context.db.reading() as connection:
        head = read_head(connection, snapshot.head.name)
    if (head.bucket, head.commit) != (snapshot.head.bucket, snapshot.head.commit):
        raise CommitMoved(f"somebody else flushed bucket {head.name!r}, and what it replaced was collected") from error


def record_flush(tx: Tx, snapshot: Snapshot, folded: Folded, pack: PackInProgress) -> None:
    """Inside the transaction: move the commit, record the blocks of the pack, and clear what is dirty.

    A flush is no other life of the bodies that it folds, and its new blocks have one life ([GC-21]).

    Raises:
        CommitMoved: somebody else moved the commit since the snapshot, or a body has gone.
    """
    _move_commit(tx, snapshot, folded)
    for batch in in_batches(_bodies(snapshot, pack.cids), ASKED):
        if blocks.touch_folded(tx, batch) != len(batch):
            raise _body_gone(snapshot)
    pack.record(tx, tx.seq, moved={block.content for block in snapshot.blocks.values() if block.content is not None})
    late = {body for cid in clear_dirty(tx, snapshot) if (body := snapshot.blocks[cid].content) is not None}
    _share(tx, snapshot, sorted({*late, *repeated(snapshot)}))
    space.count_dead(tx.connection)


def record_fold(tx: Tx, snapshot: Snapshot, folded: Folded, pack: PackInProgress) -> None:
    """As `record_flush`, for what gives blocks of the past, or of another bucket, a life more: all of them are shared."""
    _move_commit(tx, snapshot, folded)
    keep_bodies(tx, snapshot, pack.cids)
    pack.record(tx)
    clear_dirty(tx, snapshot)
    space.count_dead(tx.connection)


def check_number(snapshot: Snapshot) -> None:
    """Raise `Unsupported` where no commit can follow the one of the snapshot."""
    head = snapshot.head
    if head.seq >= COMMIT_SEQ_MAX:  # [COM-13]
        raise Unsupported(
            f"bucket {head.name!r} has had commit {head.seq}, the last there can be; what was written since is durable, and "
            "in no commit: copy the objects to a new bucket"
        )


def _move_commit(tx: Tx, snapshot: Snapshot, folded: Folded) -> None:
    """Move the commit from the one in the snapshot, or do nothing at all ([FLUSH-5])."""
    if tx.bucket != snapshot.head.bucket:  # the snapshot read another one
        raise CommitMoved(f"bucket {snapshot.head.name!r} was deleted and made again during the flush")
    if not commits.advance(tx, snapshot.head, folded.cid, folded.commit.seq):
        raise CommitMoved(f"somebody else flushed bucket {snapshot.head.name!r} meanwhile")
    commits.insert(tx, folded.cid, folded.commit, whole=not snapshot.more)


def keep_bodies(tx: Tx, snapshot: Snapshot, safe: set[bytes]) -> None:
    """Make sure that every body of a folded manifest is still there, and stays, as a shared one ([FLUSH-6], [GC-21]).

    A key may have been overwritten since the snapshot, and its old body collected. The *safe* ones are not looked at.
    """
    for batch in in_batches(_bodies(snapshot, safe), ASKED):
        if tx.touch(batch) != len(batch):
            raise _body_gone(snapshot)


def _bodies(snapshot: Snapshot, safe: set[bytes]) -> list[bytes]:
    return sorted({content for _, content, _ in snapshot.blocks.values() if content is not None} - safe)


def _body_gone(snapshot: Snapshot) -> CommitMoved:
    return CommitMoved(f"a body of bucket {snapshot.head.name!r} was overwritten and collected during the flush")


def clear_dirty(tx: Tx, snapshot: Snapshot) -> list[bytes]:
    """Remove the dirty rows that were folded, by their generations. A row that a writer holds stays ([FLUSH-7]).

    Returns the manifests of the objects and versions whose rows stay: they may have been replaced since the snapshot.
    """
    objects, versions = snapshot.objects, snapshot.versions
    late: list[bytes | None] = []
    if objects.keys:
        cleared = dirty.clear_objects(tx, objects.keys, objects.generations)
        late += [cid for key, cid in zip(objects.keys, objects.manifests, strict=True) if key not in cleared]
    if versions.keys:
        places = dirty.clear_versions(tx, versions.keys, versions.seqs, versions.generations)
        of_places = zip(versions.keys, versions.seqs, versions.manifests, strict=True)
        late += [cid for key, seq, cid in of_places if (key, seq) not in places]
    return [cid for cid in late if cid is not None]


def _share(tx: Tx, snapshot: Snapshot, cids: Sequence[bytes]) -> None:
    """Mark blocks as shared, or do nothing at all: who holds one of them may wait for what is held here ([GC-23])."""
    for batch in in_batches(cids, ASKED):
        if blocks.share(tx, batch) != len(batch):
            raise CommitMoved(f"somebody else was writing what this flush of bucket {snapshot.head.name!r} needs")
