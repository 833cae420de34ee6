"""What the store on S3 does beside the contract: opening, listings, ranges, many deletes, what the killed leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mstbucket.blobs.base import BlobInfo
from mstbucket.blobs.media import s3 as blobs_module
from mstbucket.blobs.media.s3 import MARKER_BODY, S3Blobs
from mstbucket.blobs.names import pack_name
from mstbucket.errors import NoSuchBlob, StorageError, Unsupported
from mstbucket.remote import S3Attributes

pytestmark = pytest.mark.s3


# --- opening ---


def test_opening_makes_a_store_once_and_is_cheap_afterwards(corner: Any, proxy: Any) -> None:
    """[S3B-3]"""
    corner.open(proxy.endpoint)
    assert corner.read(".mstbucket") == MARKER_BODY
    assert [method for method, _ in proxy.seen] == ["HEAD", "HEAD", "PUT", "PUT", "GET"]  # of object and bucket
    proxy.seen.clear()
    corner.open(proxy.endpoint)
    assert [method for method, _ in proxy.seen] == ["HEAD", "GET"]


def test_a_service_that_ignores_conditions_is_refused(corner: Any, proxy: Any) -> None:
    """[S3B-3] and nothing stays on it"""

    def ignored(method: str, path: str, answer: Any) -> Any:
        return (200, [("ETag", '"0"')], b"") if method == "PUT" and answer[0] == 412 else answer

    proxy.amend = ignored
    with pytest.raises(Unsupported, match="If-None-Match"):
        corner.open(proxy.endpoint)
    assert corner.names() == []


def test_a_service_without_conditions_is_refused(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-3]"""
    proxy.rule = faults.once("PUT", "", faults.refusal(501, "NotImplemented"), times=9)
    with pytest.raises(Unsupported, match="NotImplemented"):
        corner.open(proxy.endpoint)


def test_a_bucket_that_cannot_be_used_is_told_at_opening(s3_service: Any) -> None:
    """[S3B-3] [S3B-11]"""
    with pytest.raises(StorageError, match="no such bucket"):
        S3Blobs(f"s3://no-such-bucket-here/store?endpoint={s3_service.endpoint}")


def test_the_prefix_is_that_of_a_folder_and_stores_beside_each_other_are_apart(corner: Any) -> None:
    place = corner.url()
    stores = {name: S3Blobs(place.replace("?", f"{name}?")) for name in ("a", "ab", "b/a")}
    for name, store in stores.items():
        store.put("packs/x", name.encode())
    for name, store in stores.items():
        assert list(store.list()) == [BlobInfo("packs/x", len(name))]
        assert corner.read(f"{name}/packs/x") == name.encode()
    assert list(S3Blobs(place.replace("?", "a/?")).list()) == list(stores["a"].list())
    assert "a" in repr(stores["a"])


def test_a_store_may_have_the_whole_bucket(s3_service: Any) -> None:
    bucket = f"{s3_service.bucket}-whole"
    s3_service.client.create_bucket(Bucket=bucket)
    blobs = S3Blobs(f"s3://{bucket}?endpoint={s3_service.endpoint}&region={s3_service.region}")
    blobs.put("packs/a", b"data")
    assert list(blobs.list()) == [BlobInfo("packs/a", 4)]
    blobs.delete_many(["packs/a"])
    s3_service.client.delete_object(Bucket=bucket, Key=".mstbucket")
    s3_service.client.delete_bucket(Bucket=bucket)  # which has to be empty


# --- what the service is told and tells ---


def test_a_pack_says_what_it_is(corner: Any) -> None:
    """[S3B-13]"""
    name = pack_name()
    corner.open().put(name, b"bytes")
    found = corner.bucket().head(corner.prefix + name)
    assert found.attributes.content_type == "application/vnd.ipld.car; version=1"
    assert found.listed.size == 5


@pytest.mark.parametrize("name", ["packs/a.car.aes", "packs/a.car.zst.aes"])
def test_an_encrypted_pack_is_bytes_to_the_service(corner: Any, name: str) -> None:
    """[S3B-13]"""
    corner.open().put(name, b"bytes")
    found = corner.bucket().head(corner.prefix + name).attributes
    assert (found.content_type, dict(found.headers)) == ("application/octet-stream", {})


def test_a_compressed_pack_says_so_and_comes_back_as_it_is(corner: Any) -> None:
    """[S3B-13] nothing on the way decompresses it"""
    blobs, data = corner.open(), b"\x28\xb5\x2f\xfd no valid frame of zstd"
    blobs.put("packs/a.car.zst", data)
    found = corner.bucket().head(f"{corner.prefix}packs/a.car.zst").attributes
    assert found.content_type == "application/vnd.ipld.car; version=1"
    assert found.headers == {"content-encoding": "zstd"}
    assert blobs.get_range("packs/a.car.zst", 0, len(data)) == corner.read("packs/a.car.zst") == data
    with corner.bucket().open_read(f"{corner.prefix}packs/a.car.zst") as stream:
        assert stream.read() == data
    blobs.put("packs/a.car.aes", b"ciphertext")
    assert corner.bucket().head(f"{corner.prefix}packs/a.car.aes").attributes.content_type != found.content_type


def test_an_etag_comes_without_quotes(corner: Any, proxy: Any) -> None:
    """[S3B-7] whether the service quotes it or not"""
    bucket = corner.bucket(proxy.endpoint)
    key = f"{corner.prefix}a"
    etag = "8d777f385d3dfec8815d20f7496026dc"  # md5 of b"data"
    assert bucket.put(key, b"data").etag == etag

    def bare(_method: str, _path: str, answer: Any) -> Any:
        status, headers, body = answer
        return status, [(name, value.replace('"', "")) for name, value in headers], body.replace(b"&quot;", b"")

    for amend in (lambda _method, _path, answer: answer, bare):
        proxy.amend = amend
        assert bucket.put(key, b"data").etag == etag
        assert bucket.head(key).listed.etag == etag
        assert [item.etag for item in bucket.list(corner.prefix)] == [etag]


def test_a_body_damaged_on_the_way_is_not_kept(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-7] the service sees it by the MD5"""
    seen: list[str] = []

    def rule(method: str, path: str, headers: Any) -> Any:
        seen.append(headers.get("Content-MD5", ""))
        return faults.PASS

    proxy.rule = rule
    corner.bucket(proxy.endpoint).put("a", b"data")
    assert seen == ["jXd/OF09/siBXSD3SWAm3A=="]


def test_a_service_that_says_it_holds_other_bytes_is_not_believed_to_hold_ours(corner: Any, proxy: Any) -> None:
    """[S3B-7]"""
    proxy.amend = lambda method, _, answer: (200, [("ETag", f'"{"0" * 32}"')], b"") if method == "PUT" else answer
    with pytest.raises(StorageError, match="other bytes"):
        corner.bucket(proxy.endpoint).put("a", b"data")


def test_a_range_that_the_service_ignores_is_no_data(corner: Any, proxy: Any) -> None:
    """[S3B-14]"""
    blobs = corner.open(proxy.endpoint)
    blobs.put("packs/a", b"0123456789")

    def whole(method: str, _path: str, answer: Any) -> Any:
        status, headers, _ = answer
        if method != "GET" or status != 206:
            return answer
        return 200, [(name, value) for name, value in headers if name.lower() != "content-range"], b"0123456789"

    proxy.amend = whole
    with pytest.raises(StorageError, match="ignores ranges"):
        blobs.get_range("packs/a", 2, 3)


def test_an_answer_cut_in_the_middle_is_asked_for_again(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-14] [S3B-5]"""
    blobs = corner.open(proxy.endpoint)
    blobs.put("packs/a", b"0123456789" * 100_000)
    proxy.rule = faults.once("GET", "packs/a", faults.CUT_ANSWER, times=2)
    assert blobs.get_range("packs/a", 5, 999_990) == (b"0123456789" * 100_000)[5:999_995]


def test_a_stream_goes_on_where_it_was_cut(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-5]"""
    data = bytes(range(256)) * 20_000
    key = f"{corner.prefix}a"
    corner.bucket().put(key, data)
    proxy.rule = faults.once("GET", key, faults.CUT_ANSWER, times=3)
    with corner.bucket(proxy.endpoint).open_read(key) as stream:
        assert stream.read() == data
        assert stream.read(1) == b""
    assert proxy.count("GET", key) == 4


def test_a_stream_of_an_object_that_changed_meanwhile_fails(corner: Any, proxy: Any, faults: Any) -> None:
    key = f"{corner.prefix}a"
    corner.bucket().put(key, b"1" * 5_000_000)
    proxy.rule = faults.once("GET", key, faults.CUT_ANSWER)
    with corner.bucket(proxy.endpoint).open_read(key) as stream:
        stream.read(10)
        corner.bucket().put(key, b"2" * 5_000_000)
        with pytest.raises(StorageError, match="was changed"):
            stream.read()


def test_damage_in_a_stream_is_found_at_its_end(corner: Any, proxy: Any) -> None:
    """[S3B-7]"""
    key = f"{corner.prefix}a"
    corner.bucket().put(key, b"1" * 1000)
    proxy.amend = lambda method, _, answer: (answer[0], answer[1], b"2" * 1000) if method == "GET" else answer
    with corner.bucket(proxy.endpoint).open_read(key) as stream, pytest.raises(StorageError, match="not those of its MD5"):
        stream.read()


def test_what_goes_with_an_object_comes_back(corner: Any) -> None:
    """Also a key that needs escaping everywhere."""
    key = f"{corner.prefix}a b+c%20/é&<>\"'\x01\r\n?#"
    given = S3Attributes("text/plain", {"cache-control": "no-store", "content-language": "de"}, {"place": "pier"})
    bucket = corner.bucket()
    bucket.put(key, b"data", given)
    with bucket.open_read(key) as stream:
        assert stream.object.attributes == given == bucket.head(key).attributes
    assert [item.key for item in bucket.list(corner.prefix)] == [key]
    assert bucket.delete_many([key]) == {}  # [S3B-9] which goes alone
    assert list(bucket.list(corner.prefix)) == []


# --- listing ---


def test_a_listing_follows_all_pages(corner: Any, proxy: Any) -> None:
    """[S3B-12]"""
    for number in range(23):
        corner.write(f"{number:02}", b"x")
    proxy.seen.clear()
    found = [item.key for item in corner.bucket(proxy.endpoint).list(corner.prefix, page=5)]
    assert found == [f"{corner.prefix}{number:02}" for number in range(23)]
    assert proxy.count("GET") == 5


def test_a_page_that_fails_is_asked_for_again_and_a_listing_that_breaks_off_fails(
    corner: Any, proxy: Any, faults: Any
) -> None:
    """[S3B-12]"""
    for number in range(12):
        corner.write(f"{number:02}", b"x")
    bucket = corner.bucket(proxy.endpoint)
    listing = bucket.list(corner.prefix, page=5)
    assert next(listing).key.endswith("00")
    proxy.rule = faults.once("GET", "continuation-token", faults.refusal(500, "InternalError"))
    assert len(list(listing)) == 11

    def broken(_method: str, _path: str, answer: Any) -> Any:
        status, headers, body = answer
        start, _, rest = body.partition(b"<NextContinuationToken>")
        return status, headers, start + rest.partition(b"</NextContinuationToken>")[2]

    proxy.amend = broken
    with pytest.raises(StorageError, match="broke off"):
        list(bucket.list(corner.prefix, page=5))
    proxy.rule = lambda *_: faults.refusal(403, "AccessDenied")
    with pytest.raises(StorageError, match="AccessDenied"):
        list(bucket.list(corner.prefix))


def test_a_service_that_lists_in_no_order_is_refused(corner: Any, proxy: Any) -> None:
    """[S3B-12]"""
    blobs = corner.open(proxy.endpoint)
    for name in ("packs/a", "packs/b"):
        blobs.put(name, b"")

    def swapped(method: str, _path: str, answer: Any) -> Any:
        status, headers, body = answer
        if method == "GET":
            body = body.replace(b"a</Key>", b"c</Key>")
        return status, headers, body

    proxy.amend = swapped
    with pytest.raises(Unsupported, match="order"):
        list(blobs.list())


# --- deleting ---


def errors(*told: tuple[str, str]) -> tuple[int, bytes]:
    items = "".join(f"<Error><Key>{key}</Key><Code>{code}</Code><Message>m</Message></Error>" for key, code in told)
    return 200, f'<?xml version="1.0"?><DeleteResult>{items}</DeleteResult>'.encode()


def test_a_key_that_failed_in_an_answer_of_success_is_told(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-9]"""
    blobs = corner.open(proxy.endpoint)
    names = [f"packs/{number}" for number in range(5)]
    for name in names:
        blobs.put(name, b"")
    proxy.rule = faults.once("POST", "delete", errors((f"{corner.prefix}packs/3", "AccessDenied")))
    with pytest.raises(StorageError, match=r"1 blobs.*packs/3.*AccessDenied"):
        blobs.delete_many(names)
    proxy.rule = faults.once("POST", "delete", errors((f"{corner.prefix}packs/3", "NoSuchKey")))
    blobs.delete_many(names)
    blobs.delete_many(names)
    assert list(blobs.list()) == []


def test_a_key_that_failed_for_a_moment_is_deleted_again(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-9]"""
    blobs = corner.open(proxy.endpoint)
    blobs.put("packs/3", b"")
    proxy.rule = faults.once("POST", "delete", errors((f"{corner.prefix}packs/3", "InternalError")))
    blobs.delete_many(["packs/3"])
    with pytest.raises(NoSuchBlob):
        blobs.head("packs/3")


def test_more_than_a_thousand_go_in_several_requests(corner: Any, proxy: Any) -> None:
    """[S3B-9]"""
    blobs = corner.open(proxy.endpoint)
    blobs.put("packs/0000", b"")
    blobs.put("packs/1100", b"")
    proxy.seen.clear()
    blobs.delete_many(f"packs/{number:04}" for number in range(1101))
    assert [method for method, _ in proxy.seen] == ["POST", "POST"]
    assert list(blobs.list()) == []


# --- what the killed leave ---


def test_old_uploads_are_aborted_at_opening_and_young_ones_are_left(
    corner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[S3B-10] [BLOB-11]"""
    service = corner.service
    upload = service.client.create_multipart_upload(Bucket=service.bucket, Key=f"{corner.prefix}packs/a")["UploadId"]
    elsewhere = service.client.create_multipart_upload(Bucket=service.bucket, Key="elsewhere")["UploadId"]
    blobs = corner.open()
    assert corner.uploads() == ["packs/a"]
    assert list(blobs.list()) == []
    monkeypatch.setattr(blobs_module, "ABANDONED", timedelta(hours=-1))  # from the future is old now
    corner.open()
    assert corner.uploads() == []
    service.client.abort_multipart_upload(Bucket=service.bucket, Key="elsewhere", UploadId=elsewhere)
    assert upload


def test_the_age_of_an_upload_is_by_the_services_clock(corner: Any, proxy: Any) -> None:
    """[S3B-10]"""
    service = corner.service
    upload = service.client.create_multipart_upload(Bucket=service.bucket, Key=f"{corner.prefix}a")["UploadId"]
    later = (datetime.now(UTC) + timedelta(days=8)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    def date(_method: str, _path: str, answer: Any) -> Any:
        status, headers, body = answer
        return status, [(name, later if name.lower() == "date" else value) for name, value in headers], body

    proxy.amend = date
    assert corner.bucket(proxy.endpoint).abort_old_uploads(corner.prefix, timedelta(days=7)) == 1
    assert corner.uploads() == []
    assert upload


def test_opening_does_not_need_the_right_to_list_uploads(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-10]"""
    proxy.rule = faults.once("GET", "uploads", faults.refusal(403, "AccessDenied"), times=9)
    corner.open(proxy.endpoint).put("packs/a", b"data")
    assert corner.read("packs/a") == b"data"
