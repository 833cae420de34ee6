"""A head, and the head of a get: the same for the same question, by part and with overrides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core.s3rules import parts as part_rules

SIZES = (5, 0, 300, 1)


@pytest.fixture
def parted(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The body of an object `k` that came in four parts."""
    monkeypatch.setattr(part_rules, "PART_SIZE_MIN", 0)
    upload = bucket.create_multipart_upload("k", content_type="a/b", headers={"expires": "never"}).id
    sent = [bucket.upload_part("k", upload, 2 * n + 1, bytes([n]) * size) for n, size in enumerate(SIZES)]
    bucket.complete_multipart_upload("k", upload, [(part.number, part.etag) for part in sent])
    return b"".join(bytes([n]) * size for n, size in enumerate(SIZES))


def test_a_head_says_where_the_part_lies_that_a_get_gives(bucket: mstbucket.Bucket, parted: bytes) -> None:
    """[MPU-16]"""
    whole = bucket.head_object("k")
    assert (whole.parts_count, whole.part_range, whole.size) == (4, None, len(parted))
    at = 0
    for number, size in enumerate(SIZES, 1):
        info = bucket.head_object("k", part_number=number)
        assert info == replace(whole, part_range=(at, at + size))
        with bucket.get_object("k", part_number=number) as reader:
            assert (reader.info, reader.start, reader.stop) == (info, at, at + size)
            assert reader.read() == parted[at : at + size]
        at += size


@pytest.mark.parametrize(("number", "code", "status"), [(0, "InvalidArgument", 400), (5, "InvalidPartNumber", 416)])
def test_a_part_that_there_is_not_is_refused_by_both(
    bucket: mstbucket.Bucket, parted: bytes, number: int, code: str, status: int
) -> None:
    """[MPU-16]"""
    for read in (bucket.head_object, bucket.get_object):
        with pytest.raises(errors.InvalidInput) as caught:
            read("k", part_number=number)
        assert (caught.value.code, caught.value.status) == (code, status)


def test_an_object_put_in_one_go_is_its_own_only_part(bucket: mstbucket.Bucket) -> None:
    """[MPU-16]"""
    bucket.put_object("one", b"12345")
    info = bucket.head_object("one", part_number=1)
    assert (info.parts_count, info.part_range) == (None, (0, 5))
    assert bucket.get_object("one", part_number=1).info == info
    with pytest.raises(errors.InvalidPartNumber):
        bucket.head_object("one", part_number=2)


OVERRIDES = {
    "response_content_type": "text/x",
    "response_cache_control": "no-store",
    "response_content_disposition": 'attachment; filename="ö"',
    "response_content_encoding": "br",
    "response_content_language": "de",
    "response_expires": "",
}


@pytest.mark.parametrize("names", [list(OVERRIDES), ["response_content_type"], ["response_expires"]], ids=len)
def test_overrides_replace_what_one_read_tells(bucket: mstbucket.Bucket, parted: bytes, names: list[str]) -> None:
    """[ATTR-9]: the others stay, and the next read knows nothing of them."""
    said: dict[str, Any] = {name: OVERRIDES[name] for name in names}
    before = bucket.head_object("k")
    headers = {name.removeprefix("response_").replace("_", "-"): text for name, text in said.items()}
    kind = headers.pop("content-type", "a/b")
    expected = replace(before, content_type=kind, headers={"expires": "never"} | headers)
    assert bucket.get_object("k", **said).info == bucket.head_object("k", **said) == expected
    assert bucket.get_object("k", range="bytes=0-1", **said).info == expected
    assert bucket.head_object("k") == before


@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("text", ["a\r\nb: c", "a\0"], ids=["a line break", "NUL"])
def test_an_override_that_no_header_can_hold_is_refused(
    bucket: mstbucket.Bucket, parted: bytes, name: str, text: str
) -> None:
    """[ATTR-9]"""
    said: dict[str, Any] = {name: text}
    for read in (bucket.head_object, bucket.get_object):
        with pytest.raises(errors.InvalidInput):
            read("k", **said)
