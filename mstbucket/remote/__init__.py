"""S3-compatible services, by boto3: the only place that knows it. Needs `pip install '.[s3]'` in a clone.

    bucket = S3Bucket(parse_place("s3://photos?endpoint=http://localhost:9000"))
    for item in bucket.list("2026/"):
        with bucket.open_read(item.key) as stream:
            ...
"""

from __future__ import annotations

from mstbucket.remote.bucket import S3Bucket
from mstbucket.remote.download import S3Stream
from mstbucket.remote.objects import HEADERS, NO_ATTRIBUTES, S3Attributes, S3Listed, S3Object, S3Written
from mstbucket.remote.place import S3Place, is_s3, parse_place
from mstbucket.remote.upload import S3Writer

__all__ = [
    "HEADERS",
    "NO_ATTRIBUTES",
    "S3Attributes",
    "S3Bucket",
    "S3Listed",
    "S3Object",
    "S3Place",
    "S3Stream",
    "S3Writer",
    "S3Written",
    "is_s3",
    "parse_place",
]
