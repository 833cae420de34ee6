"""The verb of a store that makes a bucket from another one's past."""

from __future__ import annotations

from datetime import datetime

from mstbucket.api.arguments import verbs
from mstbucket.api.bucket import Bucket
from mstbucket.core.commit_names import optional_commit_name
from mstbucket.services.blocks.context import Context
from mstbucket.services.past import fork as forking


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
