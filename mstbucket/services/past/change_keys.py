"""Many keys of a bucket change at once, as one new commit: the step that a restore and a merge share ([PAST-51], [PAST-63]).

    1. A snapshot of the bucket tells what has to change. The rows are made, and the bucket as it will be is folded. Its
       blocks become durable, and get their rows. Nobody waits for that.
    2. One transaction takes the rows into tables of its own. Then it is alone in the bucket, and finds the keys that were
       written since the snapshot. All other rows change by a few statements, and the commit moves.
    3. The keys that were written since are changed one by one, and folded on top of the fold of step 1: they are few.

A crash before the transaction ends leaves blocks that nothing leads to, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.errors import CommitMoved, Conflict, MissingBlock
from mstbucket.index import changing
from mstbucket.index.commits import Head, read_head
from mstbucket.index.leases import Kept
from mstbucket.index.objects import NewObject, add_objects, delete_objects
from mstbucket.index.tx import Tx, enter_alone
from mstbucket.index.versions import put_marker
from mstbucket.limits import RESTORE_KEYS
from mstbucket.model.past import RestoreChange
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.past.ahead import Ahead, new_version
from mstbucket.services.past.wanted import Wanted, due
from mstbucket.services.tree.flush import check_number, clear_dirty, keep_bodies, raise_if_moved, record_fold
from mstbucket.services.tree.fold import Folded, FoldedOver, fold, write_pack
from mstbucket.services.tree.leases import Lease
from mstbucket.services.tree.snapshot import FLUSH_KEYS, FLUSH_MANIFESTS, Snapshot, read_changes
from mstbucket.services.tree.staged_blocks import Staged

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: What keys that were written since the newest commit are to hold. It may leave out keys that stay as they are.
Find = Callable[[Sequence[str]], list[Wanted]]


def change_keys(
    context: Context,
    head: Head,
    lease: Lease,
    wanted: Sequence[Wanted],
    find: Find,
    message: str | None,
    merged: Kept | None = None,
    *,
    always: bool = False,
) -> tuple[list[RestoreChange], CID | None]:
    """Make keys of a bucket hold what they are to hold; return what changed, and the new commit.

    Where nothing has to change there is no new commit, and None. Durable when this returns.

    Args:
        head: the bucket as it has to be still.
        lease: on the commit that the manifests are of.
        wanted: of keys that were not written since the newest commit; of others, *find* is asked.
        find: called in the snapshot, and again once nobody else is in the bucket.
        message: of the new commit.
        merged: the commit of another bucket that the changes come from ([COM-22]).
        always: make a commit even where no key has to change.

    Raises:
        CommitMoved: the bucket is not as *head* says. Read it again, and repeat.
        Conflict: too much was written since its newest commit. Flush, and repeat.
    """
    with Staged(context) as blocks, PackInProgress(context) as pack:  # [PUT-11] before anything is read
        with context.db.snapshot() as connection:
            seen = _read(connection, head)
            known = set(seen.objects.keys)
            more = find(seen.objects.keys)
            ahead = Ahead(seen)
            ahead.plan(connection, [*(one for one in wanted if one.key not in known), *more])
        with ahead:
            if not ahead.made and not always:
                return [], None
            folded = _fold(context, ahead, blocks, message, merged)
            with context.db.transaction() as connection:
                ahead.stage(connection)
                lease.confirm()  # [PAST-55] from here to the end the bodies stay, by the lease or by the rows
                blocks.say_alive()
                tx = enter_alone(connection, head.name)  # [PAST-51] [PAST-63]
                _check_same(read_head(connection, head.name), seen.head)
                made, cid = _switch(context, tx, ahead, folded, find, pack, message, merged)
                blocks.withdraw(tx)
            pack.keep()
    return made, cid


def _read(connection: Connection, head: Head) -> Snapshot:
    here = read_head(connection, head.name)
    _check_same(here, head)
    seen = read_changes(connection, here, 2 * RESTORE_KEYS + FLUSH_KEYS, 4 * FLUSH_MANIFESTS)
    if seen.more:  # [PAST-50] one commit, or none
        raise _too_much(head)
    check_number(seen)
    return seen


def _check_same(here: Head, head: Head) -> None:
    if (here.bucket, here.commit, here.versioning) != (head.bucket, head.commit, head.versioning):
        raise CommitMoved(f"somebody else flushed bucket {head.name!r} meanwhile, or changed its versioning").about(
            bucket=head.name
        )


def _too_much(head: Head) -> Conflict:
    return Conflict(f"too much else was written to bucket {head.name!r} meanwhile: repeat the call")


def _fold(
    context: Context, ahead: Ahead, blocks: Staged, message: str | None, merged: Kept | None
) -> tuple[Snapshot, Folded]:
    """Fold the bucket as it will be. All new blocks are durable and have their rows when this returns."""
    snapshot = ahead.snapshot()
    try:
        folded = fold(context.blocks, snapshot, context.signer, message, merged)
        ahead.forget_stored()
        write_pack(context.blocks, blocks, snapshot, folded)
    except MissingBlock as error:
        raise_if_moved(context, ahead.seen, error)
        raise
    blocks.record()
    return snapshot, folded


# --- the switch -------------------------------------------------------------------------------------------------------


def _switch(
    context: Context, tx: Tx, ahead: Ahead, folded: tuple[Snapshot, Folded], find: Find, pack: PackInProgress,
    message: str | None, merged: Kept | None,
) -> tuple[list[RestoreChange], CID]:  # fmt: skip
    late = changing.find_late(tx, RESTORE_KEYS + 1)
    if len(late) > RESTORE_KEYS:
        raise _too_much(ahead.seen.head)
    left = changing.leave(tx, late)
    changing.replace(tx)
    made = {key: change for key, change in ahead.made.items() if key not in set(late)}
    changed = _write(tx, ahead.seen.head, find(late)) if late else []
    keep_bodies(tx, ahead.seen, set())
    clear_dirty(tx, ahead.seen)
    snapshot, first = folded
    if changed or left:
        snapshot, first = _fold_late(context, tx, snapshot, first, pack, message, merged)
    record_fold(tx, snapshot, first, pack)
    made.update((change.key, change) for change in changed)
    return sorted(made.values(), key=lambda change: change.key.encode()), first.cid


def _fold_late(
    context: Context, tx: Tx, snapshot: Snapshot, first: Folded, pack: PackInProgress, message: str | None,
    merged: Kept | None,
) -> tuple[Snapshot, Folded]:  # fmt: skip
    """Fold what is dirty now over the first fold, as one commit with it."""
    over = FoldedOver(context.blocks, snapshot, first)
    rest = read_changes(tx.connection, over.head, 2 * RESTORE_KEYS + FLUSH_KEYS, 4 * FLUSH_MANIFESTS)
    if rest.more:
        raise _too_much(snapshot.head)
    folded = fold(over, rest, context.signer, message, merged)
    write_pack(context.blocks, pack, rest, folded)
    return rest, folded


def _write(tx: Tx, head: Head, wanted: Sequence[Wanted]) -> list[RestoreChange]:
    """Put and delete as a user would ([PAST-52]); return what was changed."""
    made: list[RestoreChange] = []
    for part in due(tx.connection, head, wanted):
        if head.versioning is None:
            add_objects(tx, [NewObject(one.wanted.key, one.wanted.manifest, one.wanted.cid) for one in part
                             if one.wanted.manifest is not None and one.wanted.cid is not None])  # fmt: skip
            delete_objects(tx, [one.wanted.key for one in part if one.wanted.manifest is None])
        else:
            new = [(one.wanted.key, new_version(head, one.wanted)) for one in part]
            add_objects(tx, [NewObject.of(key, manifest) for key, manifest in new if not manifest.delete_marker])
            for key, marker in new:
                if marker.delete_marker:
                    put_marker(tx, key, marker, dag_cbor_cid(manifests.encode(marker)))
        made += [one.change for one in part]
    return made
