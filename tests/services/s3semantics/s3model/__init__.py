"""S3 as its documentation describes it, in memory: small, slow, and plain enough to be checked by reading.

The judge of the service tests. It imports nothing of the package under test. What S3 leaves to the server (version ids,
upload ids, times) is taken from the answers of the store that is judged, after they were checked for what S3 does say.
"""

from __future__ import annotations

from s3model.bucket import Bucket
from s3model.conditions import read_verdict
from s3model.errors import STATUS, Refused
from s3model.listing import chunks, key_items, marked_items, part_items, upload_items, version_items
from s3model.pages import Pages, part_pages
from s3model.seen import code_of, head_of, model_head, shown
from s3model.service import Service
from s3model.values import Deleted, Said, Version, checksum

__all__ = [
    "STATUS",
    "Bucket",
    "Deleted",
    "Pages",
    "Refused",
    "Said",
    "Service",
    "Version",
    "checksum",
    "chunks",
    "code_of",
    "head_of",
    "key_items",
    "marked_items",
    "model_head",
    "part_items",
    "part_pages",
    "read_verdict",
    "shown",
    "upload_items",
    "version_items",
]
