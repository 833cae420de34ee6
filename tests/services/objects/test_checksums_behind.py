"""Checksums that come behind a body: of a put and of a part."""

from __future__ import annotations

import pytest

import mstbucket
from mstbucket.errors import InvalidInput


def test_a_checksum_may_come_behind_the_body(bucket: mstbucket.Bucket) -> None:
    """[SUM-13] It is compared as one that came before; nothing is stored where it differs."""
    right = {"crc32": "NSRBwg=="}  # of b"abc"
    result = bucket.put_object("k", b"abc", checksum_algorithm="crc32", checksums_behind=lambda: right)
    assert dict(result.checksums) == right
    upload = bucket.create_multipart_upload("m")
    part = bucket.upload_part("m", upload.id, 1, b"abc", checksum_algorithm="crc32", checksums_behind=lambda: right)
    assert dict(part.checksums) == right
    for algorithm, behind, error in (
        ("crc32", {"crc32": "AAAAAA=="}, mstbucket.errors.BadDigest),
        ("crc32", {"crc32": "x"}, mstbucket.errors.InvalidDigest),
        ("crc32c", right, InvalidInput),
    ):
        with pytest.raises(error):
            bucket.put_object("other", b"abc", checksum_algorithm=algorithm, checksums_behind=lambda said=behind: said)
        with pytest.raises(error):
            bucket.upload_part(
                "m", upload.id, 2, b"abc", checksum_algorithm=algorithm, checksums_behind=lambda said=behind: said
            )
    assert bucket.list_objects("other").contents == ()
