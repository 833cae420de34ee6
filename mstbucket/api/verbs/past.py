"""The verbs of a bucket on its past: snapshots, and which commits stay."""

from __future__ import annotations

from datetime import datetime

from mstbucket.api.arguments import verbs
from mstbucket.api.arguments.shapes import keep_policy
from mstbucket.core.commit_names import optional_commit_name
from mstbucket.index import kept
from mstbucket.model.past import KeepPolicy, SnapshotInfo
from mstbucket.services.blocks.context import Context
from mstbucket.services.past import retention, snapshots


@verbs
class BucketPast:
    """The verbs of a `Bucket` on its past. Names and policies are of this store: they do not travel with an export."""

    _context: Context
    name: str

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
