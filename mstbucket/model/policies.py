"""What a store does to objects by rule and by time: retention of versions, lifecycle rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mstbucket.model.objects import EMPTY

RetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]


@dataclass(frozen=True, slots=True)
class Retention:
    """Until when a version cannot be removed, and by whom the time can be shortened.

    Attributes:
        mode: `GOVERNANCE`, which a caller can bypass who says so; `COMPLIANCE`, which nobody can.
        retain_until: an aware datetime.
    """

    mode: RetentionMode
    retain_until: datetime


@dataclass(frozen=True, slots=True)
class DefaultRetention:
    """The retention that versions of a bucket get when they are written, where their writer asks for none.

    Attributes:
        mode: as in `Retention`.
        days: from the time of the write; up to 36,500.
        years: in place of days; up to 100, counted by the calendar.
    """

    mode: RetentionMode
    days: int | None = None
    years: int | None = None


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """What becomes of objects with time. A rule applies to what all parts of its filter let pass; None is no condition.

    Days are counted from the event and rounded up to the next midnight UTC, as S3 does.

    Attributes:
        id: unique in the bucket, up to 255 characters; one is made up where none is given.
        enabled: a rule that is not is kept, and does nothing.
        prefix: filter: keys that start with it.
        tags: filter: objects that have all of these.
        object_size_greater_than, object_size_less_than: filter: bytes, both ends left out.
        expiration_days: after the write of a current object. It is removed where versioning was never set, and gets a
            delete marker otherwise.
        expiration_date: from this midnight UTC on, in place of the days; an aware datetime.
        expired_object_delete_marker: remove delete markers that have nothing left below them; in place of the days, which
            do so too.
        noncurrent_days: after a version became noncurrent it is removed.
        newer_noncurrent_versions: keep as many of the newest noncurrent versions, whatever their age; with the days.
        abort_incomplete_multipart_upload_days: after the beginning of an upload that is still open.
    """

    id: str | None = None
    enabled: bool = True
    prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None
    expiration_days: int | None = None
    expiration_date: datetime | None = None
    expired_object_delete_marker: bool = False
    noncurrent_days: int | None = None
    newer_noncurrent_versions: int | None = None
    abort_incomplete_multipart_upload_days: int | None = None


#: What rules may be given as: ours or boto3's, one after the other, or boto3's `{"Rules": […]}`.
LifecycleRules = Iterable[LifecycleRule | Mapping[str, object]] | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LifecycleReport:
    """What a pass over a bucket did.

    Attributes:
        expired: current objects that were removed or got a delete marker.
        noncurrent: noncurrent versions that were removed, delete markers among them.
        delete_markers: delete markers that had nothing left below them and were removed.
        uploads: multipart uploads that were aborted.
    """

    expired: int
    noncurrent: int
    delete_markers: int
    uploads: int
