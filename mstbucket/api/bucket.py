"""A bucket: all its verbs, and here those on its commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.api.verbs.access import BucketAccessRules
from mstbucket.api.verbs.attributes import BucketAttributes
from mstbucket.api.verbs.boto import BotoVerbs
from mstbucket.api.verbs.exports import BucketExports
from mstbucket.api.verbs.lifecycle import BucketLifecycle
from mstbucket.api.verbs.locks import BucketLocks
from mstbucket.api.verbs.objects import BucketObjects
from mstbucket.api.verbs.past import BucketPast
from mstbucket.api.verbs.proofs import BucketProofs
from mstbucket.api.verbs.remotes import BucketRemotes
from mstbucket.api.verbs.uploads import MultipartUploads
from mstbucket.api.verbs.versions import BucketVersions
from mstbucket.errors import InvalidInput
from mstbucket.later import later
from mstbucket.model.buckets import CheckReport, CommitInfo
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.index import commits
    from mstbucket.services.tree import check as checking
    from mstbucket.services.tree import flush as flushing
    from mstbucket.services.tree.leases import hold_newest
else:
    commits = later("mstbucket.index.commits")
    checking = later("mstbucket.services.tree.check")
    flushing = later("mstbucket.services.tree.flush")
    hold_newest = later("mstbucket.services.tree.leases", "hold_newest")


@verbs
class Bucket(
    BucketObjects, BucketAttributes, BucketVersions, BucketLocks, BucketLifecycle, BucketAccessRules, BucketProofs,
    MultipartUploads, BucketPast, BucketExports, BucketRemotes, BotoVerbs,
):
    """One bucket of an open store; made by `Store.create_bucket`, `Store.bucket` and `Store.import_car`. Thread-safe.

    It is a handle by name: every call finds the bucket anew and raises `NoSuchBucket` where it has gone.
    """

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self.name = name

    def __repr__(self) -> str:
        return f"<Bucket {self.name!r}>"

    def flush(self, *, message: str | None = None, allow_empty: bool = False) -> CommitInfo:
        """Fold every change into the tree and return the commit that holds them; durable when this returns.

        Everything that was acknowledged before the call is in the commit. With nothing to fold it returns the current
        commit; a bucket that never had one gets its first. Safe beside writers and other flushes.

        With a message the call returns a commit of its own that says it, or raises. Flushes in the background say nothing,
        and one of them may have been first. Repeating a call that succeeded returns the same commit, while it is the newest.

        Args:
            message: what changed and why, for people: at most 4 KiB of text. It is part of the commit and travels with it;
                where one call makes several commits, each has it.
            allow_empty: with a message: make a commit that says it even if nothing changed.

        Raises:
            NothingToCommit: nothing changed that is not in a commit already, so the message was not recorded.
            InvalidInput: the message is empty or white space, too long, or no text.
            NoSuchBucket: the bucket has gone.
            CommitMoved: the bucket was deleted and made again all the time. Try again.
            Unsupported: it had the last commit there can be, or its objects have more than 2^63 - 1 bytes. It says more.
            StorageError: the disk or the database failed; nothing was lost. Flush again when it is repaired.
        """
        if message is not None:
            return flushing.flush_saying(self._context, self.name, message, allow_empty)
        if allow_empty:
            raise InvalidInput("an empty commit is made for the message that it carries: give one, or leave out allow_empty")
        return flushing.flush(self._context, self.name)

    def head_commit(self) -> CommitInfo | None:
        """Return the newest commit, or None before the first flush. Objects changed since are not in it.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return commits.newest(self._context.db, self.name)

    def log(self) -> Iterator[CommitInfo]:
        """Iterate over the commits this store knows of the bucket, newest first.

        Raises:
            NoSuchBucket: the bucket has gone; at the first step of the iteration.
        """
        return commits.log(self._context.db, self.name)

    def verify(
        self, *, executor: Executor | None = None, progress: Callable[[int], object] | None = None
    ) -> CheckReport:
        """Check the newest commit against this store from end to end, and the index against the tree, both ways.

        Every block that the commit reaches is read and hashed; order, completeness, tree form, sizes and totals are
        checked as for a CAR (`mstbucket.verify_car`); each key without unflushed changes must have in the index
        exactly the manifest that the tree holds for it. Writers and flushes may go on meanwhile; no snapshot of the
        database is held while blocks are read.

        Args:
            executor: reads and hashes the blocks, many at once: for blobs that are far away. See `Store.check`.
            progress: called now and then with the number of bytes judged so far.

        Raises:
            NoSuchCommit: the bucket was never flushed.
            CorruptionError, FormatError: the first thing that is not true, with the block or key concerned.
        """
        head, lease = hold_newest(self._context, self.name)
        with lease:
            return checking.check(self._context, head, lease.during(progress), executor)
