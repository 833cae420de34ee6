"""What the rows and the machine found in the gateway's answers, each as a case of its own."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import InvalidInput


def test_an_object_with_an_empty_kept_header_can_be_read(bucket: Any) -> None:
    """[GW-19] boto3 takes an `Expires` that is there for a time, and fails at one that is empty."""
    bucket.library.put_object("k", b"body", headers={"expires": "", "cache-control": "", "content-language": "de"})
    for read in ("get_object", "head_object"):
        answer = bucket.call(read, Key="k")
        assert {"CacheControl", "ExpiresString", "ContentLanguage"} & set(answer) == {"ContentLanguage"}


@pytest.mark.parametrize("parts", [0, 1], ids=["FULL_OBJECT", "COMPOSITE"])
def test_a_copy_says_what_its_checksum_is_of(bucket: Any, parts: int) -> None:
    """As `CopyObjectResult` is documented: the checksum and its type."""
    if parts:
        upload = bucket.create_multipart_upload("k", checksum_algorithm="crc32", checksum_type="COMPOSITE").id
        bucket.complete_multipart_upload("k", upload, [(1, bucket.upload_part("k", upload, 1, b"body").etag)])
    else:
        bucket.put_object("k", b"body", checksum_algorithm="crc32")
    result = bucket.call("copy_object", Key="copy", CopySource=bucket.source("k", None, None))["CopyObjectResult"]
    assert result["ChecksumType"] == ("COMPOSITE" if parts else "FULL_OBJECT")
    single = b64encode(zlib.crc32(b"body").to_bytes(4, "big")).decode()
    assert parts or result["ChecksumCRC32"] == single


def test_an_empty_version_id_marker_counts_only_beside_a_key(bucket: Any) -> None:
    """Beside one it is no version; both empty are the beginning, as some clients write it."""
    bucket.put_object("k", b"")
    assert [one.key for one in bucket.list_object_versions(key_marker="", version_id_marker="").versions] == ["k"]
    with pytest.raises(InvalidInput) as caught:
        bucket.list_object_versions(key_marker="k", version_id_marker="")
    assert isinstance(caught.value, mstbucket.errors.MstBucketError)
    assert caught.value.code == "InvalidArgument"
