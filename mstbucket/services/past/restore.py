"""Restore: keys of a bucket as an earlier commit had them, all at once, as one new commit ([PAST-50] to [PAST-54]).

    1. A lease holds the earlier commit. What differs between its tree and the newest one is found, and the manifests are
       read. Flushes of the bucket wait meanwhile.
    2. One transaction is alone in the bucket. It finds what was written since the newest commit as well, changes the rows as
       puts and deletes do, folds all that is dirty into the trees, and moves the commit. So rows and commit change together.

A crash before 2 ends leaves a pending pack, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.commit_names import CommitName
from mstbucket.core.keys import check_text, encode_key, prefix_end
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.walk import get
from mstbucket.errors import CommitMoved, Conflict, Unsupported
from mstbucket.index import restoring
from mstbucket.index.commits import Head, read_head
from mstbucket.index.objects import NewObject, add_objects, delete_objects
from mstbucket.index.past import Kept
from mstbucket.index.restoring import Current
from mstbucket.index.tx import Tx, enter_alone
from mstbucket.index.versions import put_marker
from mstbucket.limits import RESTORE_KEYS
from mstbucket.model.past import RestoreChange, RestoreReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.objects.versioning import new_id
from mstbucket.services.past.snapshots import find_commit
from mstbucket.services.tree.flush import check_number, flush, record_fold
from mstbucket.services.tree.fold import batches, fold, write_pack
from mstbucket.services.tree.leases import Lease, hold
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.snapshot import FLUSH_KEYS, FLUSH_MANIFESTS, read_changes
from mstbucket.services.tree.turns import FLUSH_ATTEMPTS, turn

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


@dataclass(frozen=True, slots=True)
class Scope:
    """What is restored: one key, or all keys with a prefix; the empty prefix is the whole bucket."""

    key: str | None
    prefix: str

    def holds(self, key: str) -> bool:
        """Whether a key is in it."""
        return key.startswith(self.prefix) if self.key is None else key == self.key


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a key is to hold: the manifest and its CID in the earlier commit, both None where it had no such key."""

    key: str
    cid: bytes | None
    manifest: Manifest | None


def restore(context: Context, bucket: str, named: CommitName, scope: Scope, dry_run: bool) -> RestoreReport:
    """Make keys what they were at a commit; see `Bucket.restore`."""
    if scope.key is None:
        check_text("prefix", scope.prefix)
    else:
        encode_key(scope.key)
    with hold(context, find_commit(context, bucket, named)) as lease, error_context(context, bucket):
        if dry_run:
            return _rehearse(context, bucket, lease.commit, scope)
        for attempt in range(1, FLUSH_ATTEMPTS + 1):
            flush(context, bucket)  # so that little is left to be folded with the rest
            try:
                with turn(context, lease.commit.bucket):
                    report = _restore(context, bucket, lease, scope)
                break
            except Conflict:
                if attempt == FLUSH_ATTEMPTS:
                    raise
        publish_made(context, bucket, f"bucket {bucket!r} is restored")
        return report


def _rehearse(context: Context, bucket: str, then: Kept, scope: Scope) -> RestoreReport:
    with context.db.reading() as connection:
        head = _head(connection, bucket, then)
        dirty = _dirty_keys(connection, head, scope)
    wanted = _differences(context, head, then, scope)
    wanted += _targets(context, then, sorted(set(dirty) - {one.key for one in wanted}))
    with context.db.reading() as connection:
        made = [change for part in _due(connection, head, wanted) for change, _ in part]
    return _report(then, head, made)


def _restore(context: Context, bucket: str, lease: Lease, scope: Scope) -> RestoreReport:
    then = lease.commit
    with context.db.reading() as connection:
        head = _head(connection, bucket, then)
    wanted = _differences(context, head, then, scope)
    known = {one.key for one in wanted}
    lease.confirm()
    with PackInProgress(context) as pack:
        with context.db.transaction() as connection:
            tx = enter_alone(connection, bucket)  # [PAST-51]
            here = _head(connection, bucket, then)
            if here.commit != head.commit:
                raise CommitMoved(f"somebody else flushed bucket {bucket!r} meanwhile")
            late = [key for key in _dirty_keys(connection, here, scope) if key not in known]
            made = write(tx, here, wanted + _targets(context, then, late))
            if not made:
                return _report(then, here, ())
            cid = fold_all_in(context, tx, here, pack)
        pack.keep()
    return replace(_report(then, here, made), commit=to_text(cid))


def fold_all_in(context: Context, tx: Tx, head: Head, pack: PackInProgress, merged: bytes | None = None) -> bytes:
    """Fold all that is dirty in a bucket where nobody else is, in the transaction; return the CID of the new commit.

    With *merged* it came from that commit of another bucket.
    """
    snapshot = read_changes(tx.connection, head, 2 * RESTORE_KEYS + FLUSH_KEYS, 4 * FLUSH_MANIFESTS)
    if snapshot.more:  # [PAST-50] one commit, or none
        raise Conflict(f"too much else was written to bucket {head.name!r} meanwhile: repeat the call")
    check_number(snapshot)
    folded = fold(context.blocks, snapshot, context.signer, merged)
    write_pack(context.blocks, pack, snapshot, folded)
    record_fold(tx, snapshot, folded, pack)
    return folded.cid


def _head(connection: Connection, bucket: str, then: Kept) -> Head:
    head = read_head(connection, bucket)
    if head.bucket != then.bucket:
        raise CommitMoved(f"bucket {bucket!r} was deleted and made again meanwhile").about(bucket=bucket)
    return head


# --- what is to change ------------------------------------------------------------------------------------------------


def _differences(context: Context, head: Head, then: Kept, scope: Scope) -> list[Wanted]:
    """The keys in the scope whose manifests differ between the two trees, with those of the earlier one."""
    assert head.tree is not None  # there is an earlier commit
    now, old = Tree(context.blocks, head.tree), Tree(context.blocks, then.tree)
    if scope.key is None:
        start, end = scope.prefix, prefix_end(scope.prefix)
    else:
        start, end = scope.key, scope.key + "\0"
    found = changes(now, old, start.encode(), None if end is None else end.encode())
    return load(context, [(key.decode(), cid) for key, _, cid in islice(found, RESTORE_KEYS + 1)])


def _targets(context: Context, then: Kept, keys: Sequence[str]) -> list[Wanted]:
    """What these keys held in the earlier commit."""
    return load(context, [(key, get(context.blocks, then.tree, key.encode())) for key in keys])


def load(context: Context, pairs: Sequence[tuple[str, bytes | None]]) -> list[Wanted]:
    _check_number_of_keys(len(pairs))
    wanted: list[Wanted] = []
    held = 0
    for batch in batches(pairs):
        blocks = context.blocks.get_many({cid for _, cid in batch if cid is not None})
        held += sum(map(len, blocks.values()))
        if held > FLUSH_MANIFESTS:
            raise Unsupported(f"a restore holds {FLUSH_MANIFESTS} bytes of manifests at once, and these are more: restore "
                              "parts of the keys by prefixes, or fork the commit")  # fmt: skip
        wanted += [Wanted(key, cid, None if cid is None else manifests.decode(blocks[cid])) for key, cid in batch]
    return wanted


def _dirty_keys(connection: Connection, head: Head, scope: Scope) -> list[str]:
    """The keys in the scope that were written since the newest commit: the trees do not tell what they hold."""
    prefix = scope.prefix if scope.key is None else scope.key
    found = restoring.dirty_keys(connection, head.bucket, prefix, RESTORE_KEYS + 1)
    _check_number_of_keys(len(found))
    return [key for key in found if scope.holds(key)]


def _check_number_of_keys(number: int) -> None:
    if number > RESTORE_KEYS:  # [PAST-53]
        raise Unsupported(f"more than {RESTORE_KEYS:,} keys differ, which is what one restore changes at once: restore them "
                          "by prefixes, or fork the commit, which has no such bound")  # fmt: skip


_Due = tuple[RestoreChange, Wanted]


def _due(connection: Connection, head: Head, wanted: Sequence[Wanted]) -> Iterator[list[_Due]]:
    """What has to change of the current objects, some at a time, in the order of keys."""
    for batch in batches(sorted(wanted, key=lambda one: one.key.encode())):
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
    """Whether an object is what it is to be. A version that says the same is, under whatever id ([PAST-52])."""
    if current.cid == wanted.cid or versioning is None or wanted.manifest is None:
        return current.cid == wanted.cid
    return untold(current.manifest) == untold(wanted.manifest)


def untold(manifest: Manifest) -> Manifest:
    """Without what is a version's own, and not the object's."""
    return replace(manifest, version_id=None, created=0, modified=0)


# --- changing it ------------------------------------------------------------------------------------------------------


def write(tx: Tx, head: Head, wanted: Sequence[Wanted]) -> list[RestoreChange]:
    """Put and delete as a user would ([PAST-52]); what was changed."""
    now = tx.now()
    made: list[RestoreChange] = []
    for part in _due(tx.connection, head, wanted):
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
    """What is stored: the object as it was; where versions are kept, a new version of it."""
    if versioning is None:
        return manifest
    return replace(manifest, version_id=new_id(versioning), created=now, modified=now)


def _report(then: Kept, head: Head, made: Sequence[RestoreChange]) -> RestoreReport:
    assert head.commit is not None  # there is an earlier one
    return RestoreReport(to_text(then.cid), to_text(head.commit), tuple(made))
