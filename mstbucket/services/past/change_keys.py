"""Many keys of a bucket change at once, as one new commit: the step that a restore and a merge share ([PAST-51], [PAST-63]).

One transaction is alone in the bucket. It changes the rows as puts and deletes do, folds all that is dirty into the trees,
and moves the commit. So rows and commit change together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mstbucket.core import manifest as manifests
from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, dag_cbor_cid, to_text
from mstbucket.core.manifest import Manifest
from mstbucket.errors import CommitMoved, Conflict, Unsupported
from mstbucket.index import restoring
from mstbucket.index.commits import Head, read_head
from mstbucket.index.leases import Kept
from mstbucket.index.objects import NewObject, add_objects, delete_objects
from mstbucket.index.restoring import Current
from mstbucket.index.tx import Tx, enter_alone
from mstbucket.index.versions import put_marker
from mstbucket.limits import RESTORE_KEYS
from mstbucket.model.past import RestoreChange
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.objects.versioning import new_id
from mstbucket.services.tree.flush import check_number, record_fold
from mstbucket.services.tree.fold import ASKED, fold, write_pack
from mstbucket.services.tree.snapshot import FLUSH_KEYS, FLUSH_MANIFESTS, read_changes

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a key is to hold: a manifest and its CID; both are None where the key is to hold no object."""

    key: str
    cid: CID | None
    manifest: Manifest | None


def load(context: Context, pairs: Sequence[tuple[str, CID | None]], advice: str) -> list[Wanted]:
    """Read the manifests that keys are to hold.

    Raises:
        Unsupported: they are more than memory holds at once ([PAST-53]). The message ends with *advice*.
    """
    wanted: list[Wanted] = []
    held = 0
    for batch in in_batches(pairs, ASKED):
        blocks = context.blocks.get_many({cid for _, cid in batch if cid is not None})
        held += sum(map(len, blocks.values()))
        if held > FLUSH_MANIFESTS:
            raise Unsupported(f"the manifests that differ have more than {FLUSH_MANIFESTS:,} bytes, which is what one "
                              f"commit changes at once: {advice}")  # fmt: skip
        wanted += [Wanted(key, cid, None if cid is None else manifests.decode(blocks[cid])) for key, cid in batch]
    return wanted


def change_keys(
    context: Context,
    head: Head,
    find_wanted: Callable[[Connection], list[Wanted]],
    merged: Kept | None = None,
    *,
    always: bool = False,
) -> tuple[list[RestoreChange], CID | None]:
    """Make keys of a bucket hold what *find_wanted* returns; return what changed, and the new commit.

    Where nothing has to change there is no new commit, and None. Durable when this returns.

    Args:
        head: the bucket as it has to be still.
        find_wanted: called once nobody else is in the bucket.
        merged: the commit of another bucket that the changes come from ([COM-22]).
        always: make a commit even where no key has to change.

    Raises:
        CommitMoved: the bucket is not as *head* says. Read it again, and repeat.
        Conflict: too much was written since its newest commit. Flush, and repeat.
    """
    with PackInProgress(context) as pack:
        with context.db.transaction() as connection:
            tx = enter_alone(connection, head.name)  # [PAST-51] [PAST-63]
            here = read_head(connection, head.name)
            if (here.bucket, here.commit) != (head.bucket, head.commit):
                raise CommitMoved(f"somebody else flushed bucket {head.name!r} meanwhile").about(bucket=head.name)
            made = _write(tx, here, find_wanted(connection))
            if not made and not always:
                return [], None
            cid = _fold_all(context, tx, here, pack, merged)
        pack.keep()
    return made, cid


def _fold_all(context: Context, tx: Tx, head: Head, pack: PackInProgress, merged: Kept | None) -> CID:
    """Fold all that is dirty into one commit, in the transaction; return its CID."""
    snapshot = read_changes(tx.connection, head, 2 * RESTORE_KEYS + FLUSH_KEYS, 4 * FLUSH_MANIFESTS)
    if snapshot.more:  # [PAST-50] one commit, or none
        raise Conflict(f"too much else was written to bucket {head.name!r} meanwhile: repeat the call")
    check_number(snapshot)
    folded = fold(context.blocks, snapshot, context.signer, merged)
    write_pack(context.blocks, pack, snapshot, folded)
    record_fold(tx, snapshot, folded, pack)
    return folded.cid


# --- what has to change -----------------------------------------------------------------------------------------------

_Due = tuple[RestoreChange, Wanted]


def due(connection: Connection, head: Head, wanted: Sequence[Wanted]) -> Iterator[list[_Due]]:
    """What has to change for keys to hold what they are to hold: some at a time, in the order of keys."""
    for batch in in_batches(sorted(wanted, key=lambda one: one.key.encode()), ASKED):
        current = restoring.current_objects(connection, head.bucket, [one.key for one in batch])
        part: list[_Due] = []
        for one in batch:
            there = current.get(one.key)
            if one.manifest is None:
                if there is not None:
                    part.append((RestoreChange(one.key, to_text(there.cid), None), one))
            elif there is None or not _is_same(there, one, head.versioning):
                old = None if there is None else to_text(there.cid)
                part.append((RestoreChange(one.key, old, to_text(one.cid or b"")), one))
        yield part


def _is_same(current: Current, wanted: Wanted, versioning: str | None) -> bool:
    """Whether an object is what it is to be. A version with another id that says the same is ([PAST-52])."""
    if current.cid == wanted.cid or versioning is None or wanted.manifest is None:
        return current.cid == wanted.cid
    return without_version(current.manifest) == without_version(wanted.manifest)


def without_version(manifest: Manifest) -> Manifest:
    """The manifest without its version id and its times, which belong to the version and not to the object."""
    return replace(manifest, version_id=None, created=0, modified=0)


# --- changing it ------------------------------------------------------------------------------------------------------


def _write(tx: Tx, head: Head, wanted: Sequence[Wanted]) -> list[RestoreChange]:
    """Put and delete as a user would ([PAST-52]); return what was changed."""
    now = tx.now()
    made: list[RestoreChange] = []
    for part in due(tx.connection, head, wanted):
        add_objects(tx, [NewObject.of(one.key, _new(one.manifest, tx.versioning, now)) for _, one in part if one.manifest])
        gone = [one.key for _, one in part if one.manifest is None]
        if tx.versioning is None:
            delete_objects(tx, gone)
        for key in gone if tx.versioning is not None else ():
            marker = Manifest(None, None, None, None, now, now, version_id=new_id(tx.versioning), delete_marker=True)
            put_marker(tx, key, marker, dag_cbor_cid(manifests.encode(marker)))
        made += [change for change, _ in part]
    return made


def _new(manifest: Manifest, versioning: str | None, now: int) -> Manifest:
    """What is stored: the object as it was, or a new version of it where the bucket keeps versions."""
    if versioning is None:
        return manifest
    return replace(manifest, version_id=new_id(versioning), created=now, modified=now)
