"""The verbs of a bucket on its past: views of it, differences, snapshots, which commits stay, and restoring."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.errors import InvalidInput
from mstbucket.later import later
from mstbucket.model.buckets import CommitInfo
from mstbucket.model.objects import ObjectChange
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.arguments.shapes import keep_policy
    from mstbucket.api.view import BucketView
    from mstbucket.core.commit_names import commit_name, optional_commit_name
    from mstbucket.index import kept
    from mstbucket.model.past import KeepPolicy, RestoreReport, SnapshotInfo
    from mstbucket.services.past import log_file, retention, snapshots, view
    from mstbucket.services.past import restore as restoring
    from mstbucket.services.past.resolve import resolve
else:
    keep_policy = later("mstbucket.api.arguments.shapes", "keep_policy")
    BucketView = later("mstbucket.api.view", "BucketView")
    commit_name = later("mstbucket.core.commit_names", "commit_name")
    optional_commit_name = later("mstbucket.core.commit_names", "optional_commit_name")
    kept = later("mstbucket.index.kept")
    log_file = later("mstbucket.services.past.log_file")
    restoring = later("mstbucket.services.past.restore")
    retention = later("mstbucket.services.past.retention")
    snapshots = later("mstbucket.services.past.snapshots")
    view = later("mstbucket.services.past.view")
    resolve = later("mstbucket.services.past.resolve", "resolve")


@verbs
class BucketPast:
    """The verbs of a `Bucket` on its past. Names and policies are of this store: they do not travel with an export."""

    _context: Context
    name: str

    def at(self, commit: str | int | datetime) -> BucketView:
        """Return the bucket as it was at a commit, to read from: it opens in milliseconds, whatever the bucket has become.

        Args:
            commit: its CID; its number; a time (an aware datetime, or a text such as `2030-01-01T00:00:00Z`), which is the
                newest commit of that time or before; or the name of a snapshot. See spec/store/25-past.md.

        Raises:
            NoSuchBucket: the bucket has gone.
            NoSuchCommit: it has no such commit, or does not keep it any more; the message says which there are.
            InvalidInput: that names nothing.
            CorruptionError: the block of the commit is missing or damaged.
        """
        return BucketView(view.open_view(self._context, self.name, commit_name(commit)))

    def find_commit(self, commit: str | int | datetime) -> CommitInfo:
        """Return the commit that is named, if it can be read now. Nothing keeps it; `at` does.

        Args:
            commit: as for `at`.

        Raises:
            NoSuchBucket, NoSuchCommit, InvalidInput: as `at`.
        """
        with self._context.db.reading() as connection:
            return resolve(connection, self.name, commit_name(commit)).info()

    def append_log(self, path: str | os.PathLike[str]) -> str:
        """List the commits that are newer than the last one in the bucket's log; return the head of the log.

        The head, `SIZE:HASH`, is what readers remember. Publish it, and keep the file: commits may be given up and
        collected, the log needs their CIDs alone. One that is given up before it is listed is left out. The file is made
        if it is not there, and changes whole and durably or not at all. Doing it again changes nothing.

        Raises:
            NoSuchBucket: the bucket has gone.
            NoSuchCommit: the bucket has none yet: flush it.
            Untrue: the log is of another bucket, or of another history than this one.
            FormatError: the file is no log.
            NoSuchFile, NotAFile, FileNotPermitted: there is no such directory, or the file cannot be opened.
            StorageError: it cannot be read or written.
            Unsupported: it would be too long; or its file system has no locks.
        """
        return log_file.append(self._context.db, self.name, path)

    def diff(self, old: str | int | datetime, new: str | int | datetime, *, prefix: str = "") -> Iterator[ObjectChange]:
        """Iterate over what differs between two commits, in key order; `BucketView.diff` compares those of two buckets.

        It takes as long as they differ, and not as long as they are.

        Args:
            old, new: commits, each as for `at`.
            prefix: only keys that start with it; nothing else is looked at.

        Raises:
            NoSuchBucket, NoSuchCommit, InvalidInput: as `at`, at the first step of the iteration.
            CorruptionError: a block is missing or damaged.
        """
        with self.at(old) as was, self.at(new) as now:
            yield from was.diff(now, prefix=prefix)

    def create_snapshot(self, snapshot: str, *, commit: str | int | datetime | None = None) -> SnapshotInfo:
        """Give a commit a name, durably: it stays, whatever the retention policy says, until the name is removed.

        Repeating the call with the same commit is harmless. A bucket with a snapshot cannot be deleted.

        Args:
            snapshot: 1 to 200 printable characters without a space, a slash or `@`; not like a number, a time or a CID.
            commit: the CID of a commit, its number, its time, or the name of another snapshot of it. By default everything
                is flushed, and the newest commit is named.

        Raises:
            SnapshotExists: another commit has that name. Remove it first.
            NoSuchCommit: the bucket has no such commit any more, or never had.
            InvalidInput: no snapshot can have that name.
            Unsupported: the bucket has 10,000 snapshots.
            NoSuchBucket: the bucket has gone.
        """
        return snapshots.create(self._context, self.name, snapshot, optional_commit_name(commit))

    def snapshots(self) -> list[SnapshotInfo]:
        """Return the commits that have a name, newest first; `log` has all that can be read.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return kept.snapshots_of(self._context.db, self.name)

    def delete_snapshot(self, snapshot: str) -> None:
        """Take the name away, durably. The commit stays as long as the retention policy keeps it.

        Raises:
            NoSuchSnapshot: there is none of that name.
            NoSuchBucket: the bucket has gone.
        """
        snapshots.remove(self._context, self.name, snapshot)

    def get_retention(self) -> KeepPolicy:
        """Return which commits without a name stay.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return retention.policy_of(self._context, self.name)

    def put_retention(self, policy: KeepPolicy | None) -> None:
        """Say which commits without a name stay, durably. The background work gives up the others, some minutes later.

        Args:
            policy: None for the default: everything of 24 hours, then one commit a day for 30 days.

        Raises:
            InvalidInput: a policy without a rule, or a number below 1.
            NoSuchBucket: the bucket has gone.
        """
        retention.set_policy(self._context, self.name, keep_policy(policy))

    def restore(
        self,
        commit: str | int | datetime,
        *,
        key: str | None = None,
        prefix: str | None = None,
        dry_run: bool = False,
        message: str | None = None,
    ) -> RestoreReport:
        """Make one key, all keys with a prefix, or all keys what they were at an earlier commit: at once, as one new commit.

        Readers see the keys before it or after it, never between. What was put since is deleted, what was deleted comes
        back, and no body is copied. Where the bucket keeps versions, what comes back is a new version, what goes gets a
        delete marker, and nothing that is locked is removed. Tags of the bucket and noncurrent versions stay as they are.
        Writers of the bucket wait meanwhile, in proportion to what changes. What they wrote before that is flushed with
        it. Repeating the call changes nothing.

        Args:
            commit: its CID, number or time, or the name of a snapshot.
            key: only this key; it is deleted if the commit does not have it.
            prefix: only keys that start with it. Without both, the whole bucket.
            dry_run: change nothing, and return what would change.
            message: of the new commit, as of `Bucket.flush`.

        Raises:
            InvalidInput: both a key and a prefix, or a message that cannot be.
            NothingToCommit: nothing has to change, so the message was not recorded.
            NoSuchCommit: the bucket has no such commit any more, or never had.
            Unsupported: more than 50,000 keys differ: restore parts by prefixes, or fork the commit.
            Conflict: others flushed, or wrote, too much all the time. Nothing was done; repeat the call.
            CorruptionError: a block is missing or damaged; nothing was done.
            StorageError: the database or the blob store failed. Repeat the call.
            OutcomeUnknown: it is restored, but the commit is not published in the blob store yet: flush the bucket.
            NoSuchBucket: the bucket has gone.
        """
        if key is not None and prefix is not None:
            raise InvalidInput("a restore is of one key, or of a prefix: leave out one of the two")
        scope = restoring.Scope(key, prefix or "")
        return restoring.restore(self._context, self.name, commit_name(commit), scope, dry_run, message)
