"""A bucket moves to a later commit whose blocks have all come: the rows that differ, and the switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID
from mstbucket.core.commit import EMPTY_TREE, Commit
from mstbucket.core.keys import split_version_key
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.diff import Change
from mstbucket.errors import CommitMoved, Conflict, Unsupported
from mstbucket.index import commits as rows
from mstbucket.index import following, space, staging
from mstbucket.index.commits import Head, read_head
from mstbucket.index.following import Breach, BreachKind
from mstbucket.index.tx import enter_alone
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.fold import with_empty_tree
from mstbucket.services.tree.import_rows import Spool
from mstbucket.services.tree.leases import Lease
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.verify.history import nothing_above, two_of_one_id

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_MANIFESTS: Final = 128  # read at a time

Accept = Callable[[CID, Commit], object]
Progress = Callable[[int], object]

EVERY: Final = 4096  # blocks between two calls of `progress`, and two looks at the lease


class To(NamedTuple):
    """Where the bucket goes."""

    cid: CID
    commit: Commit


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
    source = with_empty_tree(context.blocks)
    found: Iterator[Change] = changes(Tree(source, old), Tree(source, new))
    for batch in in_batches(found, _MANIFESTS):
        lease.renew()
        blocks = context.blocks.get_many({cid for _, _, cid in batch if cid is not None})
        for key, _, cid in batch:
            yield key, cid, b"" if cid is None else blocks[cid]
