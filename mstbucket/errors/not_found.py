"""The thing named does not exist: create it, or treat it as absent."""

from __future__ import annotations

from mstbucket.errors.root import MstBucketError


class NotFound(MstBucketError, KeyError):
    """The thing named does not exist."""

    code = "NotFound"
    status = 404


class NoSuchBucket(NotFound):
    """No bucket of that name."""

    code = "NoSuchBucket"


class NoSuchKey(NotFound):
    """No object of that key."""

    code = "NoSuchKey"


class NoSuchVersion(NotFound):
    """The key has no version of that id."""

    code = "NoSuchVersion"


class NoSuchUpload(NotFound):
    """No open upload of that id for that key: it was completed, aborted, has expired, or never was."""

    code = "NoSuchUpload"


class NoSuchBlock(NotFound):
    """The store has no block of that CID."""

    code = "NoSuchBlock"


class NoSuchCommit(NotFound):
    """The bucket has no such commit; a bucket never flushed has none at all."""

    code = "NoSuchCommit"


class NoSuchSnapshot(NotFound):
    """The bucket has no snapshot of that name."""

    code = "NoSuchSnapshot"


class NoSuchBlob(NotFound):
    """The blob store has no blob of that name."""


class NoSuchTagSet(NotFound):
    """The bucket has no tags."""

    code = "NoSuchTagSet"


class ObjectLockConfigurationNotFound(NotFound):
    """Object lock was not enabled on the bucket."""

    code = "ObjectLockConfigurationNotFoundError"


class NoSuchObjectLockConfiguration(NotFound):
    """The version has no retention, or nobody ever spoke of a legal hold on it: nothing protects it that way."""

    code = "NoSuchObjectLockConfiguration"


class NoSuchLifecycleConfiguration(NotFound):
    """The bucket has no lifecycle rules."""

    code = "NoSuchLifecycleConfiguration"


class NoSuchBucketPolicy(NotFound):
    """The bucket has no policy."""

    code = "NoSuchBucketPolicy"


class NoSuchCORSConfiguration(NotFound):
    """The bucket has no CORS rules."""

    code = "NoSuchCORSConfiguration"


class NoSuchAccessKey(NotFound):
    """The store has no access key of that id."""

    code = "InvalidAccessKeyId"
    status = 403


class NoSuchRemote(NotFound):
    """This store has no remote of that name. `remote add` gives one, and `remote ls` lists them."""

    code = "NoSuchRemote"


class NoSuchFile(NotFound, FileNotFoundError):
    """There is no local file of that name to read, or no directory for the file that is to be made. Check the name."""

    code = "NoSuchFile"
