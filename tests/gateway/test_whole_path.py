"""The whole path: a real process, a real database, unmodified boto3; every answer is parsed by botocore."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
from botocore.exceptions import ClientError


def test_an_object_goes_in_and_comes_out(s3: Any, bucket_name: str) -> None:
    body = os.urandom(100)
    put = s3.put_object(
        Bucket=bucket_name, Key="a/b.txt", Body=body, ContentType="text/plain", Metadata={"Place": "pier"}
    )
    got = s3.get_object(Bucket=bucket_name, Key="a/b.txt")
    assert got["Body"].read() == body
    assert got["ETag"] == put["ETag"]
    assert got["ContentType"] == "text/plain"
    assert got["Metadata"] == {"place": "pier"}
    assert got["ResponseMetadata"]["HTTPHeaders"]["x-mst-cid"].startswith("baf")
    head = s3.head_object(Bucket=bucket_name, Key="a/b.txt")
    assert head["ContentLength"] == 100
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket_name)["Contents"]] == ["a/b.txt"]
    s3.delete_object(Bucket=bucket_name, Key="a/b.txt")
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_a_body_of_any_size_is_the_same_afterwards(s3: Any, bucket_name: str, size: int) -> None:
    """[GW-6] Small ones in one piece, large ones as streams; in both directions."""
    body = os.urandom(size)
    s3.put_object(Bucket=bucket_name, Key="k", Body=io.BytesIO(body))
    assert s3.get_object(Bucket=bucket_name, Key="k")["Body"].read() == body


@pytest.mark.parametrize(
    "key",
    ["a b", "a+b", "a%2Fb", "a//b", "/a", "a/../b", "./a", "ä/ö", "\u20ac", "\uffff", "a?b#c", "a&b=c;d", "~._-!*'()",
     "a\nb", "%"],
)  # fmt: skip
def test_a_key_is_kept_exactly(s3: Any, bucket_name: str, key: str) -> None:
    """[GW-2] One decoding; nothing is merged or resolved; a listing gives it back as it was."""
    s3.put_object(Bucket=bucket_name, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket_name, Key=key)["Body"].read() == key.encode()
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket_name)["Contents"]] == [key]
    assert [item["Key"] for item in s3.list_objects(Bucket=bucket_name)["Contents"]] == [key]


def test_what_is_not_there_is_said_in_s3_s_words(s3: Any, bucket_name: str) -> None:
    """[GW-5]"""
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        s3.get_object(Bucket=bucket_name, Key="nothing")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"
    assert caught.value.response["ResponseMetadata"]["RequestId"]
    with pytest.raises(ClientError) as absent:
        s3.head_object(Bucket=bucket_name, Key="nothing")
    assert absent.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket")
