"""The values of objects: what a body and tags may be given as, what a head tells, what a put and a delete did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from types import MappingProxyType
from typing import Literal

from mstbucket.errors import MstBucketError
from mstbucket.model.streams import Readable

#: What a body may be given as: the bytes, a path to a file, or an object with `read(n)` that returns bytes.
Body = bytes | bytearray | memoryview | PathLike[str] | Readable

#: Tags in one shape: a map, or pairs of key and value, in which a key that is there twice is noticed.
PlainTags = Mapping[str, str] | Sequence[tuple[str, str]]

#: What tags may be given as: besides those two, boto3's `[{"Key": …, "Value": …}]`, also as `{"TagSet": […]}`, and the
#: text `a=1&b=2`.
Tags = PlainTags | Sequence[Mapping[str, str]] | Mapping[str, Sequence[Mapping[str, str]]] | str

#: What to delete: keys, pairs of a key and a version id, or boto3's `{"Objects": [{"Key": …, "VersionId": …}]}`.
DeleteItems = Iterable[str | tuple[str, str | None] | Mapping[str, str]] | Mapping[str, object]

#: What the checksums of an object are of: all of its bytes, or the checksums of its parts.
ChecksumType = Literal["FULL_OBJECT", "COMPOSITE"]

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Everything about one object but its bytes, as `head_object` gives it.

    Attributes:
        key: the object's key.
        size: bytes.
        etag: without quotes; the MD5 of the body in hex for a single put.
        last_modified: to the millisecond, UTC.
        content: CID of the body (UnixFS profile `unixfs-v1-2025`; what `ipfs add` under that profile gives).
        manifest: CID of the object's manifest, the value that the tree holds under the key.
        content_type: as given at put, or None.
        sha256: of the whole body in hex, or None where no single pass saw it.
        headers: the kept HTTP headers (cache-control, content-disposition, content-encoding, content-language, expires).
        metadata: user metadata, names in lower case.
        tags: the object's tags.
        checksums: S3's additional checksums that were kept: base64, by algorithm in lower case (`crc32c`).
        parts: sizes of the parts it was uploaded in, in order; empty where it came by a single put.
        version_id: "null" for the null version; None in a bucket whose versioning was never set.
        object_lock_mode, object_lock_retain_until: of the retention that was set; it may have ended.
        object_lock_legal_hold: a legal hold protects it.
        part_range: where the part that `part_number` asked for lies in the body, half-open; None where none was asked for.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime
    content: str
    manifest: str
    content_type: str | None = None
    sha256: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    parts: tuple[int, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    version_id: str | None = None
    object_lock_mode: str | None = None
    object_lock_retain_until: datetime | None = None
    object_lock_legal_hold: bool = False
    part_range: tuple[int, int] | None = None

    @property
    def parts_count(self) -> int | None:
        """How many parts it was uploaded in; None where it came by a single put, as S3 leaves it out then."""
        return len(self.parts) if self.parts else None

    @property
    def checksum_type(self) -> ChecksumType | None:
        """What `checksums` are of: the whole body, or the checksums of its parts; None where there are none.

        A composite one ends in the number of the parts, as in `…==-3`: that is how the two are told apart.
        """
        return checksum_type_of(self.checksums)


def checksum_type_of(checksums: Mapping[str, str]) -> ChecksumType | None:
    """What the checksums of an object are of; None where there are none ([SUM-5])."""
    if not checksums:
        return None
    return "COMPOSITE" if any("-" in value for value in checksums.values()) else "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """How the object of one key differs between two commits.

    Attributes:
        key: the key.
        old: what the first commit holds; None where it has no such object.
        new: what the second commit holds; None where it has no such object. They differ in the manifest, if not in more.
    """

    key: str
    old: ObjectInfo | None
    new: ObjectInfo | None


@dataclass(frozen=True, slots=True)
class ObjectAttributes:
    """What `get_object_attributes` tells of an object, without its metadata.

    Attributes:
        etag: without quotes.
        size: bytes.
        checksums: S3's additional checksums by algorithm in lower case, base64; empty where none was given.
        parts: sizes in bytes of a multipart upload's parts, in order; empty for an object stored in one piece. Their
            checksums are not kept: what `get_object` gives for a `part_number` has them.
        storage_class: always `STANDARD`: where the bytes are is the business of the blob store.
    """

    etag: str
    size: int
    checksums: Mapping[str, str]
    parts: tuple[int, ...]
    storage_class: str

    @property
    def checksum_type(self) -> ChecksumType | None:
        """As of `ObjectInfo`."""
        return checksum_type_of(self.checksums)


@dataclass(frozen=True, slots=True)
class PutRequest:
    """One object to put, for `Bucket.put` and `put_objects`. The fields are the arguments of `Bucket.put_object`."""

    key: str
    body: Body
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    tags: Tags = field(default_factory=lambda: EMPTY)
    if_match: str | None = None
    if_none_match: str | None = None
    content_md5: str | None = None
    checksums: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    checksum_algorithm: str | None = None
    object_lock_mode: str | None = None
    object_lock_retain_until: datetime | None = None
    object_lock_legal_hold: bool | None = None
    checksums_behind: Callable[[], Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a put stored: the key, its size in bytes, its ETag without quotes, the CIDs of its body and its manifest.

    `checksums` are those that were kept with the object, and `version_id` is the version's; both as in `ObjectInfo`.
    """

    key: str
    size: int
    etag: str
    content: str
    manifest: str
    checksums: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What a delete did, as S3 tells it.

    Attributes:
        key: the key.
        version_id: of the version that was removed, or of the delete marker that was put; None where neither was.
        delete_marker: that version is a delete marker.
        existed: there was something to delete: a current object, or the version named. S3 does not tell this one.
    """

    key: str
    version_id: str | None
    delete_marker: bool
    existed: bool


@dataclass(frozen=True, slots=True)
class DeleteFailure:
    """One delete of several that was refused, alone, and why."""

    key: str
    version_id: str | None
    error: MstBucketError


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """What `Bucket.delete_objects` did, in the order in which it was asked."""

    deleted: tuple[DeleteResult, ...]
    errors: tuple[DeleteFailure, ...]


