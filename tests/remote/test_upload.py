"""The writer of bodies of unknown length: parts that reach S3's largest object, in bounded memory: [S3B-4], [S3B-8]."""

from __future__ import annotations

import io
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mstbucket.errors import EntityTooLarge, InvalidInput, StorageError, Unsupported
from mstbucket.limits import MIB, PART_SIZE_MAX, PART_SIZE_MIN, PARTS_MAX, PUT_SIZE_MAX
from mstbucket.remote import S3Bucket, upload
from mstbucket.remote.upload import FIRST_PART, PUT_MAX, S3Writer, part_size

SIZES = [0, 1, FIRST_PART - 1, FIRST_PART, FIRST_PART + 1, 2 * FIRST_PART, 2 * FIRST_PART + 1]


def test_ten_thousand_parts_reach_the_largest_blob() -> None:
    """[S3B-8]"""
    sizes = [part_size(number) for number in range(PARTS_MAX)]
    assert sizes == sorted(sizes)
    assert PART_SIZE_MIN <= sizes[0] == FIRST_PART
    assert sizes[-1] <= PART_SIZE_MAX == PUT_MAX
    assert sum(sizes) > PUT_SIZE_MAX + PUT_SIZE_MAX // 1024  # and what a pack adds


@pytest.mark.s3
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [MIB - 1, 3 * FIRST_PART], ids=["small pieces", "one piece"])
def test_any_size_in_any_pieces_comes_back(corner: Any, size: int, piece: int) -> None:
    """[S3B-8]"""
    data = os.urandom(size)
    bucket, key = corner.bucket(), f"{corner.prefix}a"
    with bucket.open_write(key) as writer:
        for start in range(0, size, piece):
            writer.write(memoryview(data)[start : start + piece])
        written = writer.commit()
    found = bucket.head(key)
    assert found.listed.size == written.size == size
    assert found.listed.etag == written.etag
    assert ("-" in written.etag) == (size > FIRST_PART)  # one PUT up to there
    assert corner.read("a") == data


@pytest.mark.s3
def test_a_stream_is_put_in_place_of_what_is_there(corner: Any) -> None:
    bucket, key = corner.bucket(), f"{corner.prefix}a"
    for data in (b"first", b"", os.urandom(FIRST_PART + 5)):
        assert bucket.put_stream(key, io.BytesIO(data)).size == len(data)
        with bucket.open_read(key) as stream:
            assert stream.read() == data


@pytest.mark.s3
@pytest.mark.parametrize(
    "start", [S3Bucket.open_write, S3Bucket.open_write_if_absent], ids=["in parts", "in one PUT or in parts"]
)
def test_memory_does_not_grow_with_the_body(corner: Any, start: Callable[[S3Bucket, str], S3Writer]) -> None:
    """[S3B-8] [BLOB-10]"""
    piece = os.urandom(MIB)
    bucket = corner.bucket()
    bucket.put(f"{corner.prefix}warm", b"")
    tracemalloc.start()
    try:
        with start(bucket, f"{corner.prefix}a") as writer:
            for _ in range(100):
                writer.write(piece)
            assert writer.commit().size == 100 * MIB
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert FIRST_PART <= peak < 2 * FIRST_PART


@pytest.mark.s3
def test_the_part_after_the_last_is_refused_and_nothing_stays(corner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[S3B-8] [S3B-10]"""
    monkeypatch.setattr(upload, "FIRST_PART", PART_SIZE_MIN)
    monkeypatch.setattr(upload, "PARTS_MAX", 2)
    bucket, key = corner.bucket(), f"{corner.prefix}a"
    with bucket.open_write(key) as writer:
        writer.write(bytes(2 * PART_SIZE_MIN))
        assert writer.commit().etag.endswith("-2")
    writer = bucket.open_write(key)
    with pytest.raises(EntityTooLarge, match="a"):
        writer.write(bytes(2 * PART_SIZE_MIN + 1))
    with pytest.raises(InvalidInput, match="has ended"):
        writer.commit()
    assert corner.uploads() == []
    assert corner.read("a") == bytes(2 * PART_SIZE_MIN)


@pytest.mark.s3
def test_what_one_put_cannot_take_is_refused_where_parts_would_race(corner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[S3B-4]"""
    monkeypatch.setattr(upload, "PUT_MAX", FIRST_PART + 10)
    monkeypatch.setattr(S3Bucket, "checks_completion", lambda *_: False)
    bucket = corner.bucket()
    for size in (FIRST_PART + 10, FIRST_PART + 11):
        with bucket.open_write_if_absent(f"{corner.prefix}{size}") as writer:
            if size == FIRST_PART + 10:
                writer.write(bytes(size))
                assert writer.commit().size == size
            else:
                with pytest.raises(Unsupported, match="at most"):
                    writer.write(bytes(size))
    assert corner.names() == [str(FIRST_PART + 10)]


@pytest.mark.s3
def test_no_room_for_temporary_files_says_where(corner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[S3B-11]"""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    monkeypatch.setattr(S3Bucket, "checks_completion", lambda *_: False)
    with pytest.raises(StorageError, match=r"/nowhere/at/all.*TMPDIR"), corner.open().open_write("packs/a") as writer:
        writer.write(bytes(FIRST_PART + 1))
