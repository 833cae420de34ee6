"""What who knows boto3 looks for: the names, and a body that is a file ([GET-6], [ARG-6])."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mstbucket
from mstbucket.errors import (
    InvalidInput,
    InvalidRange,
    NoSuchBucket,
    NoSuchFile,
    NoSuchKey,
    NoSuchUpload,
    NotAFile,
    StorageError,
)

BODY = random.Random(7).randbytes(5_300_000)  # a root over six chunks


def test_a_file_goes_in_and_comes_out(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(BODY)
    put = bucket.upload_file(tmp_path / "in", "k", content_type="a/b", metadata={"m": "v"}, tags={"t": "u"})
    assert put.etag == bucket.head_object("k").etag
    info = bucket.download_file("k", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == BODY
    assert (info.content_type, dict(info.metadata), dict(info.tags)) == ("a/b", {"m": "v"}, {"t": "u"})


def test_open_files_stay_open(bucket: mstbucket.Bucket) -> None:
    source, target = io.BytesIO(b"passed over" + BODY), io.BytesIO(b"head")
    source.seek(11)
    target.seek(4)
    bucket.upload_fileobj(source, "k")
    bucket.download_fileobj("k", target)
    assert target.getvalue() == b"head" + BODY
    assert not source.closed


def test_a_download_that_fails_leaves_the_file_that_was_there(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "out").write_bytes(b"before")
    with pytest.raises(NoSuchKey):
        bucket.download_file("k", here / "out")
    with pytest.raises(FileNotFoundError):
        bucket.upload_file(tmp_path / "none", "k")
    assert [path.name for path in here.iterdir()] == ["out"]
    assert (here / "out").read_bytes() == b"before"


def test_a_local_file_that_cannot_be_had_is_the_built_in_error_too(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[ARG-12] Each of them says the name; after each the bucket and the directory are as they were."""
    bucket.put_object("k", b"body")
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_bytes(b"")
    for call, kind, also in (
        (lambda: bucket.upload_file(here / "none", "n"), NoSuchFile, FileNotFoundError),
        (lambda: bucket.put_object("n", here / "none"), NoSuchFile, FileNotFoundError),
        (lambda: bucket.upload_file(here / "file" / "none", "n"), NoSuchFile, FileNotFoundError),
        (lambda: bucket.upload_file(here, "n"), NotAFile, IsADirectoryError),
        (lambda: bucket.download_file("k", here / "none" / "out"), NoSuchFile, FileNotFoundError),
        (lambda: bucket.download_file("k", here), NotAFile, IsADirectoryError),
        (lambda: mstbucket.verify_car(here / "none"), NoSuchFile, FileNotFoundError),
        (lambda: mstbucket.verify_car(here), NotAFile, IsADirectoryError),
    ):
        with pytest.raises(also, match=str(here)) as caught:
            call()  # type: ignore[no-untyped-call]
        assert type(caught.value) is kind
    assert [item.key for item in bucket.objects()] == ["k"]
    assert [path.name for path in here.iterdir()] == ["file"]


_NOBODY = """
import os, sys
from mstbucket.files.whole import reading
if os.geteuid() == 0:
    os.setuid(65534)  # root may read and write everything
try:
    with reading(sys.argv[1]):
        print("read")
except PermissionError as error:
    print(type(error).__name__, error)
"""


def test_a_local_file_that_is_not_permitted_is_a_permission_error(tmp_path: Path) -> None:
    """[ARG-12]"""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "file").chmod(0)
    command = [sys.executable, "-c", _NOBODY, str(tmp_path / "file")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.startswith("FileNotPermitted ")
    assert "check its permissions" in said


@pytest.mark.parametrize("wrong", [b"bytes", 7, None])
def test_what_is_no_file_is_refused(bucket: mstbucket.Bucket, wrong: object) -> None:
    with pytest.raises(InvalidInput, match="fileobj"):
        bucket.upload_fileobj(wrong, "k")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="fileobj"):
        bucket.download_fileobj("k", wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="filename"):
        bucket.upload_file(wrong, "k")  # type: ignore[arg-type]


def test_a_bucket_tells_of_itself(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    store.create_bucket("another")
    bucket.put_object("k", b"")
    assert [bucket.head_bucket()] == [info for info in store.list_buckets() if info.name == bucket.name]
    gone = store.create_bucket("gone")
    store.delete_bucket("gone")
    with pytest.raises(NoSuchBucket):
        gone.head_bucket()


def test_iterators_give_all_pages(bucket: mstbucket.Bucket) -> None:
    bucket.put_bucket_versioning("Enabled")
    bucket.put_objects(mstbucket.PutRequest(f"k{n % 700:03}", b"") for n in range(1400))
    bucket.delete_object("k000")
    found = list(bucket.versions("k"))
    assert (len(found), sum(item.delete_marker for item in found)) == (1401, 1)
    assert [item.key for item in found] == sorted(item.key for item in found)
    assert list(bucket.versions("l")) == []
    ids = [bucket.create_multipart_upload("u").id for _ in range(1003)]
    assert sorted(upload.id for upload in bucket.uploads("u")) == sorted(ids)
    for number in range(1, 1004):
        bucket.upload_part("u", ids[0], number, b"x")
    assert [part.number for part in bucket.parts("u", ids[0])] == list(range(1, 1004))
    with pytest.raises(NoSuchUpload):
        list(bucket.parts("u", "none"))


def test_the_second_listing_has_its_name_of_s3(bucket: mstbucket.Bucket) -> None:
    bucket.put_objects(mstbucket.PutRequest(key, b"") for key in ("a/1", "a/2", "b"))
    assert bucket.list_objects_v2("a", delimiter="/") == bucket.list_objects("a", delimiter="/")
    bucket.flush()
    with bucket.at(1) as view:
        assert view.list_objects_v2(max_keys=1) == view.list_objects(max_keys=1)


def test_a_reader_does_what_a_file_does(bucket: mstbucket.Bucket) -> None:
    """Against `io.BytesIO` over the same bytes, whole and of a range, in any order of seeks and reads."""
    bucket.put_object("k", BODY)
    chance = random.Random(3)
    for first, last in ((0, len(BODY) - 1), (1_500_000, 4_000_000)):
        oracle = io.BytesIO(BODY[first : last + 1])
        with bucket.get_object("k", range=f"bytes={first}-{last}") as reader:
            assert (reader.readable(), reader.seekable(), reader.writable(), reader.closed) == (True, True, False, False)
            for _ in range(60):
                whence = chance.choice((io.SEEK_SET, io.SEEK_CUR, io.SEEK_END))
                low = {io.SEEK_SET: 0, io.SEEK_CUR: -oracle.tell(), io.SEEK_END: -(last + 1 - first)}[whence]
                offset = max(low, chance.choice((0, 1, -1, 1000, chance.randrange(low, low + len(BODY)))))
                assert reader.seek(offset, whence) == oracle.seek(offset, whence)
                size = chance.choice((0, 1, 100, 1_200_000))
                assert reader.read(size) == oracle.read(size)
                assert reader.tell() == oracle.tell()
            assert reader.seek(-5, io.SEEK_END) == oracle.seek(-5, io.SEEK_END)
            assert reader.readall() == oracle.read()
            assert reader.readinto(bytearray(1)) == 0
        assert reader.closed


def test_a_seek_to_nowhere_is_refused(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", b"body")
    reader = bucket.get_object("k")
    with pytest.raises(InvalidInput, match="before the start"):
        reader.seek(-1)
    with pytest.raises(InvalidInput, match="whence"):
        reader.seek(0, 9)
    assert reader.read() == b"body"
    reader.close()
    for use in (reader.read, reader.tell, lambda: reader.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_damage_stays_an_error_after_a_seek(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GET-1]"""
    bucket.put_object("k", BODY)
    reader = bucket.get_object("k")
    reader.read(1)

    def fails(_cids: object) -> dict[bytes, bytes]:
        raise StorageError("the disk is away")

    monkeypatch.setattr(bucket._context.blocks, "get_many", fails)
    with pytest.raises(StorageError):
        reader.read()
    with pytest.raises(StorageError):
        reader.seek(0)


def test_zip_text_and_buffers_work_on_a_reader(bucket: mstbucket.Bucket) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("raw", BODY)
        archive.writestr("note.txt", "first light\nat six\n")
    bucket.put_object("k.zip", packed.getvalue())
    with bucket.get_object("k.zip") as reader, zipfile.ZipFile(reader) as archive:
        assert archive.read("note.txt") == b"first light\nat six\n"
        assert archive.testzip() is None
    bucket.put_object("t", "één\ntwee\n".encode())
    assert list(io.TextIOWrapper(bucket.get_object("t"), encoding="utf-8")) == ["één\n", "twee\n"]
    assert io.BufferedReader(bucket.get_object("t")).readline() == "één\n".encode()


def test_a_range_that_is_none_is_refused_as_before(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", b"body")
    with pytest.raises(InvalidRange):
        bucket.get_object("k", range="bytes=9-")
