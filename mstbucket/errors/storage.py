"""The medium failed, or what was asked for is deliberately not offered."""

from __future__ import annotations

from mstbucket.errors.root import MstBucketError


class StorageError(MstBucketError, OSError):
    """The disk, database or service failed. Nothing half done is visible; repair the cause and repeat the call."""

    code = "ServiceUnavailable"
    status = 503


class OutcomeUnknown(StorageError):
    """The connection died during a commit and the server cannot say what became of it. Read before you retry."""

    code = "InternalError"
    status = 500


class FileNotPermitted(StorageError, PermissionError):
    """The operating system does not let this process read, or write, the local file that was named."""

    code = "FileNotPermitted"


class Unsupported(MstBucketError):
    """Deliberately not offered. The message says what to use instead."""

    code = "NotImplemented"
    status = 501
