"""Everything that a user sees of a bucket, so that two states of it can be compared."""

from __future__ import annotations

import io
from typing import Any

from mstbucket import Bucket, errors


def seen(bucket: Bucket) -> dict[str, Any]:
    """Listing, versions, metadata, bodies, tags, log and the export of the newest commit."""
    versions = bucket.list_object_versions().versions
    bodies = {}
    for version in versions:
        if not version.delete_marker:
            where = version.version_id if bucket.get_bucket_versioning() is not None else None
            bodies[version.key, where] = bucket.get_object(version.key, version_id=where).read()
    try:
        export = io.BytesIO()
        bucket.export_car(export)
        exported: bytes | None = export.getvalue()
    except errors.NoSuchCommit:
        exported = None
    try:
        tags = bucket.get_bucket_tagging()
    except errors.NoSuchTagSet:
        tags = {}
    return {
        "objects": [bucket.head_object(summary.key) for summary in bucket.objects()],
        "versions": versions,
        "bodies": bodies,
        "tags": tags,
        "versioning": bucket.get_bucket_versioning(),
        "log": list(bucket.log()),
        "export": exported,
    }
