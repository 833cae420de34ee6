"""Ways out: from an offset on, continued, with an index; the file is always the one file that the commit has."""

from __future__ import annotations

import hashlib
import io
import random
import struct
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core.car_reader import CarReader
from mstbucket.limits import CHUNK_SIZE


@pytest.fixture
def filled(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket of small objects, of bodies that come twice, and of one of several chunks."""
    rng = random.Random(5)
    for n in range(40):
        bucket.put_object(f"k{n}", rng.choice([b"same", rng.randbytes(300)]))
    bucket.put_object("large", rng.randbytes(2 * CHUNK_SIZE + 7))
    bucket.flush()
    return bucket


def exported(bucket: mstbucket.Bucket | mstbucket.BucketView, offset: int = 0) -> bytes:
    target = io.BytesIO()
    bucket.export_car(target, offset=offset)
    return target.getvalue()


def cuts(data: bytes) -> list[int]:
    """Places in an export where something could go wrong: around the header, and inside and between sections."""
    ends = [offset + len(block) for _, block, offset in CarReader(io.BytesIO(data))]
    return sorted({0, 1, 5, 40, 58, 59, 60, *ends[:3], ends[1] + 1, ends[-2], ends[-1] - 1, len(data) // 2, len(data)})


def test_an_export_from_an_offset_is_the_rest_of_the_file(filled: mstbucket.Bucket) -> None:
    """[CAR-23] With the hash and the length of the whole."""
    data = exported(filled)
    for offset in cuts(data):
        target = io.BytesIO()
        report = filled.export_car(target, offset=offset)
        assert target.getvalue() == data[offset:]
        assert report.sha256 == hashlib.sha256(data).hexdigest()
        assert report.bytes == len(data)
    with pytest.raises(errors.InvalidInput, match=f"{len(data)} bytes"):
        filled.export_car(io.BytesIO(), offset=len(data) + 1)
    with pytest.raises(errors.InvalidInput):
        filled.export_car(io.BytesIO(), offset=-1)


def test_a_file_that_was_cut_anywhere_is_continued(filled: mstbucket.Bucket, tmp_path: Path) -> None:
    """[CAR-24] After more was written to the bucket, too."""
    data = exported(filled)
    path = tmp_path / "part.car"
    then = filled.log().__next__().cid
    filled.put_object("later", b"x")
    filled.flush()
    with filled.at(then) as view:
        for cut in cuts(data):
            path.write_bytes(data[:cut])
            report = view.resume_export(path)
            assert path.read_bytes() == data, cut
            assert report.sha256 == hashlib.sha256(data).hexdigest()
        path.unlink()
        view.resume_export(path)
        assert path.read_bytes() == data


def test_what_is_damaged_or_too_much_in_the_file_is_written_again(filled: mstbucket.Bucket, tmp_path: Path) -> None:
    """[CAR-24] A bit, a hole of zeros as a crash may leave, other blocks, and bytes behind the end."""
    data = exported(filled)
    path = tmp_path / "part.car"
    middle = len(data) // 2
    first = next(iter(CarReader(io.BytesIO(data))))[2]
    other = data[:first] + data[first:][::-1]
    for bad in (
        data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        data[:middle] + bytes(1000),
        data + b"more",
        data + data[59:200],
        other,
    ):
        path.write_bytes(bad)
        with filled.at(1) as view:
            view.resume_export(path)
        assert path.read_bytes() == data


def test_a_file_that_is_something_else_is_refused_and_left(filled: mstbucket.Bucket, tmp_path: Path) -> None:
    """[CAR-24] And so is the export of another commit, which is named."""
    path = tmp_path / "part.car"
    first = exported(filled)
    filled.put_object("later", b"x")
    filled.flush()
    with filled.at(2) as view:
        for content, error in ((b"text", errors.InvalidCar), (b"text" * 100, errors.InvalidCar), (first, errors.Conflict)):
            path.write_bytes(content)
            with pytest.raises(error):
                view.resume_export(path)
            assert path.read_bytes() == content


def test_an_index_finds_every_block(filled: mstbucket.Bucket, tmp_path: Path) -> None:
    """[CAR-20] [CAR-21] [CAR-22] Read here field by field, as go-car does."""
    data = exported(filled)
    path = tmp_path / "indexed.car"
    report = filled.export_indexed(path)
    whole = path.read_bytes()
    assert report.sha256 == hashlib.sha256(whole).hexdigest()
    assert report.bytes == len(whole)
    assert whole[:11] == bytes.fromhex("0aa16776657273696f6e02")
    assert whole[11:27] == bytes(16)
    start, size, index = struct.unpack_from("<QQQ", whole, 27)
    assert whole[start : start + size] == data
    assert index == start + size
    assert whole[index : index + 2] == b"\x81\x08"  # 0x0401 as a varint
    codes, code, widths, width, length = struct.unpack_from("<iQiIQ", whole, index + 2)
    assert (codes, code, widths, width) == (1, 0x12, 1, 40)
    body = whole[index + 2 + 28 :]
    assert len(body) == length
    entries = [body[at : at + 40] for at in range(0, length, 40)]
    assert entries == sorted(entries)
    found = {(entry[:32], struct.unpack("<Q", entry[32:])[0]) for entry in entries}
    sections = list(CarReader(io.BytesIO(data)))
    ends = [59, *(offset + len(block) for _, block, offset in sections)]
    assert found == {(cid[4:], at) for (cid, _, _), at in zip(sections, ends, strict=False)}
    with pytest.raises(errors.InvalidCar, match="CARv2"):
        mstbucket.verify_car(path)
