"""Snapshots: commits that have a name ([PAST-16], [PAST-17])."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mstbucket.core.commit_names import CommitName, check_snapshot_name
from mstbucket.errors import NoSuchCommit, NoSuchSnapshot, SnapshotExists, Unsupported
from mstbucket.index import kept
from mstbucket.index.leases import Kept
from mstbucket.limits import SNAPSHOTS_MAX
from mstbucket.model.past import SnapshotInfo
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_state
from mstbucket.services.past.resolve import resolve
from mstbucket.services.tree.flush import flush
from mstbucket.services.tree.leases import hold_newest

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


def create(context: Context, bucket: str, name: str, commit: CommitName | None) -> SnapshotInfo:
    """Name a commit, by default one that is made now; see `Bucket.create_snapshot`."""
    check_snapshot_name(name)
    if commit is None:
        flush(context, bucket)
    wanted = find_commit(context, bucket, commit)

    def work(connection: Connection) -> bool | None:
        if kept.count_snapshots(connection, wanted.bucket) >= SNAPSHOTS_MAX:
            raise Unsupported(f"bucket {bucket!r} has {SNAPSHOTS_MAX} snapshots, the most there can be: remove some")
        return kept.name_commit(connection, wanted, name)

    named = context.db.run(work)
    if named is None:
        raise NoSuchCommit(f"commit {wanted.seq} of bucket {bucket!r} was given up meanwhile").about(bucket=bucket)
    if not named:
        raise SnapshotExists(f"bucket {bucket!r} has a snapshot {name!r} of another commit: remove it first, or take "
                             "another name").about(bucket=bucket)  # fmt: skip
    publish_state(context, bucket)  # [REB-21]
    return next(one for one in kept.snapshots_of(context.db, bucket) if one.name == name)


def remove(context: Context, bucket: str, name: str) -> None:
    """Take the name away; see `Bucket.delete_snapshot`."""
    check_snapshot_name(name)
    if not kept.remove_name(context.db, bucket, name):
        raise NoSuchSnapshot(f"bucket {bucket!r} has no snapshot {name!r}").about(bucket=bucket)
    publish_state(context, bucket)  # [REB-21]


def find_commit(context: Context, bucket: str, commit: CommitName | None) -> Kept:
    """The commit of a bucket that is named; None is the newest.

    Raises:
        NoSuchBucket, NoSuchCommit: there is none, or it was given up.
    """
    if commit is None:
        _, lease = hold_newest(context, bucket)
        with lease:
            return lease.commit
    with context.db.reading() as connection:
        found = resolve(connection, bucket, commit)
    return Kept(found.bucket, found.identity, bucket, found.seq, found.cid, found.tree, found.versions)
