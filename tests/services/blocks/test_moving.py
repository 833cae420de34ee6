"""A store whose blobs move to another place: the same bucket, commit and CAR, from wherever the copy was ended."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from seen import exported

import mstbucket
from mstbucket import errors
from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.blobs.media.copy import COMPARED, copy_blobs, remove_extra
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.media.places import open_blobs
from mstbucket.blobs.media.s3 import S3Blobs
from mstbucket.blobs.names import REFS, STORE, pack_name

Open = Callable[[BlobStore], mstbucket.Store]


@pytest.fixture
def opened(open_store: Callable[..., mstbucket.Store]) -> Open:
    """Opens the test's store with its blobs anywhere."""
    return lambda blobs: open_store(blobs=blobs)


def fill(bucket: mstbucket.Bucket, seed: int = 1) -> None:
    rng = random.Random(seed)
    for n in range(4):
        bucket.put_objects(mstbucket.PutRequest(f"{seed}/{n}/{i}", rng.randbytes(rng.randrange(900))) for i in range(30))
        bucket.put_object(f"{seed}/{n}", rng.randbytes(200_000))
        bucket.flush()


def content(blobs: BlobStore) -> dict[str, bytes]:
    return {info.name: blobs.get_range(info.name, 0, info.size) for info in blobs.list()}


class Watched(MemoryBlobs):
    """Memory that notes what is written, in order, and can fail at the n-th blob, or return other bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.room = 10**9
        self.wrong = False

    def open_write(self, name: str) -> BlobWriter:
        if len(self.written) >= self.room:
            raise errors.StorageError("full")
        self.written.append(name)
        return super().open_write(name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = super().get_range(name, start, length)
        return data[:-1] + bytes([data[-1] ^ 1]) if self.wrong and data else data


def move(opened: Open, places: list[BlobStore]) -> None:
    """Through all places; at each the bucket is the same, and works on."""
    bucket = opened(places[0]).create_bucket("things")
    fill(bucket)
    for n, (old, new) in enumerate(pairwise(places)):
        file, commit = exported(bucket), bucket.head_commit()
        report = copy_blobs(old, new)
        assert report.copied == len(list(old.list()))
        assert (report.present, report.extra) == (0, 0)
        assert content(new) == content(old)
        again = copy_blobs(old, new)
        assert (again.copied, again.present) == (0, report.copied)
        for info in list(old.list()):
            old.delete(info.name)
        bucket = opened(new).bucket("things")
        assert bucket.head_commit() == commit
        assert exported(bucket) == file
        fill(bucket, seed=n + 2)
        assert bucket.verify().objects == 124 * (n + 2)


def test_from_a_directory_to_memory_and_to_another_directory(opened: Open, tmp_path: Path) -> None:
    """[STO-11]."""
    move(opened, [LocalBlobs(tmp_path / "a"), MemoryBlobs(), LocalBlobs(tmp_path / "b")])


@pytest.mark.s3
def test_from_a_directory_to_a_service_and_back(opened: Open, s3_service: Any, tmp_path: Path) -> None:
    """[STO-11]: a real one."""
    place = f"s3://{s3_service.bucket}/moved-{tmp_path.name}?endpoint={s3_service.endpoint}&region={s3_service.region}"
    service = open_blobs(place)
    assert isinstance(service, S3Blobs)
    move(opened, [LocalBlobs(tmp_path / "a"), service, LocalBlobs(tmp_path / "b")])


@pytest.mark.parametrize("room", [0, 1, 5, 9])
def test_a_copy_that_was_ended_goes_on_with_the_rest(opened: Open, room: int, tmp_path: Path) -> None:
    """[STO-12]: refs are last, so what is there never names what is not; then the identity, so a part is nobody's place."""
    source, target = LocalBlobs(tmp_path / "a"), Watched()
    fill(opened(source).create_bucket("things"))
    target.room = room
    with pytest.raises(errors.StorageError, match="full"):
        copy_blobs(source, target)
    if any(name.startswith(REFS) for name in target.blobs):
        assert {name for name in content(source) if not name.startswith((REFS, STORE))} <= set(target.blobs)
    assert STORE not in target.blobs
    target.room = 10**9
    report = copy_blobs(source, target)
    assert (report.copied, report.present) == (len(list(source.list())) - room, room)
    assert content(target) == content(source)
    assert sorted([*target.written, STORE]) == sorted(content(source))
    assert [name.startswith(REFS) for name in target.written] == sorted(name.startswith(REFS) for name in target.written)


@pytest.mark.parametrize("change", ["longer", "end", "start"])
def test_another_blob_under_a_name_is_refused(tmp_path: Path, change: str) -> None:
    """[STO-13]: and not touched; a small one is compared whole."""
    source, target = LocalBlobs(tmp_path / "a"), MemoryBlobs()
    name, data = pack_name(), random.Random(1).randbytes(COMPARED)
    source.put(name, data)
    other = {"longer": data + b"x", "end": data[:-1] + b"\0", "start": b"\0" + data[1:]}[change]
    target.put(name, other)
    with pytest.raises(errors.BlobExists, match="another store"):
        copy_blobs(source, target)
    assert content(target) == {name: other}


def test_what_comes_back_is_compared_with_what_was_written() -> None:
    """[STO-11]: a target that changes bytes is found out, and the bad copy goes."""
    source, target = MemoryBlobs(), Watched()
    name = pack_name()
    source.put(name, bytes(20_000_000))
    target.wrong = True
    with pytest.raises(errors.HashMismatch, match=name):
        copy_blobs(source, target)
    assert target.blobs == {}
    target.wrong = False
    assert copy_blobs(source, target).copied == 1


class WrongAt(MemoryBlobs):
    """Flips a bit in some of its answers; the blobs stay as they are."""

    def __init__(self, *answers: int) -> None:
        super().__init__()
        self._wrong = answers
        self._answers = 0

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = super().get_range(name, start, length)
        self._answers += 1
        return bytes([data[0] ^ 4]) + data[1:] if self._answers in self._wrong else data


@pytest.mark.parametrize("answer", range(1, 9))
def test_one_wrong_answer_of_the_source_is_not_copied(answer: int) -> None:
    """[STO-11] [PACK-10]: whichever it is, the copy is what the source holds."""
    source, target = WrongAt(answer), MemoryBlobs()
    names = [pack_name() for _ in range(3)]
    for name in names:
        source.put_if_absent(name, b"bytes of " + name.encode())
    assert copy_blobs(source, target).copied == 3
    assert target.blobs == source.blobs


def test_a_source_that_gives_other_bytes_each_time_is_refused() -> None:
    """[STO-11]"""
    source, target = WrongAt(*range(1, 99, 2)), MemoryBlobs()
    source.put_if_absent(pack_name(), b"some bytes")
    with pytest.raises(errors.HashMismatch, match="reads differently"):
        copy_blobs(source, target)
    assert target.blobs == {}


def test_an_empty_source_is_a_mistake(tmp_path: Path) -> None:
    """[STO-14]: and above all it empties no target."""
    target = MemoryBlobs()
    target.put(pack_name(), b"x")
    for work in (copy_blobs, remove_extra):
        with pytest.raises(errors.NotFound):
            work(LocalBlobs(tmp_path / "a"), target)
    assert len(target.blobs) == 1


def test_a_store_that_is_in_use_is_copied_in_two_passes(opened: Open, tmp_path: Path) -> None:
    """[STO-14]: writers, compaction and a copy at once; then the second pass, with the store closed."""
    source, target = LocalBlobs(tmp_path / "a"), LocalBlobs(tmp_path / "b")
    (tmp_path / "b" / "Foreign.txt").write_text("left alone")
    store = opened(source)
    bucket = store.create_bucket("things")
    fill(bucket)
    stop = threading.Event()
    problems: list[BaseException] = []

    def write() -> None:
        try:
            seed = 2
            while not stop.is_set():
                fill(bucket, seed)
                store.compact()
                seed += 1
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(3):
        copy_blobs(source, target)
    stop.set()
    thread.join()
    assert problems == []
    file = exported(bucket)
    store.close()
    copy_blobs(source, target)
    remove_extra(source, target)
    assert content(target) == content(source)
    moved = opened(target).bucket("things")
    assert exported(moved) == file
    moved.verify()
    assert (tmp_path / "b" / "Foreign.txt").exists()


class Vanishing(LocalBlobs):
    """A directory in which a blob goes between the listing and its reading."""

    gone = ""

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        found = list(super().list(prefix, after))
        if self.gone:
            super().delete(self.gone)
        return iter(found)


def test_a_blob_that_goes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    """[STO-14]."""
    source, target = Vanishing(tmp_path / "a"), MemoryBlobs()
    names = sorted(pack_name() for _ in range(3))
    for name in names:
        source.put(name, b"x")
    source.gone = names[1]
    report = copy_blobs(source, target)
    assert (report.copied, sorted(target.blobs)) == (2, [names[0], names[2]])
