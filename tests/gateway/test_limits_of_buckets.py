"""What a bucket takes ([GW-63]), and what the holder of a key may send ([GW-64]), over HTTP."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import mstbucket
from mstbucket import BucketLimits
from mstbucket.limits import MIB

_found = importlib.util.spec_from_file_location("mstbucket_test_post", Path(__file__).with_name("test_post.py"))
assert _found is not None
assert _found.loader is not None
_post = importlib.util.module_from_spec(_found)
_found.loader.exec_module(_post)

PART = 5 * MIB


@pytest.fixture(scope="module")
def opened(gateway: Any) -> Iterator[mstbucket.Store]:
    """The gateway's store, opened beside it."""
    with mstbucket.open(
        database=gateway.store["MSTBUCKET_DATABASE"], blobs=gateway.store["MSTBUCKET_BLOBS"], background=False
    ) as store:
        yield store


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    """The code that a call is refused with; "" where it is not."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.fixture
def limited(opened: mstbucket.Store, request: pytest.FixtureRequest) -> str:
    """A bucket that takes 6 MiB at most, of images and plain text; set before a gateway has seen it."""
    name = f"l-{abs(hash(request.node.nodeid)):x}"
    opened.create_bucket(name).put_bucket_limits(BucketLimits(6 * MIB, ("image/*", "Text/plain")))
    return name


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("image/png", True), ("IMAGE/JPEG", True), ("text/plain", True), ("text/plain; charset=utf-8", True),
        ("text/html", False), ("text/plainer", False), ("", False), (None, False), ("application/image/png", False),
    ],
)  # fmt: skip
def test_a_content_type_is_taken_or_not_however_the_object_comes(
    gateway: Any, s3: Any, limited: str, content_type: str | None, taken: bool
) -> None:
    """[GW-63]"""
    said = {} if content_type is None else {"ContentType": content_type}
    wanted = "" if taken else "InvalidRequest"
    about = {"Bucket": limited, "Key": "k"}
    assert code_of(s3.put_object, **about, Body=b"x", **said) == wanted
    assert code_of(s3.create_multipart_upload, **about, **said) == wanted
    other = f"{limited}-other"
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=other, Key="s", Body=b"x", **said)
    assert code_of(s3.copy_object, **about, CopySource=f"{other}/s") == wanted
    replaced = {"CopySource": f"{other}/s", "MetadataDirective": "REPLACE"}
    assert code_of(s3.copy_object, **about, **replaced, **said) == wanted
    assert code_of(s3.copy_object, **about, **replaced, ContentType="image/gif") == ""
    fields = {} if content_type is None else {"Content-Type": content_type}
    conditions = [["starts-with", "$Content-Type", ""]] if fields else []
    with_form = gateway.client(signature_version="s3v4").generate_presigned_post(limited, "f", fields, conditions)
    assert _post.send(gateway, limited, with_form["fields"], b"x")[0] == (204 if taken else 400)


def test_a_size_is_refused_however_the_object_comes(gateway: Any, s3: Any, wire: Any, limited: str) -> None:
    """[GW-63] By a put, before its body is asked for; a form; a part; a completion of parts; a copy."""
    about: dict[str, Any] = {"Bucket": limited, "Key": "k"}
    image = {"ContentType": "image/png"}
    assert code_of(s3.put_object, **about, Body=bytes(6 * MIB), **image) == ""
    assert code_of(s3.put_object, **about, Body=bytes(6 * MIB + 1), **image) == "EntityTooLarge"
    path = f"/{limited}/k"
    signed = wire.sign(gateway, "PUT", path, {"content-type": "image/png"}, payload="UNSIGNED-PAYLOAD")
    with wire.Wire(gateway.port) as connection:
        length = {"content-length": str(6 * MIB + 1), "expect": "100-continue"}
        connection.send(wire.head("PUT", path, {**signed, **length}))
        status, _, body = connection.answer("PUT")
    assert (status, b"EntityTooLarge" in body) == (400, True)
    form = gateway.client(signature_version="s3v4").generate_presigned_post(
        limited, "f", {"Content-Type": "image/png"}, [{"Content-Type": "image/png"}]
    )["fields"]
    assert _post.send(gateway, limited, form, bytes(6 * MIB))[0] == 204
    assert b"EntityTooLarge" in _post.send(gateway, limited, form, bytes(6 * MIB + 1))[2]
    upload = s3.create_multipart_upload(**about, **image)["UploadId"]
    part = {**about, "UploadId": upload}
    etags = [s3.upload_part(**part, PartNumber=number, Body=bytes(PART))["ETag"] for number in (1, 2)]
    assert code_of(s3.upload_part, **part, PartNumber=3, Body=bytes(6 * MIB + 1)) == "EntityTooLarge"
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    assert code_of(s3.complete_multipart_upload, **part, MultipartUpload={"Parts": parts}) == "EntityTooLarge"
    assert code_of(s3.complete_multipart_upload, **part, MultipartUpload={"Parts": parts[:1]}) == ""
    other = f"{limited}-other"
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=other, Key="s", Body=bytes(6 * MIB + 1), **image)
    assert code_of(s3.copy_object, **about, CopySource=f"{other}/s") == "EntityTooLarge"
    assert s3.head_object(**about)["ContentLength"] == PART
    assert s3.get_object(Bucket=other, Key="s")["ContentLength"] == 6 * MIB + 1


def test_a_change_counts_soon(opened: mstbucket.Store, s3: Any, bucket_name: str) -> None:
    """[GW-63]"""
    about = {"Bucket": bucket_name, "Key": "k", "Body": b"12"}
    assert code_of(s3.put_object, **about) == ""
    opened.bucket(bucket_name).put_bucket_limits(BucketLimits(1))
    until = time.monotonic() + 60
    while code_of(s3.put_object, **about) == "":
        assert time.monotonic() < until
        time.sleep(0.2)


# --- keys ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bounded(gateway: Any, opened: mstbucket.Store) -> Iterator[tuple[str, Any]]:
    """An administrator's key that may send 1,000 bytes, and a client with it."""
    new = opened.access_keys.create("bounded")
    opened.access_keys.set_limit(new.key.id, 1000)
    client = gateway.client(new.key.id, new.secret, request_checksum_calculation="when_required")
    yield new.key.id, client
    client.close()


def sent(store: mstbucket.Store, key_id: str) -> int:
    found = store.access_keys.find(key_id)
    assert found is not None
    return found[0].bytes_sent


def test_a_holder_sends_so_many_bytes_and_no_more(
    opened: mstbucket.Store, bounded: tuple[str, Any], s3: Any, bucket_name: str
) -> None:
    """[GW-64] By puts, parts and copies; what fails counts nothing."""
    key_id, client = bounded
    about = {"Bucket": bucket_name, "Key": "k"}
    client.put_object(**about, Body=bytes(300))
    assert code_of(client.put_object, **about, Body=bytes(701)) == "QuotaExceeded"
    assert code_of(client.put_object, **about, Body=bytes(700), IfNoneMatch="*") == "PreconditionFailed"
    assert code_of(client.put_object, **about, Body=bytes(700), ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==") == "BadDigest"
    assert sent(opened, key_id) == 300
    client.copy_object(**about, CopySource=f"{bucket_name}/k", MetadataDirective="REPLACE")
    assert sent(opened, key_id) == 600
    upload = client.create_multipart_upload(**about)["UploadId"]
    part = {**about, "UploadId": upload}
    etag = client.upload_part(**part, PartNumber=1, Body=bytes(100))["ETag"]
    client.upload_part_copy(**part, PartNumber=2, CopySource=f"{bucket_name}/k", CopySourceRange="bytes=10-109")
    assert sent(opened, key_id) == 800
    client.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    client.delete_object(**about)
    assert sent(opened, key_id) == 800
    assert code_of(client.put_object, **about, Body=bytes(201)) == "QuotaExceeded"
    assert code_of(client.copy_object, Bucket=bucket_name, Key="x", CopySource=f"{bucket_name}/k") == "NoSuchKey"
    s3.put_object(**about, Body=bytes(5000))  # another key has no bound
    assert client.get_object(**about)["ContentLength"] == 5000
    assert code_of(client.copy_object, Bucket=bucket_name, Key="x", CopySource=f"{bucket_name}/k") == "QuotaExceeded"
    client.put_object(**about, Body=bytes(200))
    assert sent(opened, key_id) == 1000
    assert opened.access_keys.set_limit(key_id, None).bytes_max is None


def test_a_bound_holds_for_many_at_once(opened: mstbucket.Store) -> None:
    """[GW-64] Whatever number of processes asks, exactly so many bytes pass."""
    key_id = opened.access_keys.create("many").key.id
    opened.access_keys.set_limit(key_id, 100)
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: opened.access_keys.spend(key_id, 7), range(40)))
    assert (passed.count(True), sent(opened, key_id)) == (14, 98)
    assert opened.access_keys.spend(key_id, -98)
    assert sent(opened, key_id) == 0
    with pytest.raises(mstbucket.errors.InvalidInput, match="0 to"):
        opened.access_keys.set_limit(key_id, -1)
    with pytest.raises(mstbucket.errors.NoSuchAccessKey):
        opened.access_keys.set_limit("none", 1)


@pytest.mark.parametrize(
    "limits",
    [
        BucketLimits(-1), BucketLimits(2**70), BucketLimits(True), BucketLimits(1.5),  # type: ignore[arg-type]
        BucketLimits(None, ("text",)), BucketLimits(None, ("",)), BucketLimits(None, ("a/b c",)),
        BucketLimits(None, ("a/b;c",)),
        BucketLimits(None, ("a/b",) * 101), BucketLimits(None, ["a/b"]), BucketLimits(None, (1,)), "limits",  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(bucket: mstbucket.Bucket, limits: Any) -> None:
    """[GW-63]"""
    with pytest.raises(mstbucket.errors.InvalidInput):
        bucket.put_bucket_limits(limits)
    assert bucket.get_bucket_limits() == BucketLimits()
