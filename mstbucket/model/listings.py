"""Pages of listings: of objects, of the folders among them, and of versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mstbucket.model.objects import ChecksumType


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One key of a listing.

    Attributes:
        key: the key.
        size: bytes.
        etag: without quotes.
        last_modified: to the millisecond, UTC.
        checksum_algorithms: of S3's additional checksums that are kept with it, in lower case; `head_object` has the values.
        checksum_type: what they are of; None where there are none.
    """

    key: str
    size: int
    etag: str
    last_modified: datetime
    checksum_algorithms: tuple[str, ...] = ()
    checksum_type: ChecksumType | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, in UTF-8 byte order of the keys.

    Attributes:
        contents: the keys of this page.
        common_prefixes: the folders of this page; each counts as one key against `max_keys`.
        is_truncated: there is at least one more key or common prefix.
        next_continuation_token: give it to the next call; None on the last page.
    """

    contents: tuple[ObjectSummary, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    next_continuation_token: str | None


@dataclass(frozen=True, slots=True)
class MarkerPage:
    """One page of a listing with markers, S3's first form; in UTF-8 byte order of the keys.

    Attributes:
        contents: the keys of this page.
        common_prefixes: the folders of this page; each counts as one key against `max_keys`.
        is_truncated: there is at least one more key or common prefix.
        next_marker: the last key or common prefix of this page, where it is truncated and there is a delimiter. Without
            a delimiter S3 leaves it out, and so does this: go on from the last key of `contents`.
    """

    contents: tuple[ObjectSummary, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of a key, or a delete marker, which has neither size nor ETag.

    Attributes:
        key: the key.
        version_id: "null" for the null version.
        is_latest: the newest of its key; the current object, where it is no delete marker.
        delete_marker: it says that the key was deleted.
        size: bytes.
        etag: without quotes.
        last_modified: when it was written, UTC.
        checksum_algorithms, checksum_type: as in `ObjectSummary`; a delete marker has none.
    """

    key: str
    version_id: str
    is_latest: bool
    delete_marker: bool
    size: int | None
    etag: str | None
    last_modified: datetime
    checksum_algorithms: tuple[str, ...] = ()
    checksum_type: ChecksumType | None = None


@dataclass(frozen=True, slots=True)
class VersionsPage:
    """One page of the versions, by key in UTF-8 byte order, those of one key newest first.

    Attributes:
        versions: of this page, delete markers among them.
        common_prefixes: the folders of this page; each counts as one version against `max_keys`.
        is_truncated: there is at least one more version or common prefix.
        next_key_marker, next_version_id_marker: give both to the next call; None on the last page, and the second also
            where the page ends with a common prefix. The second says more than an id: it holds its place in the listing
            also when the version is deleted meanwhile.
    """

    versions: tuple[ObjectVersion, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    next_key_marker: str | None
    next_version_id_marker: str | None
