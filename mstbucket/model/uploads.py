"""The values of multipart uploads, as those of `model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mstbucket.model.objects import EMPTY, ChecksumType

#: A part as a completion names it: its number, its ETag, and its checksums, which are compared where there are any.
NamedPart = tuple[int, str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is neither completed nor aborted: its id, its key, and when it was initiated.

    `checksum_algorithm` and `checksum_type` say what the object will have; None where nothing was asked for.
    """

    id: str
    key: str
    initiated: datetime
    checksum_algorithm: str | None = None
    checksum_type: ChecksumType | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an open upload: its number, its ETag without quotes (MD5 in hex), its size in bytes, when it came.

    `checksums` are those that were given for it and the one of its upload: base64, by algorithm.
    """

    number: int
    etag: str
    size: int
    last_modified: datetime
    checksums: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class PartsPage:
    """One page of an upload's parts, by number.

    Attributes:
        parts: of this page.
        is_truncated: there is at least one more.
        next_part_number_marker: give it to the next call; None on the last page.
        checksum_algorithm, checksum_type: what the object will have; None where nothing was asked for.
    """

    parts: tuple[Part, ...]
    is_truncated: bool
    next_part_number_marker: int | None
    checksum_algorithm: str | None = None
    checksum_type: ChecksumType | None = None


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """One page of a bucket's open uploads, by key in UTF-8 byte order, those of one key as they were initiated.

    Attributes:
        uploads: of this page.
        common_prefixes: the folders of this page; each counts as one upload against `max_uploads`.
        is_truncated: there is at least one more upload or common prefix.
        next_key_marker, next_upload_id_marker: give both to the next call; None on the last page, and the second also
            where the page ends with a common prefix.
    """

    uploads: tuple[Upload, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    next_key_marker: str | None
    next_upload_id_marker: str | None


#: What a completion may name a part by: (number, ETag), with the part's checksums by algorithm as a third item; the `Part`
#: itself; or boto3's `{"PartNumber": …, "ETag": …}`.
PartName = tuple[int, str] | tuple[int, str, Mapping[str, str]] | Part | Mapping[str, object]

#: What the parts of a completion may be given as: one after the other, or boto3's `{"Parts": […]}`.
PartNames = Iterable[PartName] | Mapping[str, object]
