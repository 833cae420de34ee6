"""Files that are read and written: whole or not at all, one block held, and what a transaction does."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem
from mstbucket.limits import FSSPEC_BLOCK_SIZE, MIB

BLOCK = 5 * MIB  # the least that a block can have


def uploads(store: mstbucket.Store) -> int:
    return len(store.bucket("things").list_multipart_uploads().uploads)


def body(size: int) -> bytes:
    return bytes(bytearray(index * 7 % 251 for index in range(1000)) * (size // 1000 + 1))[:size]


def test_a_file_is_there_when_it_was_closed_and_not_before(fs: MstBucketFileSystem) -> None:
    """[FS-11]"""
    with fs.open("things/a", "wb") as file:
        file.write(b"one, ")
        file.write(b"two")
        assert not fs.exists("things/a")
    assert fs.cat_file("things/a") == b"one, two"


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 3])
@pytest.mark.parametrize("step", [MIB - 1, 3 * BLOCK])
def test_a_file_has_the_cid_of_the_same_bytes_put_at_once(
    fs: MstBucketFileSystem, store: mstbucket.Store, size: int, step: int
) -> None:
    """[FS-12] Whatever the sizes of the writes are; and no upload is left open."""
    content = body(size)
    with fs.open("things/written", "wb", block_size=1) as file:
        for at in range(0, size, step):
            assert file.write(content[at : at + step]) == len(content[at : at + step])
    bucket = store.bucket("things")
    put = bucket.put_object("put", content)
    info = bucket.head_object("written")
    assert (info.content, info.size) == (put.content, size)
    assert all(part % MIB == 0 for part in info.parts[:-1])
    assert uploads(store) == 0


def test_an_object_of_less_than_a_block_is_one_put(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-12]"""
    with fs.open("things/small", "wb") as file:
        file.write(body(BLOCK))
    assert store.bucket("things").head_object("small").parts == ()


def test_writing_holds_one_block(fs: MstBucketFileSystem) -> None:
    """[FS-12] 64 MiB are written, and a quarter of them is never held: a block, a copy of it on its way, and room."""
    piece = body(MIB)
    tracemalloc.start()
    try:
        with fs.open("things/large", "wb") as file:
            for _ in range(64):
                file.write(piece)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * FSSPEC_BLOCK_SIZE
    assert fs.info("things/large")["size"] == 64 * MIB


def test_more_blocks_than_an_upload_has_parts_are_refused(
    fs: MstBucketFileSystem, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mstbucket.fsspec.files.PARTS_MAX", 2)
    file = fs.open("things/large", "wb", block_size=BLOCK)
    with pytest.raises(OSError, match="block_size"):
        file.write(bytes(3 * BLOCK))
    file.close()
    assert not fs.exists("things/large")
    assert uploads(store) == 0


def _write_half(fs: MstBucketFileSystem, size: int, compression: str | None) -> None:
    with fs.open("things/a", "wb", block_size=BLOCK, compression=compression) as file:
        file.write(os.urandom(size))
        1 / 0


@pytest.mark.parametrize("size", [3, BLOCK + 3])
def test_a_file_that_is_left_by_an_error_is_not_stored(
    fs: MstBucketFileSystem, store: mstbucket.Store, size: int
) -> None:
    """[FS-13]"""
    fs.pipe_file("things/a", b"before")
    for compression in (None, "gzip"):
        with pytest.raises(ZeroDivisionError):
            _write_half(fs, size, compression)
    assert fs.cat_file("things/a") == b"before"
    assert uploads(store) == 0


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("size", [3, BLOCK + 3])
def test_a_file_that_is_dropped_is_not_stored_and_that_is_said(
    fs: MstBucketFileSystem, store: mstbucket.Store, size: int, compression: str | None
) -> None:
    """[FS-13]"""
    opened = [fs.open("things/a", "wb", block_size=BLOCK, compression=compression)]
    opened[0].write(os.urandom(size))
    with pytest.warns(RuntimeWarning, match="not stored"):
        opened.clear()
    assert not fs.exists("things/a")
    assert uploads(store) == 0


def test_a_file_that_could_not_be_sent_is_not_stored_by_its_close(
    fs: MstBucketFileSystem, store: mstbucket.Store
) -> None:
    """[FS-13] The bucket is made anew in the middle, so the upload has gone; what was sent later must not be all of it."""
    file = fs.open("things/a", "wb", block_size=BLOCK)
    file.write(bytes(BLOCK))
    store.delete_bucket("things")
    store.create_bucket("things")
    with pytest.raises(FileNotFoundError):
        file.write(bytes(BLOCK))
    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")
    file.close()
    assert not fs.exists("things/a")


def test_text_is_written_and_read(fs: MstBucketFileSystem) -> None:
    with fs.open("things/text", "w", encoding="utf-8", newline="") as file:
        file.write("zwölf\nBoxkämpfer\n")
    with fs.open("things/text", "r", encoding="utf-8") as file:
        assert list(file) == ["zwölf\n", "Boxkämpfer\n"]
    with fs.open("things/text.gz", "wt", compression="infer") as file:
        file.write("packed")
    assert fs.cat_file("things/text.gz")[:2] == b"\x1f\x8b"
    with fs.open("things/text.gz", "rt", compression="infer") as file:
        assert file.read() == "packed"


@pytest.mark.parametrize("mode", ["ab", "a", "r+b", "w+b", "x+b"])
def test_what_an_object_cannot_do_is_refused(fs: MstBucketFileSystem, mode: str) -> None:
    """[FS-11]"""
    fs.pipe_file("things/a", b"before")
    with pytest.raises(io.UnsupportedOperation, match="as a whole"):
        fs.open("things/a", mode)
    assert fs.cat_file("things/a") == b"before"


@pytest.mark.parametrize("size", [1, BLOCK + 1])
def test_of_two_exclusive_writers_one_succeeds(
    fs: MstBucketFileSystem, store: mstbucket.Store, size: int
) -> None:
    """[FS-11] Both began when there was nothing: the commit decides."""
    first, second = (fs.open("things/a", "xb", block_size=BLOCK) for _ in range(2))
    first.write(b"1" * size)
    second.write(b"2" * size)
    first.close()
    with pytest.raises(FileExistsError):
        second.close()
    assert fs.cat_file("things/a") == b"1" * size
    assert uploads(store) == 0
    with pytest.raises(FileExistsError):
        fs.open("things/a", "xb")


def test_of_many_that_create_at_once_one_succeeds(fs: MstBucketFileSystem) -> None:
    """[FS-11]"""
    won: list[int] = []

    def create(number: int) -> None:
        try:
            fs.pipe_file("things/a", b"%d" % number, mode="create")
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [fs.cat_file("things/a")] == [b"%d" % number for number in won]


def test_a_file_that_was_overwritten_is_an_error_and_not_a_mixture(fs: MstBucketFileSystem) -> None:
    """[FS-10]"""
    fs.pipe_file("things/a", b"a" * 100)
    with fs.open("things/a", "rb", block_size=10, cache_type="none") as file:
        assert file.read(10) == b"a" * 10
        fs.pipe_file("things/a", b"b" * 100)
        with pytest.raises(OSError, match="overwritten"):
            file.read(10)


def test_a_file_that_was_overwritten_with_its_own_bytes_reads_on(fs: MstBucketFileSystem) -> None:
    fs.pipe_file("things/a", b"a" * 100)
    with fs.open("things/a", "rb", block_size=10, cache_type="none") as file:
        fs.pipe_file("things/a", b"a" * 100)
        assert file.read() == b"a" * 100


def test_seeking_reads_what_a_file_has_there(fs: MstBucketFileSystem) -> None:
    content = body(100_000)
    fs.pipe_file("things/a", content)
    with fs.open("things/a", "rb", block_size=1000) as file:
        assert (file.seek(-10, 2), file.read()) == (99_990, content[-10:])
        assert (file.seek(5), file.read(20), file.tell()) == (5, content[5:25], 25)
        assert file.read(0) == b""
        file.seek(200_000)
        assert file.read() == b""


# --- slices ---


def test_every_slice_is_that_of_the_bytes(fs: MstBucketFileSystem) -> None:
    for content in (b"", b"a", b"abcdef"):
        fs.pipe_file("things/a", content)
        for start in (None, *range(-8, 9)):
            for end in (None, *range(-8, 9)):
                assert fs.cat_file("things/a", start, end) == content[start:end], (content, start, end)


def test_slices_of_many_objects_come_in_the_order_in_which_they_were_asked_for(fs: MstBucketFileSystem) -> None:
    """[FS-9]"""
    fs.pipe({f"things/{number}": b"%03d" % number for number in range(30)})
    paths = [f"things/{number}" for number in range(30)]
    assert fs.cat_ranges(paths, 1, 3) == [b"%02d" % number for number in range(30)]
    assert fs.cat_ranges(paths[:2], [0, -1], [1, None]) == [b"0", b"1"]
    assert fs.cat_ranges([], 0, 1) == []
    got = fs.cat_ranges(["things/3", "things/none"], 0, 1)
    assert got[0] == b"0"
    assert isinstance(got[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["things/none"], 0, 1, on_error="raise")
    with pytest.raises(ValueError, match="2 starts"):
        fs.cat_ranges(["things/1"], [0, 1], 2)


def test_the_bytes_of_many_objects_come_by_path(fs: MstBucketFileSystem) -> None:
    fs.pipe({"things/a/1": b"1", "things/a/b/2": b"2", "things/3": b"3"})
    assert fs.cat("things/3") == fs.cat("things/3", recursive=True) == b"3"
    assert fs.cat(["things/3"]) == {"things/3": b"3"}
    assert fs.cat("things/a", recursive=True) == {"things/a/1": b"1", "things/a/b/2": b"2"}
    assert fs.cat("things/**/[12]") == {"things/a/1": b"1", "things/a/b/2": b"2"}
    assert fs.cat(["things/3", "things/none"], on_error="omit") == {"things/3": b"3"}
    assert isinstance(fs.cat(["things/none"], on_error="return")["things/none"], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat(["things/3", "things/none"])


# --- transactions ---

WRITES: dict[str, Callable[[MstBucketFileSystem, str, Any], None]] = {
    "a small file": lambda fs, path, _: fs.write_bytes(path, b"x"),
    "an empty file": lambda fs, path, _: fs.touch(path),
    "a large file": lambda fs, path, _: _write(fs, path, 2 * BLOCK + 1),
    "pipe": lambda fs, path, _: fs.pipe(path, b"x"),
    "pipe that creates": lambda fs, path, _: fs.pipe_file(path, b"x", mode="create"),
    "put": lambda fs, path, local: fs.put(local, path),
}


def _write(fs: MstBucketFileSystem, path: str, size: int) -> None:
    with fs.open(path, "wb", block_size=BLOCK) as file:
        file.write(body(size))


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_what_a_transaction_writes_is_there_at_its_end(
    fs: MstBucketFileSystem, store: mstbucket.Store, write: Callable[..., None], tmp_path: Any
) -> None:
    """[FS-14]"""
    (tmp_path / "local").write_bytes(b"x")
    with fs.transaction:
        write(fs, "things/a", str(tmp_path / "local"))
        assert not fs.exists("things/a")
    assert fs.exists("things/a")
    assert uploads(store) == 0


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_transaction_that_is_discarded_leaves_nothing(
    fs: MstBucketFileSystem, store: mstbucket.Store, write: Callable[..., None], tmp_path: Any
) -> None:
    """[FS-14]"""
    (tmp_path / "local").write_bytes(b"x")
    fs.pipe_file("things/b", b"before")
    fs.start_transaction()
    write(fs, "things/a", str(tmp_path / "local"))
    _write(fs, "things/b", 3)
    fs.transaction.complete(commit=False)
    assert fs.find("things") == ["things/b"]
    assert fs.cat_file("things/b") == b"before"
    assert uploads(store) == 0
    fs.pipe_file("things/a", b"it is over")
    assert fs.exists("things/a")


def test_a_transaction_with_a_writer_that_lost_stores_the_others_that_came_before_and_leaves_no_upload(
    fs: MstBucketFileSystem, store: mstbucket.Store
) -> None:
    fs.start_transaction()
    fs.pipe_file("things/1", b"x")
    fs.pipe_file("things/2", b"x", mode="create")
    fs.pipe_file("things/3", b"x")
    store.bucket("things").put_object("2", b"somebody else's")
    with pytest.raises(FileExistsError):
        fs.end_transaction()
    assert fs.find("things") == ["things/1", "things/2"]
    assert fs.cat_file("things/2") == b"somebody else's"
    assert uploads(store) == 0


def test_a_file_left_open_in_a_transaction_is_closed_by_its_end(fs: MstBucketFileSystem) -> None:
    with fs.transaction:
        file = fs.open("things/a", "wb")
        file.write(b"x")
    assert fs.cat_file("things/a") == b"x"
