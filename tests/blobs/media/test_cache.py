"""The local cache of a remote store: the whole contract, fewer bytes from afar, a bound, and no byte that is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.cache import PAGE, CachedBlobs
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.errors import InvalidInput, NoSuchBlob, StorageError
from mstbucket.testing import BlobMedium, BlobStoreContract
from mstbucket.testing.medium import in_threads

NAME = "packs/a"
BODY = random.Random(1).randbytes(5 * PAGE + 1234)


class Directory:
    """A directory behind a cache; raw access is to what is behind."""

    def __init__(self, path: Path, cache: Path) -> None:
        self.path = path
        self.cache = cache

    def open(self) -> BlobStore:
        return CachedBlobs(LocalBlobs(self.path), self.cache, 4 * PAGE)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


class TestCached(BlobStoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> BlobMedium:
        return Directory(tmp_path / "blobs", tmp_path / "cache")


class Remote(MemoryBlobs):
    """Notes what is transferred."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs[NAME] = BODY
        self.reads: list[tuple[int, int]] = []

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self.reads.append((start, length))
        return super().get_range(name, start, length)


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def cached(remote: Remote, tmp_path: Path) -> Callable[[int], CachedBlobs]:
    """Opens a cache of so many pages, always in the same directory."""
    return lambda pages: CachedBlobs(remote, tmp_path / "cache", pages * (PAGE + 8))


def held(path: Path) -> int:
    return sum(file.stat().st_size for file in (path / "cache").iterdir())


@given(
    ranges=st.lists(st.tuples(st.integers(0, len(BODY)), st.integers(0, 3 * PAGE)), max_size=30), pages=st.integers(1, 7)
)
@settings(max_examples=25)
def test_every_range_is_right_whatever_is_kept(
    ranges: list[tuple[int, int]], pages: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """[BLOB-7], [STO-17]: and never more is kept than the bound."""
    path = tmp_path_factory.mktemp("property")
    blobs = CachedBlobs(Remote(), path / "cache", pages * (PAGE + 8))
    for start, length in ranges:
        wanted = BODY[start : start + length]
        assert blobs.get_range(NAME, start, len(wanted)) == wanted
        assert held(path) <= pages * (PAGE + 8)


def test_what_was_read_is_not_fetched_again(remote: Remote, cached: Callable[[int], CachedBlobs]) -> None:
    blobs = cached(10)
    assert blobs.get_range(NAME, 0, len(BODY)) == BODY
    assert len(remote.reads) == 1
    for one in (blobs, cached(10)):  # also by the next process
        assert one.get_range(NAME, PAGE - 5, 3 * PAGE) == BODY[PAGE - 5 : 4 * PAGE - 5]
    assert len(remote.reads) == 1


def test_only_missing_pages_are_fetched_neighbours_together(remote: Remote, cached: Callable[[int], CachedBlobs]) -> None:
    blobs = cached(10)
    blobs.get_range(NAME, 2 * PAGE, 10)
    assert remote.reads == [(2 * PAGE, PAGE)]
    assert blobs.get_range(NAME, 0, len(BODY)) == BODY
    assert remote.reads[1:] == [(0, 2 * PAGE), (3 * PAGE, 2 * PAGE + 1234)]


def test_the_least_used_go_first(remote: Remote, cached: Callable[[int], CachedBlobs], tmp_path: Path) -> None:
    """[STO-17]"""
    blobs = cached(3)
    for number in (0, 1, 2, 0, 3):  # 1 is the one not used for longest
        blobs.get_range(NAME, number * PAGE, 1)
    remote.reads.clear()
    for number in (0, 2, 3):
        blobs.get_range(NAME, number * PAGE, 1)
    assert remote.reads == []
    blobs.get_range(NAME, PAGE, 1)
    assert remote.reads == [(PAGE, PAGE)]
    cached(1)
    assert held(tmp_path) <= PAGE + 8


def test_what_is_gone_behind_the_cache_is_gone(remote: Remote, cached: Callable[[int], CachedBlobs]) -> None:
    """[BLOB-5]"""
    blobs = cached(10)
    blobs.get_range(NAME, 0, 100)
    del remote.blobs[NAME]
    with pytest.raises(NoSuchBlob, match=NAME):
        blobs.get_range(NAME, 0, 100)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:7],
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data + b"\0",
    ],
    ids=["cut", "empty", "no page", "a bit of the page", "a bit of the checksum", "longer"],
)
def test_a_damaged_page_is_fetched_again(
    damage: Callable[[bytes], bytes], remote: Remote, cached: Callable[[int], CachedBlobs], tmp_path: Path
) -> None:
    """[STO-16]"""
    blobs = cached(10)
    blobs.get_range(NAME, 0, len(BODY))
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(damage(file.read_bytes()))
    for one in (blobs, cached(10), blobs):
        assert one.get_range(NAME, 0, len(BODY)) == BODY
    assert len(remote.reads) == 2


def test_a_cache_that_vanishes_or_cannot_be_written_is_no_reason_to_fail(
    remote: Remote, cached: Callable[[int], CachedBlobs], tmp_path: Path
) -> None:
    """[STO-16]"""
    blobs = cached(10)
    blobs.get_range(NAME, 0, len(BODY))
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    (tmp_path / "cache").rmdir()
    for _ in range(2):
        assert blobs.get_range(NAME, 0, len(BODY)) == BODY


def test_what_a_killed_process_left_goes_and_foreign_files_stay(
    cached: Callable[[int], CachedBlobs], tmp_path: Path
) -> None:
    cached(1)
    (tmp_path / "cache" / ("0" * 16 + ".new")).write_bytes(b"half a page")
    (tmp_path / "cache" / "README").write_bytes(b"mine")
    cached(1)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["README"]


def test_a_cache_needs_room_and_a_directory(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="give it more"):
        CachedBlobs(remote, tmp_path / "cache", PAGE)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be used"):
        CachedBlobs(remote, tmp_path / "file", 10 * PAGE)


def test_many_threads_read_what_is_right(cached: Callable[[int], CachedBlobs], tmp_path: Path) -> None:
    blobs = cached(3)

    def read(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(30):
            start = rng.randrange(len(BODY))
            wanted = BODY[start : start + rng.randrange(2 * PAGE)]
            assert blobs.get_range(NAME, start, len(wanted)) == wanted

    in_threads(read, range(6))
    assert held(tmp_path) <= 3 * (PAGE + 8)
