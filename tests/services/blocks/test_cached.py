"""A store whose packs are far away, with a cache that is near: what was read once is not fetched again."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.blobs.base import BlobInfo
from mstbucket.blobs.media.cache import PAGE, CachedBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import STORE, pack_name, ref_name
from mstbucket.core.cid import raw_cid, to_text


class Counting(MemoryBlobs):
    """Memory that counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []
        self.heads = 0

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self.ranges.append((start, length))
        return super().get_range(name, start, length)

    def head(self, name: str) -> BlobInfo:
        self.heads += 1
        return super().head(name)


def test_of_a_pack_nothing_is_asked_twice(tmp_path: Path) -> None:
    """[STO-15]: neither its bytes nor whether it is there; another cache over the same directory asks for its size."""
    blobs = Counting()
    name, data = pack_name(), random.Random(1).randbytes(3 * PAGE + 5)
    blobs.put(name, data)
    cached = CachedBlobs(blobs, tmp_path / "cache", 100 * PAGE)
    for _ in range(3):
        assert cached.get_range(name, 7, len(data) - 7) == data[7:]
        assert cached.head(name).size == len(data)
        with pytest.raises(errors.StorageError):
            cached.get_range(name, 0, len(data) + 1)
    assert blobs.heads == 1
    assert len([1 for start, length in blobs.ranges if start + length <= len(data)]) == 1
    again = CachedBlobs(blobs, tmp_path / "cache", 100 * PAGE)
    blobs.ranges.clear()
    assert again.get_range(name, 0, len(data)) == data
    assert (blobs.heads, blobs.ranges) == (2, [])


def test_a_pack_that_was_deleted_here_is_gone_and_one_deleted_elsewhere_may_stay(tmp_path: Path) -> None:
    """[STO-15], [BLOB-5]: of everything else it is asked each time."""
    blobs = Counting()
    cached = CachedBlobs(blobs, tmp_path / "cache", 100 * PAGE)
    here, elsewhere = pack_name(), pack_name()
    ref = ref_name("a" * 26, 1, to_text(raw_cid(b"")))
    for name in (here, elsewhere, ref):
        cached.put(name, b"data")
        assert cached.get_range(name, 0, 4) == b"data"
    cached.delete(here)
    for name in (elsewhere, ref):
        blobs.delete(name)
    for name in (here, ref):
        with pytest.raises(errors.NoSuchBlob):
            cached.get_range(name, 0, 4)
        with pytest.raises(errors.NoSuchBlob):
            cached.head(name)
    assert cached.get_range(elsewhere, 0, 4) == b"data"


@pytest.mark.parametrize("settings", [{}, {"compression": "zstd", "encryption": "env:TEST_KEY"}], ids=["plain", "frames"])
def test_a_store_with_a_cache_reads_packs_once(
    settings: dict[str, str], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-15]: `open(cache=…)`: put, get, flush, compact, export; then hardly anything is asked of the store."""
    monkeypatch.setenv("TEST_KEY", "5e" * 32)
    blobs = Counting()

    def opened() -> mstbucket.Store:
        return mstbucket.open(
            database=database_url, blobs=blobs, background=False, cache=tmp_path / "cache", **settings  # type: ignore[arg-type]
        )

    with opened() as store:
        bucket = store.create_bucket("things")
        rng = random.Random(1)
        bucket.put_objects(mstbucket.PutRequest(f"{n}", rng.randbytes(900)) for n in range(500))
        bucket.put_object("large", rng.randbytes(3_000_000))
        for n in range(20):
            bucket.put_object(f"one {n}", b"1")
            bucket.flush()
        store.compact()
        store.reencode()
        target = io.BytesIO()
        bucket.export_car(target)
        bucket.get_object("large").read()
    blobs.ranges.clear()
    blobs.heads = 0
    with opened() as store:
        again = io.BytesIO()
        store.bucket("things").export_car(again)
        assert again.getvalue() == target.getvalue()
        assert len(store.bucket("things").get_object("large").read()) == 3_000_000
    assert blobs.ranges == [(0, len(blobs.blobs[STORE]))]  # which store it is, asked of the place itself ([STO-18])
    assert blobs.heads <= len(blobs.blobs)
