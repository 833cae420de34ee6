"""Checksums of parts, and what they give the object: every algorithm and type, true, untrue, and of the wrong kind."""

from __future__ import annotations

import random
import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inside import left

import mstbucket
from mstbucket import errors
from mstbucket.core.checksums import SIZES, TYPES, composite, hasher, joined
from mstbucket.core.s3rules import parts as part_rules
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX
from mstbucket.model.uploads import Part, PartName

KINDS = [(algorithm, type_) for algorithm, types in TYPES.items() for type_ in types]
DATA = random.Random(6).randbytes(3 * CHUNK_SIZE)
BODIES = [DATA[: INLINE_MAX + 1], b"", DATA[7 : 2 * CHUNK_SIZE + 8], b"end"]


def of(algorithm: str, body: bytes) -> str:
    one = hasher(algorithm)
    one.update(body)
    return b64encode(one.digest()).decode()


def expected_of(algorithm: str, type_: str, bodies: list[bytes]) -> str:
    """S3's rule, the obvious way: over all bytes, or over the parts' checksums."""
    if type_ == "FULL_OBJECT":
        return of(algorithm, b"".join(bodies))
    return f"{of(algorithm, b''.join(b64decode(of(algorithm, body)) for body in bodies))}-{len(bodies)}"


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of any size complete."""
    monkeypatch.setattr(part_rules, "PART_SIZE_MIN", 0)


def begun(bucket: mstbucket.Bucket, bodies: list[bytes], **said: Any) -> tuple[str, list[Part]]:
    upload = bucket.create_multipart_upload("k", **said)
    return upload.id, [bucket.upload_part("k", upload.id, n, body) for n, body in enumerate(bodies, 1)]


def named(sent: list[Part]) -> list[tuple[int, str]]:
    return [(part.number, part.etag) for part in sent]


@given(pieces=st.lists(st.binary(max_size=40), max_size=6))
@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
def test_crcs_of_pieces_joined_are_the_crc_of_the_whole(algorithm: str, pieces: list[bytes]) -> None:
    """[SUM-6], [SUM-9]: whatever the pieces are, none and empty ones among them."""
    values = [(b64decode(of(algorithm, piece)), len(piece)) for piece in pieces]
    assert b64encode(joined(algorithm, values)).decode() == of(algorithm, b"".join(pieces))


def test_a_composite_checksum_is_the_checksum_of_the_checksums() -> None:
    """Against the standard library alone."""
    crcs = [zlib.crc32(body).to_bytes(4) for body in (b"1", b"2")]
    assert composite("crc32", crcs) == zlib.crc32(b"".join(crcs)).to_bytes(4)


@pytest.mark.parametrize(("algorithm", "type_"), KINDS)
def test_the_object_has_the_checksum_that_was_asked_for(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path, algorithm: str, type_: str
) -> None:
    """[SUM-7], [SUM-8], [SUM-9]: from parts given and computed; it lives through flush, export, import and copy."""
    upload = bucket.create_multipart_upload("k", checksum_algorithm=algorithm.upper(), checksum_type=type_)
    assert (upload.checksum_algorithm, upload.checksum_type) == (algorithm, type_)
    sent = []
    for number, body in enumerate(BODIES, 1):
        value = {algorithm: of(algorithm, body)}
        part = bucket.upload_part("k", upload.id, number, body, checksums=value if number % 2 else {})
        assert part.checksums == value
        sent.append(part)
    page = bucket.list_parts("k", upload.id)
    assert (list(page.parts), page.checksum_algorithm, page.checksum_type) == (sent, algorithm, type_)
    assert list(bucket.list_multipart_uploads().uploads) == [upload]
    assert list(bucket.list_multipart_uploads(delimiter="/").uploads) == [upload]
    want = {algorithm: expected_of(algorithm, type_, BODIES)}
    parts = [(part.number, part.etag, part.checksums) for part in sent]
    done = bucket.complete_multipart_upload("k", upload.id, parts, checksums=want)
    assert done.checksums == want
    assert bucket.complete_multipart_upload("k", upload.id, parts) == done  # [MPU-9]
    info = bucket.head_object("k")
    assert (info.checksums, info.checksum_type) == (want, type_)
    attributes = bucket.get_object_attributes("k")
    assert (attributes.checksums, attributes.checksum_type, attributes.parts) == (want, type_, tuple(map(len, BODIES)))
    assert bucket.copy_object("k", "copy").checksums == want
    commit = bucket.flush()
    bucket.verify()
    bucket.export_car(tmp_path / "x.car")
    copy = second_store.import_car(tmp_path / "x.car")
    assert copy.head_commit() == commit
    assert copy.head_object("k") == info


@pytest.mark.parametrize("algorithm", SIZES)
def test_the_default_type_is_that_of_s3(bucket: mstbucket.Bucket, algorithm: str) -> None:
    """[SUM-7]: composite where there is one."""
    upload = bucket.create_multipart_upload("k", checksum_algorithm=algorithm)
    assert upload.checksum_type == ("FULL_OBJECT" if algorithm == "crc64nvme" else "COMPOSITE")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"checksum_type": "COMPOSITE"}, "InvalidRequest"),
        ({"checksum_algorithm": "sha1", "checksum_type": "FULL_OBJECT"}, "InvalidRequest"),
        ({"checksum_algorithm": "sha256", "checksum_type": "FULL_OBJECT"}, "InvalidRequest"),
        ({"checksum_algorithm": "crc64nvme", "checksum_type": "COMPOSITE"}, "InvalidRequest"),
        ({"checksum_algorithm": "crc32", "checksum_type": "composite"}, "InvalidRequest"),
        ({"checksum_algorithm": "md5"}, "InvalidArgument"),
    ],
    ids=["a type alone", "SHA-1 of all", "SHA-256 of all", "CRC64NVME of parts", "a type there is not", "no algorithm"],
)
def test_what_no_object_can_have_is_refused_at_the_beginning(bucket: mstbucket.Bucket, said: Any, code: str) -> None:
    """[SUM-7]"""
    with pytest.raises(errors.InvalidInput) as caught:
        bucket.create_multipart_upload("k", **said)
    assert caught.value.code == code
    assert bucket.list_multipart_uploads().uploads == ()


@pytest.mark.parametrize("body", [b"small", DATA], ids=["in the database", "in a pack"])
@pytest.mark.parametrize("name", ["md5", *SIZES])
@pytest.mark.parametrize("begun_with", [True, False], ids=["of the upload", "of the part alone"])
def test_a_part_that_is_another_stores_nothing(
    bucket: mstbucket.Bucket, tmp_path: Path, name: str, body: bytes, begun_with: bool
) -> None:
    """[SUM-8]: the part before it stays, and no file is left."""
    algorithm = name if begun_with and name != "md5" else None
    upload = bucket.create_multipart_upload("k", checksum_algorithm=algorithm)
    before = bucket.upload_part("k", upload.id, 1, b"before")
    files = left(bucket, tmp_path)[-1]
    wrong = "1B2M2Y8AsgTpgAmY7PhCfg==" if name == "md5" else of(name, b"other")
    said: dict[str, Any] = {"content_md5": wrong} if name == "md5" else {"checksums": {name: wrong}}
    for number in (1, 2):
        with pytest.raises(errors.BadDigest, match=f"part {number}"):
            bucket.upload_part("k", upload.id, number, body, **said)
    assert bucket.list_parts("k", upload.id).parts == (before,)
    assert left(bucket, tmp_path)[-1] == files
    right = {"content_md5": None} if name == "md5" else {"checksums": {name: of(name, body)}}
    part = bucket.upload_part("k", upload.id, 1, body, **right)
    assert part.checksums == ({} if name == "md5" else right["checksums"])
    assert bucket.list_parts("k", upload.id).parts == (part,)


def test_a_part_with_another_algorithm_than_its_upload_is_refused_unread(bucket: mstbucket.Bucket) -> None:
    """[SUM-8]"""
    upload = bucket.create_multipart_upload("k", checksum_algorithm="crc32c")

    class Unread:
        def read(self, size: int) -> bytes:
            raise AssertionError("the body was read")

    for said in ({"checksums": {"sha1": of("sha1", b"")}}, {"checksum_algorithm": "crc32"}):
        with pytest.raises(errors.InvalidRequest, match="crc32c"):
            bucket.upload_part("k", upload.id, 1, Unread(), **said)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidDigest):
        bucket.upload_part("k", upload.id, 1, Unread(), checksums={"crc32c": "x"})  # type: ignore[arg-type]


def test_a_copied_part_has_the_checksum_of_its_bytes(bucket: mstbucket.Bucket) -> None:
    """[SUM-8]"""
    bucket.put_object("source", DATA)
    upload = bucket.create_multipart_upload("k", checksum_algorithm="sha256")
    whole = bucket.upload_part_copy("k", upload.id, 1, "source")
    some = bucket.upload_part_copy("k", upload.id, 2, "source", range="bytes=5-99")
    assert [whole.checksums, some.checksums] == [{"sha256": of("sha256", b)} for b in (DATA, DATA[5:100])]


WRONG = of("crc32", b"something else")
RIGHT = expected_of("crc32", "COMPOSITE", BODIES)


@pytest.mark.parametrize(
    ("part", "whole", "code"),
    [
        ({"crc32": WRONG}, {}, "InvalidPart"),
        ({"sha1": of("sha1", BODIES[0])}, {}, "InvalidRequest"),
        ({"crc32": "x"}, {}, "InvalidDigest"),
        ({"md5": "x"}, {}, "InvalidArgument"),
        ({}, {"crc32": WRONG}, "BadDigest"),
        ({}, {"crc32": f"{WRONG}-4"}, "BadDigest"),
        ({}, {"crc32": RIGHT.replace("-4", "-3")}, "BadDigest"),
        ({}, {"crc32": RIGHT + "-4"}, "BadDigest"),
        ({}, {"crc32c": WRONG}, "InvalidRequest"),
        ({}, {"crc32": "x-4"}, "InvalidDigest"),
        ({}, {"crc64": "x"}, "InvalidArgument"),
    ],
    ids=[
        "a part's, untrue", "a part's, by another algorithm", "a part's, no base64", "a part's, no algorithm",
        "the whole's, untrue", "the whole's, untrue with a count", "the whole's, with another count",
        "the whole's, with two counts", "the whole's, by another algorithm", "the whole's, no base64",
        "the whole's, no algorithm",
    ],
)  # fmt: skip
def test_a_completion_that_says_something_untrue_changes_nothing(
    bucket: mstbucket.Bucket, part: dict[str, str], whole: dict[str, str], code: str
) -> None:
    """[SUM-10], [SUM-11]"""
    upload, sent = begun(bucket, BODIES, checksum_algorithm="crc32")
    bucket.put_object("k", b"before")
    parts: list[PartName] = [(sent[0].number, sent[0].etag, part), *named(sent[1:])]
    with pytest.raises(errors.InvalidInput) as caught:
        bucket.complete_multipart_upload("k", upload, parts, checksums=whole)
    assert caught.value.code == code
    assert bucket.get_object("k").read() == b"before"
    assert bucket.complete_multipart_upload("k", upload, named(sent), checksums={"crc32": RIGHT[:-2]}).checksums == {
        "crc32": RIGHT
    }


def test_without_an_algorithm_the_object_gets_none(bucket: mstbucket.Bucket) -> None:
    """[SUM-7], [SUM-8]: what a part was given is kept with it and compared, and ends with the upload."""
    upload = bucket.create_multipart_upload("k")
    sums = {name: of(name, b"x") for name in ("crc32", "sha1")}
    part = bucket.upload_part("k", upload.id, 1, b"x", checksums=sums)
    assert bucket.list_parts("k", upload.id).parts[0].checksums == sums
    with pytest.raises(errors.InvalidPart):
        bucket.complete_multipart_upload("k", upload.id, [(1, part.etag, {"sha1": of("sha1", b"y")})])
    with pytest.raises(errors.InvalidRequest):
        bucket.complete_multipart_upload("k", upload.id, [(1, part.etag)], checksums={"sha1": sums["sha1"]})
    bucket.complete_multipart_upload("k", upload.id, [(1, part.etag, sums)])
    assert bucket.head_object("k").checksums == {}


def test_the_checksums_of_parts_can_be_had_again_from_the_object(bucket: mstbucket.Bucket) -> None:
    """[SUM-12]: they are not kept, since the sizes and the bytes say them; all of them give the object's."""
    upload, sent = begun(bucket, BODIES, checksum_algorithm="sha256")
    bucket.complete_multipart_upload("k", upload, named(sent))
    info = bucket.head_object("k")
    assert info.parts_count == 4
    again = [of("sha256", bucket.get_object("k", part_number=n).read()) for n in range(1, 5)]
    assert again == [part.checksums["sha256"] for part in sent]
    assert info.checksums["sha256"] == f"{of('sha256', b''.join(map(b64decode, again)))}-4"


def test_a_replaced_part_takes_its_checksum_along(bucket: mstbucket.Bucket) -> None:
    upload, sent = begun(bucket, [b"1", b"2"], checksum_algorithm="crc64nvme")
    sent[1] = bucket.upload_part("k", upload, 2, b"two")
    done = bucket.complete_multipart_upload("k", upload, named(sent))
    assert done.checksums == {"crc64nvme": of("crc64nvme", b"1two")}
