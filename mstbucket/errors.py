"""Every error this package raises on purpose, drawn as a tree and grouped by what a handler does next.

    MstBucketError
    ├── InvalidInput        (ValueError)  the call is wrong: change the arguments; repeating it cannot help
    │   ├── InvalidKey, KeyTooLong, InvalidBucketName, InvalidRange, InvalidToken
    │   ├── MetadataTooLarge, InvalidTag, EntityTooLarge
    │   ├── BadDigest, InvalidDigest
    │   ├── InvalidPart, InvalidPartOrder, InvalidPartNumber, EntityTooSmall, InvalidRequest
    │   └── WrongKey, WrongPlace
    ├── NotFound            (KeyError)    the thing named does not exist: create it, or treat it as absent
    │   ├── NoSuchBucket, NoSuchKey, NoSuchVersion, NoSuchUpload, NoSuchCommit, NoSuchBlob, NoSuchTagSet
    │   └── ObjectLockConfigurationNotFound, NoSuchObjectLockConfiguration, NoSuchLifecycleConfiguration
    ├── Conflict                          somebody else was there first: read again, then decide
    │   ├── BucketAlreadyExists, BucketNotEmpty, CommitMoved, BlobExists
    │   ├── PreconditionFailed, NotModified
    │   ├── ConditionalRequestConflict, VersioningChanged, BlocksMoved, MethodNotAllowed
    │   └── AccessDenied, InvalidBucketState
    ├── FormatError                       bytes are not what the specification allows: get another copy
    │   └── InvalidCid, InvalidBlock, InvalidCar, ForeignCar
    ├── CorruptionError                   bytes are well-formed but untrue: stop, nothing after this can be trusted
    │   └── HashMismatch, MissingBlock, ExtraBlock, Untrue, BrokenFrame
    ├── StorageError        (OSError)     the medium failed: repair it, then repeat the call
    │   └── OutcomeUnknown                the write may or may not have happened: read before repeating it
    └── Unsupported                       deliberately not offered here: the message says what to use instead

`code` is the S3 error code where S3 has one, and never changes once released. `status` is S3's HTTP status for it.
"""

from __future__ import annotations

from typing import ClassVar


class MstBucketError(Exception):
    """The root of everything raised on purpose; carries a stable `code` and the HTTP `status` that S3 gives it."""

    code: ClassVar[str] = "InternalError"
    status: ClassVar[int] = 500

    def __str__(self) -> str:
        # KeyError would print the repr of its argument; people read these messages.
        return " ".join(str(argument) for argument in self.args)


# --- the call is wrong -----------------------------------------------------------------------------------------------


class InvalidInput(MstBucketError, ValueError):
    """An argument cannot be right for any state of the store. Change it; repeating the call cannot help."""

    code = "InvalidArgument"
    status = 400


class InvalidKey(InvalidInput):
    """A key that cannot be stored exactly: empty, holding NUL, or not encodable as UTF-8."""

    code = "InvalidKey"


class KeyTooLong(InvalidInput):
    """A key of more than 1024 bytes of UTF-8."""

    code = "KeyTooLongError"


class InvalidBucketName(InvalidInput):
    """A bucket name outside S3's rules (3 to 63 characters of a-z, 0-9, '-', '.', no IP form)."""

    code = "InvalidBucketName"


class InvalidRange(InvalidInput):
    """A byte range that has no byte in common with the object."""

    code = "InvalidRange"
    status = 416


class InvalidToken(InvalidInput):
    """A continuation token that no listing of this store gave out."""


class MetadataTooLarge(InvalidInput):
    """User metadata above 2 KB of names and values together."""

    code = "MetadataTooLarge"


class InvalidTag(InvalidInput):
    """A tag set outside S3's limits: 10 tags (50 of a bucket), 128-character keys, 256-character values, no key twice."""

    code = "InvalidTag"


class EntityTooLarge(InvalidInput):
    """A body above the largest object size."""

    code = "EntityTooLarge"


class BadDigest(InvalidInput):
    """The body that came is not the one that its MD5 or checksum speaks of. Nothing was stored: send it again."""

    code = "BadDigest"


class InvalidDigest(InvalidInput):
    """An MD5 or checksum that no body has: not base64, or not of the algorithm's length."""

    code = "InvalidDigest"


class InvalidPart(InvalidInput):
    """A completion names a part that was not uploaded, or not with that ETag. List the parts, and name those."""

    code = "InvalidPart"


class InvalidPartOrder(InvalidInput):
    """A completion names its parts in another order than strictly ascending."""

    code = "InvalidPartOrder"


class InvalidPartNumber(InvalidInput):
    """The object has no part of that number."""

    code = "InvalidPartNumber"
    status = 416


class EntityTooSmall(InvalidInput):
    """A part other than the last is below 5 MiB. Upload it again, larger, or complete without it."""

    code = "EntityTooSmall"


class InvalidRequest(InvalidInput):
    """S3's rules do not allow this call on what it names: a copy onto itself, or of more than 5 GiB in one step."""

    code = "InvalidRequest"


class WrongKey(InvalidInput):
    """The store is encrypted, and its key was not given, or another one. Open it with its own key."""

    code = "WrongKey"
    status = 403


class WrongPlace(InvalidInput):
    """The blobs at that place are not this store's, or there are none. Nothing was made: name the right place."""

    code = "WrongPlace"


# --- not there -------------------------------------------------------------------------------------------------------


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


class NoSuchCommit(NotFound):
    """The bucket has no such commit; a bucket never flushed has none at all."""

    code = "NoSuchCommit"


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


# --- somebody was there first ----------------------------------------------------------------------------------------


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


# --- bytes that are not what the specification allows ------------------------------------------------------------------


class FormatError(MstBucketError):
    """Bytes that are not what the specification allows. Get another copy, or another tool's opinion."""

    code = "InvalidFormat"
    status = 400


class InvalidCid(FormatError):
    """Not a CID of the form this project uses: CIDv1, raw / dag-pb / dag-cbor, sha2-256, 32 bytes."""


class InvalidBlock(FormatError):
    """A block that is not strict, canonical, or within limits. The message names the block's CID where known.

    `offset` is the byte of the block at which it was noticed, where that is known.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.message, self.offset = message, offset


class InvalidCar(FormatError):
    """A CAR file that breaks the container's rules. `offset` is the byte at which it was noticed."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


class ForeignCar(FormatError):
    """A CAR file that is not the export of a bucket: its root is no commit. Perhaps an IPFS tool reads it."""


# --- bytes that are well-formed but untrue ----------------------------------------------------------------------------


class CorruptionError(MstBucketError):
    """Bytes that are well-formed but untrue. Stop: nothing that depends on them can be trusted.

    Attributes:
        blocks: CIDs of the blocks that cannot be had, where a pack of a store is what is wrong.
        pack: the name of that pack.
    """

    code = "Corruption"
    status = 500
    blocks: tuple[bytes, ...] = ()
    pack: str | None = None


class HashMismatch(CorruptionError):
    """A block's bytes do not hash to the CID it goes under."""


class MissingBlock(CorruptionError):
    """A block that something links to is not there. In a deliberately partial tree this means 'unknown', not 'absent'."""


class ExtraBlock(CorruptionError):
    """A complete CAR holds a block that its root does not reach, or holds one twice."""


class Untrue(CorruptionError):
    """A stated figure, order, or link contradicts the bytes it speaks of (sizes, totals, key order, heights)."""


class BrokenFrame(CorruptionError):
    """A frame of a pack does not decode to what the index says: changed, moved, or of another pack. Restore the pack."""


# --- the medium failed -------------------------------------------------------------------------------------------------


class StorageError(MstBucketError, OSError):
    """The disk, database or service failed. Nothing half done is visible; repair the cause and repeat the call."""

    code = "ServiceUnavailable"
    status = 503


class OutcomeUnknown(StorageError):
    """The connection died during a commit and the server cannot say what became of it. Read before you retry."""

    code = "InternalError"
    status = 500


class Unsupported(MstBucketError):
    """Deliberately not offered. The message says what to use instead."""

    code = "NotImplemented"
    status = 501
