"""Every error this package raises on purpose, drawn as a tree and grouped by what a handler does next.

    MstBucketError
    ├── InvalidInput        (ValueError)  the call is wrong: change the arguments; repeating it cannot help
    │   ├── InvalidKey, KeyTooLong, InvalidBucketName, InvalidRange, InvalidToken
    │   ├── MetadataTooLarge, InvalidTag, EntityTooLarge, MalformedPolicy
    │   ├── BadDigest, InvalidDigest
    │   ├── InvalidPart, InvalidPartOrder, InvalidPartNumber, EntityTooSmall, InvalidRequest
    │   └── WrongKey, WrongPlace
    ├── NotFound            (KeyError)    the thing named does not exist: create it, or treat it as absent
    │   ├── NoSuchBucket, NoSuchKey, NoSuchVersion, NoSuchUpload, NoSuchCommit, NoSuchBlob, NoSuchBlock, NoSuchTagSet
    │   ├── ObjectLockConfigurationNotFound, NoSuchObjectLockConfiguration, NoSuchLifecycleConfiguration
    │   └── NoSuchSnapshot, NoSuchAccessKey, NoSuchBucketPolicy, NoSuchCORSConfiguration, NoSuchRemote
    ├── Conflict                          somebody else was there first: read again, then decide
    │   ├── BucketAlreadyExists, BucketNotEmpty, CommitMoved, BlobExists
    │   ├── PreconditionFailed, NotModified
    │   ├── ConditionalRequestConflict, VersioningChanged, BlocksMoved, LeaseLost, MethodNotAllowed
    │   ├── AccessDenied, InvalidBucketState, SnapshotExists, CollectionRefused
    │   └── NotFastForward, MergeIncomplete, NothingToCommit
    ├── FormatError                       bytes are not what the specification allows: get another copy
    │   └── InvalidCid, InvalidBlock, InvalidCar, ForeignCar
    ├── CorruptionError                   bytes are well-formed but untrue: stop, nothing after this can be trusted
    │   └── HashMismatch, MissingBlock, ExtraBlock, Untrue, BrokenFrame, OtherCommit, WrongSignature, PinMismatch
    ├── StorageError        (OSError)     the medium failed: repair it, then repeat the call
    │   └── OutcomeUnknown                the write may or may not have happened: read before repeating it
    └── Unsupported                       deliberately not offered here: the message says what to use instead

`code` is the S3 error code where S3 has one, and never changes once released. `status` is S3's HTTP status for it.
"""

from __future__ import annotations

from mstbucket.errors.conflict import (
    AccessDenied,
    BlobExists,
    BlocksMoved,
    BucketAlreadyExists,
    BucketNotEmpty,
    CollectionRefused,
    CommitMoved,
    ConditionalRequestConflict,
    Conflict,
    InvalidBucketState,
    LeaseLost,
    MergeIncomplete,
    MethodNotAllowed,
    NotFastForward,
    NothingToCommit,
    NotModified,
    PreconditionFailed,
    SnapshotExists,
    VersioningChanged,
)
from mstbucket.errors.damage import (
    BrokenFrame,
    CorruptionError,
    ExtraBlock,
    ForeignCar,
    FormatError,
    HashMismatch,
    InvalidBlock,
    InvalidCar,
    InvalidCid,
    MissingBlock,
    OtherCommit,
    PinMismatch,
    Untrue,
    WrongSignature,
)
from mstbucket.errors.invalid_input import (
    BadDigest,
    EntityTooLarge,
    EntityTooSmall,
    InvalidBucketName,
    InvalidDigest,
    InvalidInput,
    InvalidKey,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    InvalidTag,
    InvalidToken,
    KeyTooLong,
    MalformedPolicy,
    MetadataTooLarge,
    WrongKey,
    WrongPlace,
)
from mstbucket.errors.not_found import (
    NoSuchAccessKey,
    NoSuchBlob,
    NoSuchBlock,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchCommit,
    NoSuchCORSConfiguration,
    NoSuchKey,
    NoSuchLifecycleConfiguration,
    NoSuchObjectLockConfiguration,
    NoSuchRemote,
    NoSuchSnapshot,
    NoSuchTagSet,
    NoSuchUpload,
    NoSuchVersion,
    NotFound,
    ObjectLockConfigurationNotFound,
)
from mstbucket.errors.root import MstBucketError
from mstbucket.errors.storage import OutcomeUnknown, StorageError, Unsupported

__all__ = [
    "AccessDenied",
    "BadDigest",
    "BlobExists",
    "BlocksMoved",
    "BrokenFrame",
    "BucketAlreadyExists",
    "BucketNotEmpty",
    "CollectionRefused",
    "CommitMoved",
    "ConditionalRequestConflict",
    "Conflict",
    "CorruptionError",
    "EntityTooLarge",
    "EntityTooSmall",
    "ExtraBlock",
    "ForeignCar",
    "FormatError",
    "HashMismatch",
    "InvalidBlock",
    "InvalidBucketName",
    "InvalidBucketState",
    "InvalidCar",
    "InvalidCid",
    "InvalidDigest",
    "InvalidInput",
    "InvalidKey",
    "InvalidPart",
    "InvalidPartNumber",
    "InvalidPartOrder",
    "InvalidRange",
    "InvalidRequest",
    "InvalidTag",
    "InvalidToken",
    "KeyTooLong",
    "LeaseLost",
    "MalformedPolicy",
    "MergeIncomplete",
    "MetadataTooLarge",
    "MethodNotAllowed",
    "MissingBlock",
    "MstBucketError",
    "NoSuchAccessKey",
    "NoSuchBlob",
    "NoSuchBlock",
    "NoSuchBucket",
    "NoSuchBucketPolicy",
    "NoSuchCORSConfiguration",
    "NoSuchCommit",
    "NoSuchKey",
    "NoSuchLifecycleConfiguration",
    "NoSuchObjectLockConfiguration",
    "NoSuchRemote",
    "NoSuchSnapshot",
    "NoSuchTagSet",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotFastForward",
    "NotFound",
    "NotModified",
    "NothingToCommit",
    "ObjectLockConfigurationNotFound",
    "OtherCommit",
    "OutcomeUnknown",
    "PinMismatch",
    "PreconditionFailed",
    "SnapshotExists",
    "StorageError",
    "Unsupported",
    "Untrue",
    "VersioningChanged",
    "WrongKey",
    "WrongPlace",
    "WrongSignature",
]

# They go by the name under which users import them, in tracebacks and in pickles.
for _name in __all__:
    globals()[_name].__module__ = __name__
