"""The verbs of a store that make a bucket from another one's past, and bring it home."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.api.bucket import Bucket
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.core.commit_names import optional_commit_name
    from mstbucket.model.past import MergeReport
    from mstbucket.services.past import fork as forking
    from mstbucket.services.past import merge as merging
else:
    optional_commit_name = later("mstbucket.core.commit_names", "optional_commit_name")
    forking = later("mstbucket.services.past.fork")
    merging = later("mstbucket.services.past.merge")


@verbs
class StoreForks:
    """Forks of a `Store`."""

    _context: Context

    def fork(self, source_bucket: str, name: str, *, commit: str | int | datetime | None = None) -> Bucket:
        """Make a bucket from any commit of another one, durably, and return it. No body is copied.

        It has all objects and versions of that commit, its tags and its state of versioning. From then on the two are
        apart: writes to one change nothing in the other, and neither needs the other to stay. The first commit of the new
        bucket says which one it came from (`CommitInfo.forked`). Object locks, rules and names of snapshots do not come
        along. Nothing is visible until all of it is there; safe beside writers to the source.

        Args:
            source_bucket: the bucket.
            name: of the new one.
            commit: the CID of a commit, its number, a time, or the name of a snapshot. By default everything is flushed,
                and the newest commit is taken.

        Raises:
            NoSuchBucket: there is no such source.
            NoSuchCommit: it has no such commit any more, or never had.
            BucketAlreadyExists: there is a bucket of that name. Give another.
            InvalidBucketName: the name breaks a rule; the message says which.
            CorruptionError: a block is missing or damaged; nothing was made.
            StorageError: the database or the blob store failed; nothing was made. Repeat the call.
            OutcomeUnknown: the bucket is there, whole, but its commit is not published in the blob store yet: flush it.
        """
        forking.fork(self._context, source_bucket, name, optional_commit_name(commit))
        return Bucket(self._context, name)

    def merge(
        self,
        source_bucket: str,
        target_bucket: str,
        *,
        prefer: str | None = None,
        dry_run: bool = False,
        message: str | None = None,
    ) -> MergeReport:
        """Bring what a fork changed into the bucket that it came from, or the other way round, as one new commit.

        Both are flushed. What only the source changed since the two parted, or were merged last, is changed in the target as
        puts and deletes do it: where that keeps versions, they are new versions. What both changed in the same way stays.
        The new commit names the newest one of the source (`CommitInfo.merged`), and the next merge starts from there. It
        takes as long as they differ. Only current objects are merged, and no tags or settings of the buckets.

        Args:
            source_bucket: where the changes come from; nothing else happens to it.
            target_bucket: the bucket that is changed.
            prefer: whose change counts for a key that both changed: "ours", the target's; or "theirs", the source's. By
                default the merge fails if there is such a key.
            dry_run: only say what would change, and which keys both changed.
            message: of the new commit, as of `Bucket.flush`.

        Raises:
            Conflict: both changed some keys, which the message lists. Nothing was done.
            NoSuchCommit: nothing that is kept tells where they parted.
            NoSuchBucket: there is none of that name.
            Unsupported: more than 50,000 keys changed.
            NothingToCommit: nothing has to change, so the message was not recorded.
            InvalidInput: another `prefer`, one bucket twice, or a message that cannot be.
            CorruptionError, StorageError: nothing was done.
            OutcomeUnknown: it is merged, but the commit is not published in the blob store yet: flush the target.
        """
        return merging.merge(self._context, source_bucket, target_bucket, prefer, dry_run, message)
