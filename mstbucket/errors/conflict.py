"""Somebody else was there first: read again, then decide."""

from __future__ import annotations

from mstbucket.errors.root import MstBucketError


class Conflict(MstBucketError):
    """The state moved, or is not what the call needs. Read again, then decide."""

    code = "OperationAborted"
    status = 409


class BucketAlreadyExists(Conflict):
    """A bucket of that name exists in this store already."""

    code = "BucketAlreadyOwnedByYou"


class BucketNotEmpty(Conflict):
    """Only an empty bucket can be deleted. Delete its objects first."""

    code = "BucketNotEmpty"


class CommitMoved(Conflict):
    """Somebody else advanced the bucket's commit. Read again, fold again, retry."""


class BlocksMoved(Conflict):
    """Blocks that the call counted on were collected, or found damaged, meanwhile. Nothing was stored: repeat the call."""


class LeaseLost(Conflict):
    """The commit that was read was given up, because its reader stood still for too long. Read another one."""


class SnapshotExists(Conflict):
    """The bucket has a snapshot of that name, of another commit. Remove it first, or take another name."""

    code = "SnapshotAlreadyExists"


class NothingToCommit(Conflict):
    """Nothing changed since the newest commit, so the message was not recorded. Allow an empty commit, if it matters."""

    code = "NothingToCommit"


class NotFastForward(Conflict):
    """The bucket that would move has commits that the other one lacks. Nothing was done: fetch, merge, and repeat it."""


class MergeIncomplete(Conflict):
    """The commit there was merged, and what a merge does not bring would be lost. Nothing was done: the message says how."""


class VersioningChanged(Conflict):
    """The versioning of the bucket was changed again and again during the call. Nothing was done: repeat it."""


class MethodNotAllowed(Conflict):
    """The version is a delete marker, which can be deleted and has nothing to read."""

    code = "MethodNotAllowed"
    status = 405


class AccessDenied(Conflict):
    """A lock protects the version. Nothing was done: wait until its retention ends, or have its legal hold removed."""

    code = "AccessDenied"
    status = 403


class InvalidBucketState(Conflict):
    """The bucket's versioning does not go with what was asked: object lock needs it Enabled, and keeps it so."""

    code = "InvalidBucketState"


class BlobExists(Conflict):
    """A blob of that name exists; names are never reused, so this is a programming error or a foreign file."""


class PreconditionFailed(Conflict):
    """The object is not what the call's conditions ask for. Nothing was done: read it again, then decide."""

    code = "PreconditionFailed"
    status = 412


class ConditionalRequestConflict(Conflict):
    """A write on a condition met other writers again and again, and was not decided. Nothing was done: repeat it."""

    code = "ConditionalRequestConflict"


class NotModified(Conflict):
    """A read's condition: the object is still the one that the caller has. Use that."""

    code = "NotModified"
    status = 304


class CollectionRefused(Conflict):
    """A collection would free more than it should without being told to, or damage is known. Nothing was removed."""
