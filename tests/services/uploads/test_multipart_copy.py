"""Parts copied from objects: ranges, codes, and which bytes are written."""

from __future__ import annotations

import hashlib
import random

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.limits import MIB
from mstbucket.services.blocks.incoming import Incoming
from mstbucket.services.uploads import parts

DATA = random.Random(17).randbytes(3 * MIB + 11)


@pytest.fixture
def upload(bucket: mstbucket.Bucket) -> str:
    """An open upload, and an object `source` to copy from."""
    bucket.put_object("source", DATA)
    return bucket.create_multipart_upload("k").id


def packs(bucket: mstbucket.Bucket) -> int:
    return len(list(bucket._context.blobs.list("packs/")))


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [
        (None, 0, len(DATA)),
        ("bytes=0-0", 0, 1),
        (f"bytes=0-{len(DATA) - 1}", 0, len(DATA)),
        (f"bytes={MIB}-{2 * MIB - 1}", MIB, 2 * MIB),
        (f"bytes={2 * MIB}-{len(DATA) - 1}", 2 * MIB, len(DATA)),
        (f"bytes=7-{2 * MIB}", 7, 2 * MIB + 1),
        ("bytes=99-200000", 99, 200_001),
    ],
    ids=["no range", "one byte", "all", "a chunk", "to the end", "across chunks", "inside a chunk"],
)
def test_a_copied_part_is_the_range(bucket: mstbucket.Bucket, upload: str, span: str | None, start: int, stop: int) -> None:
    """[MPU-13]."""
    part = bucket.upload_part_copy("k", upload, 1, "source", range=span)
    assert (part.size, part.etag) == (stop - start, hashlib.md5(DATA[start:stop]).hexdigest())
    bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
    assert bucket.get_object("k").read() == DATA[start:stop]
    assert bucket.head_object("k").content == bucket.put_object("p", DATA[start:stop]).content


@pytest.mark.parametrize(
    ("span", "code", "status"),
    [
        (f"bytes=0-{len(DATA)}", "InvalidRange", 416),
        (f"bytes={len(DATA)}-{len(DATA) + 5}", "InvalidRange", 416),
        ("bytes=5-4", "InvalidArgument", 400),
        ("bytes=5-", "InvalidArgument", 400),
        ("bytes=-5", "InvalidArgument", 400),
        ("bytes=0-1,3-4", "InvalidArgument", 400),
        ("0-4", "InvalidArgument", 400),
        ("bytes=0-" + "9" * 5000, "InvalidArgument", 400),
    ],
    ids=["one past the end", "behind", "backwards", "open end", "suffix", "several", "no unit", "huge"],
)
def test_a_range_that_is_refused(bucket: mstbucket.Bucket, upload: str, span: str, code: str, status: int) -> None:
    """[MPU-13]."""
    with pytest.raises(errors.InvalidInput) as caught:
        bucket.upload_part_copy("k", upload, 1, "source", range=span)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert bucket.list_parts("k", upload).parts == ()


def test_a_source_that_is_missing_or_too_large(
    bucket: mstbucket.Bucket, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.NoSuchKey):
        bucket.upload_part_copy("k", upload, 1, "not there")
    with pytest.raises(errors.NoSuchBucket):
        bucket.upload_part_copy("k", upload, 1, "source", source_bucket="nowhere")
    monkeypatch.setattr(parts, "PART_SIZE_MAX", 2 * MIB)
    with pytest.raises(errors.EntityTooLarge):
        bucket.upload_part_copy("k", upload, 1, "source")
    assert bucket.upload_part_copy("k", upload, 1, "source", range=f"bytes=0-{2 * MIB - 1}").size == 2 * MIB


def test_chunks_that_the_store_has_are_not_written_again(
    store: mstbucket.Store, bucket: mstbucket.Bucket, upload: str
) -> None:
    """[MPU-5]: also from another bucket; where the range cuts chunks anew they are written."""
    before = packs(bucket)
    bucket.upload_part_copy("k", upload, 1, "source")
    other = store.create_bucket("other")
    there = other.create_multipart_upload("k").id
    other.upload_part_copy("k", there, 1, "source", source_bucket="things", range=f"bytes={MIB}-{len(DATA) - 1}")
    assert packs(bucket) == before
    bucket.upload_part_copy("k", upload, 2, "source", range=f"bytes=1-{len(DATA) - 1}")
    assert packs(bucket) == before + 1


def test_a_chunk_that_is_collected_meanwhile_is_written_after_all(
    bucket: mstbucket.Bucket, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[MPU-5]: the chunks of the range are those of another object; its blocks go before the part is recorded."""
    bucket.put_object("other", DATA[5 : 5 + 2 * MIB])
    seal = Incoming.seal

    def collect(self: Incoming) -> None:
        monkeypatch.setattr(Incoming, "seal", seal)  # once
        seal(self)
        bucket.delete_object("other")
        with bucket._context.db.connection() as connection:
            cids = [b"\x01\x55\x12\x20" + hashlib.sha256(DATA[at : at + MIB]).digest() for at in (5, 5 + MIB)]
            gone = connection.execute("DELETE FROM blocks WHERE cid = ANY (%s)", (cids,)).rowcount
        assert gone == 2

    monkeypatch.setattr(Incoming, "seal", collect)
    part = bucket.upload_part_copy("k", upload, 1, "source", range=f"bytes=5-{2 * MIB + 4}")
    bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
    assert bucket.get_object("k").read() == DATA[5 : 5 + 2 * MIB]
