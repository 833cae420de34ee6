"""What a put says of its body: true, it is stored and the checksums stay with it; untrue, nothing is stored."""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from inside import left

import mstbucket
from mstbucket.core.checksums import SIZES, hasher
from mstbucket.errors import BadDigest, InvalidDigest, InvalidInput
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX

WAYS_IN = {
    "empty": b"",
    "small": b"a body",
    "the largest inline": b"i" * INLINE_MAX,
    "a pack of one chunk": b"p" * (INLINE_MAX + 1),
    "a pack of several chunks": b"q" * (3 * CHUNK_SIZE + 1),
}


def base64_of(algorithm: str, body: bytes) -> str:
    if algorithm == "md5":
        return b64encode(hashlib.md5(body).digest()).decode()
    one = hasher(algorithm)
    one.update(body)
    return b64encode(one.digest()).decode()


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("algorithm", SIZES)
def test_a_checksum_that_is_true_is_kept_and_returned(bucket: mstbucket.Bucket, algorithm: str, way: str) -> None:
    """[SUM-3], [SUM-5]: given and computed alike, by bytes and by stream, before and after a flush."""
    body = WAYS_IN[way]
    value = {algorithm: base64_of(algorithm, body)}
    results = [
        bucket.put_object("given", body, checksums=value),
        bucket.put_object("computed", io.BytesIO(body), checksum_algorithm=algorithm),
        bucket.put_object("both", body, checksums=value, checksum_algorithm=algorithm.upper()),
        bucket.copy_object("given", "copy"),
    ]
    assert [result.checksums for result in results] == [value] * 4
    for _ in range(2):
        for result in results:
            info = bucket.head_object(result.key)
            assert (info.checksums, info.checksum_type) == (value, "FULL_OBJECT")
            assert bucket.get_object(result.key).info == info
        bucket.flush()
    bucket.verify()


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("name", ["md5", *SIZES])
def test_a_body_that_is_another_is_bad_digest_and_leaves_nothing(
    bucket: mstbucket.Bucket, tmp_path: Path, name: str, way: str
) -> None:
    """[SUM-1]: over an object, where there is none, and in the middle of a batch."""
    body = WAYS_IN[way]
    bucket.put_object("k", b"before", checksum_algorithm="crc32")
    wrong = base64_of(name, body + b"!")
    said: dict[str, Any] = {"content_md5": wrong} if name == "md5" else {"checksums": {name: wrong}}
    before = left(bucket, tmp_path)
    for key in ("k", "new"):
        with pytest.raises(BadDigest, match=f"'{key}'"):
            bucket.put_object(key, body, **said)
        with pytest.raises(BadDigest):
            bucket.put_object(key, io.BytesIO(body), **said)
        with pytest.raises(BadDigest):
            bucket.put_objects([mstbucket.PutRequest("other", body), mstbucket.PutRequest(key, body, **said)])
    assert left(bucket, tmp_path) == before


@pytest.mark.parametrize("way", WAYS_IN)
def test_a_content_md5_that_is_true_is_compared_and_not_kept(bucket: mstbucket.Bucket, way: str) -> None:
    body = WAYS_IN[way]
    assert bucket.put_object("k", body, content_md5=base64_of("md5", body)).checksums == {}
    info = bucket.head_object("k")
    assert (info.checksums, info.checksum_type) == ({}, None)
    assert bucket.get_object("k").read() == body


def test_several_checksums_are_all_compared_and_all_kept(bucket: mstbucket.Bucket) -> None:
    """[SUM-1], [SUM-3]"""
    values = {name: base64_of(name, b"body") for name in SIZES}
    bucket.put_object("k", b"body", checksums=values, content_md5=base64_of("md5", b"body"))
    assert bucket.head_object("k").checksums == values
    for name in SIZES:
        with pytest.raises(BadDigest, match=name):
            bucket.put_object("k", b"body", checksums=values | {name: base64_of(name, b"other")})
    assert bucket.put_object("k", b"body", checksums={"sha1": values["sha1"]}, checksum_algorithm="CRC32C").checksums == {
        name: values[name] for name in ("crc32c", "sha1")
    }


INVALID = {
    "not base64": "not base64!",
    "empty": "",
    "too short": b64encode(b"123").decode(),
    "too long": b64encode(b"1" * 65).decode(),
    "hex": hashlib.sha256(b"").hexdigest(),
    "without padding": "rL0Y20zC+Fzt72VPzMSk2A",
    "with a line break": "rL0Y20zC+Fzt72VPzMSk2A==\n",
    "loose bits at the end": "rL0Y20zC+Fzt72VPzMSk2B==",
    "not ASCII": "rL0Y20zC+Fzt72VPzMSké==",
    "a lone surrogate": "\ud800",
}


class Untouched(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_a_value_that_no_body_has_is_invalid_digest(bucket: mstbucket.Bucket, tmp_path: Path, text: str) -> None:
    """[SUM-2]: before the body is read."""
    before = left(bucket, tmp_path)
    for said in ({"content_md5": text}, *({"checksums": {name: text}} for name in SIZES)):
        with pytest.raises(InvalidDigest):
            bucket.put_object("k", Untouched(), **said)  # type: ignore[arg-type]
    assert left(bucket, tmp_path) == before


@pytest.mark.parametrize("name", ["md5", "", "crc-32", "sha512", "crc64"])
def test_an_unknown_algorithm_is_refused_before_the_body_is_read(bucket: mstbucket.Bucket, name: str) -> None:
    """[SUM-2]"""
    for said in ({"checksums": {name: "AAAAAA=="}}, {"checksum_algorithm": name}):
        with pytest.raises(InvalidInput, match="crc64nvme"):
            bucket.put_object("k", Untouched(), **said)  # type: ignore[arg-type]


def test_a_composite_checksum_is_told_from_one_of_the_whole(bucket: mstbucket.Bucket) -> None:
    """[SUM-5]: by its form alone, so that an import knows it too."""
    bucket.put_object("k", b"body", checksum_algorithm="crc32")
    info = bucket.head_object("k")
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE objects SET checksums = '{\"crc32\": \"y/Q5Jg==-3\"}'")
    assert (info.checksum_type, bucket.head_object("k").checksum_type) == ("FULL_OBJECT", "COMPOSITE")


def test_checksums_travel(bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path) -> None:
    """[SUM-3]: through flush, export and import; the copy in the other store has the same commit."""
    for name in SIZES:
        for way, body in WAYS_IN.items():
            bucket.put_object(f"{name}/{way}", body, checksum_algorithm=name)
    bucket.put_object("none", b"")
    commit = bucket.flush()
    bucket.export_car(tmp_path / "x.car")
    copy = second_store.import_car(tmp_path / "x.car")
    assert copy.head_commit() == commit
    there = {item.key: bucket.head_object(item.key) for item in bucket.objects()}
    assert {item.key: copy.head_object(item.key) for item in copy.objects()} == there
    assert [key for key, info in there.items() if not info.checksums] == ["none"]
    for name in SIZES:
        for way, body in WAYS_IN.items():
            assert there[f"{name}/{way}"].checksums == {name: base64_of(name, body)}


def test_a_replaced_object_has_the_checksums_of_the_new_one(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", b"1", checksum_algorithm="crc32c")
    bucket.put_object("k", b"2")
    assert bucket.head_object("k").checksums == {}
    bucket.put_objects([mstbucket.PutRequest("k", b"3", checksum_algorithm="sha1"), mstbucket.PutRequest("l", b"")])
    assert bucket.head_object("k").checksums == {"sha1": base64_of("sha1", b"3")}
