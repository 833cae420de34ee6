"""Everything that a user sees of a bucket, so that two states of it can be compared."""

from __future__ import annotations

import io
from typing import Any

from mstbucket import Bucket, BucketView, errors


def exported(bucket: Bucket | BucketView) -> bytes:
    """The newest commit, or that of a view, as a CAR. The report has to say how long it is."""
    target = io.BytesIO()
    report = bucket.export_car(target)
    assert report.bytes == len(target.getvalue())
    return target.getvalue()


def bodies_of(bucket: Bucket) -> dict[str, bytes]:
    """Every key with its body."""
    return {entry.key: bucket.get_object(entry.key).read() for entry in bucket.objects()}


def seen(bucket: Bucket) -> dict[str, Any]:
    """Listing, versions, metadata, bodies, tags, log and the export of the newest commit."""
    versions = bucket.list_object_versions().versions
    of_versions = {}
    for version in versions:
        if not version.delete_marker:
            where = version.version_id if bucket.get_bucket_versioning() is not None else None
            of_versions[version.key, where] = bucket.get_object(version.key, version_id=where).read()
    try:
        export: bytes | None = exported(bucket)
    except errors.NoSuchCommit:
        export = None
    try:
        tags = bucket.get_bucket_tagging()
    except errors.NoSuchTagSet:
        tags = {}
    return {
        "objects": [bucket.head_object(summary.key) for summary in bucket.objects()],
        "versions": versions,
        "bodies": of_versions,
        "tags": tags,
        "versioning": bucket.get_bucket_versioning(),
        "log": list(bucket.log()),
        "export": export,
    }
