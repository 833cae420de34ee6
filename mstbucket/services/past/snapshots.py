"""Snapshots: commits that have a name; and how a commit is named by a caller."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mstbucket.core.cid import from_text
from mstbucket.errors import InvalidCid, InvalidInput, NoSuchCommit, NoSuchSnapshot, SnapshotExists, Unsupported
from mstbucket.index import buckets, kept, past
from mstbucket.index.past import Kept
from mstbucket.limits import COMMIT_SEQ_MAX, SNAPSHOT_NAME_MAX, SNAPSHOTS_MAX
from mstbucket.model.past import SnapshotInfo
from mstbucket.services.blocks.context import Context
from mstbucket.services.past.leases import hold_newest
from mstbucket.services.tree.flush import flush

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: [PAST-21] A letter first: so a name is neither a number nor a time.
_NAME: Final = re.compile(rf"[A-Za-z][A-Za-z0-9._-]{{0,{SNAPSHOT_NAME_MAX - 1}}}", re.ASCII)


def create(context: Context, bucket: str, name: str, commit: str | int | None) -> SnapshotInfo:
    """Name a commit, by default one that is made now; see `Bucket.create_snapshot`."""
    check_name(name)
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
    return next(one for one in kept.snapshots_of(context.db, bucket) if one.name == name)


def remove(context: Context, bucket: str, name: str) -> None:
    """Take the name away; see `Bucket.delete_snapshot`."""
    check_name(name)
    if not kept.remove_name(context.db, bucket, name):
        raise NoSuchSnapshot(f"bucket {bucket!r} has no snapshot {name!r}").about(bucket=bucket)


def check_name(name: str) -> None:
    """Refuse what no snapshot can be called ([PAST-21])."""
    if _NAME.fullmatch(name) is None or _is_cid(name):
        raise InvalidInput(f"a snapshot is called by 1 to {SNAPSHOT_NAME_MAX} letters, digits, '.', '_' and '-', a letter "
                           f"first, and not by a CID: {name[:80]!r} is no such name")  # fmt: skip


def find_commit(context: Context, bucket: str, commit: str | int | None) -> Kept:
    """The commit of a bucket that is meant by a CID, a number, or the name of a snapshot; None is the newest.

    Raises:
        NoSuchBucket, NoSuchCommit: there is none, or it was given up.
    """
    if commit is None:
        _, lease = hold_newest(context, bucket)
        with lease:
            return lease.commit
    with context.db.reading() as connection:
        found = _find(connection, bucket, str(commit))
    if found is None:
        buckets.require(context.db, bucket)
        raise NoSuchCommit(
            f"bucket {bucket!r} has no commit {str(commit)[:80]!r}, or not any more: `log` lists those that can be read, "
            "and `snapshot ls` those that have a name"
        ).about(bucket=bucket)
    return found


def _find(connection: Connection, bucket: str, commit: str) -> Kept | None:
    if commit.isdecimal() and commit.isascii():
        seq = int(commit) if len(commit) < 20 else 0
        return past.by_number(connection, bucket, seq) if seq <= COMMIT_SEQ_MAX else None
    if _NAME.fullmatch(commit) is not None and not _is_cid(commit):
        return past.by_name(connection, bucket, commit)
    return past.by_cid(connection, bucket, from_text(commit)) if _is_cid(commit) else None


def _is_cid(text: str) -> bool:
    try:
        from_text(text)
    except InvalidCid:
        return False
    return True
