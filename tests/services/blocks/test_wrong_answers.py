"""One wrong answer is no lost data: what is read wrong is read once more, past every cache, and only then called damaged."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from seen import exported

import mstbucket
from mstbucket import errors
from mstbucket.blobs.media.cache import PAGE, CachedBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import is_pack, pack_name
from mstbucket.limits import MIB
from mstbucket.packs.scrub import scrub

KEY = "11" * 32
LARGE = random.Random(1).randbytes(3 * MIB + 5)
MEDIUM = random.Random(2).randbytes(100_000)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {}, "in frames": {"compression": "zstd:1", "encryption": True},
}  # fmt: skip


class Flipping(MemoryBlobs):
    """Flips one bit in one answer, or in every one; the blobs themselves stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0
        self.wrong: Callable[[int], bool] = lambda answer: False
        self.at = 0.5

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = super().get_range(name, start, length)
        if not data or name.startswith("keys/"):
            return data
        self.answers += 1
        if not self.wrong(self.answers):
            return data
        changed = bytearray(data)
        changed[int(len(data) * self.at)] ^= 4
        return bytes(changed)


@pytest.fixture
def medium() -> Flipping:
    return Flipping()


Open = Callable[..., mstbucket.Store]


@pytest.fixture
def open_it(database_url: str, medium: Flipping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the store of this test as one of a kind, with a new and empty cache or without."""
    monkeypatch.setenv("KEY_OF_THE_TEST", KEY)
    opened: list[mstbucket.Store] = []

    def open_(kind: dict[str, Any], cached: bool) -> mstbucket.Store:
        near = {"cache": tmp_path / f"cache-{len(opened)}", "cache_size": 64 * MIB} if cached else {}
        given = kind | ({"encryption": "env:KEY_OF_THE_TEST"} if "encryption" in kind else {})
        opened.append(mstbucket.open(database=database_url, blobs=medium, background=False, **given, **near))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def fill(store: mstbucket.Store) -> mstbucket.Bucket:
    bucket = store.create_bucket("things")
    bucket.put_object("large", LARGE)
    for n in range(3):
        bucket.put_object(f"medium {n}", MEDIUM + bytes([n]))
        bucket.put_objects(mstbucket.PutRequest(f"{n}/{i:03}", b"%d %d" % (n, i)) for i in range(40))
        bucket.flush()
    return bucket


def change_and_flush(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("1/007", random.randbytes(20))
    bucket.delete_object("2/009")
    bucket.flush()


READS: dict[str, Callable[[mstbucket.Bucket], object]] = {
    "a whole body": lambda bucket: bucket.get_object("large").read() == LARGE,
    "a body of one block": lambda bucket: bucket.get_object("medium 1").read() == MEDIUM + b"\1",
    "a small body": lambda bucket: bucket.get_object("1/009").read() == b"1 9",
    "a range": lambda bucket: bucket.get_object("large", range="bytes=1500000-2500000").read() == LARGE[1500000:2500001],
    "a verification": lambda bucket: bucket.verify().objects in (124, 123),
    "an export": lambda bucket: mstbucket.verify_car(io.BytesIO(exported(bucket))).objects in (124, 123),
    "a flush": lambda bucket: change_and_flush(bucket) or True,
    "compaction": lambda bucket: compacted(bucket) == {},
    "writing packs again": lambda bucket: reencoded(bucket) == {},
    "a check": lambda bucket: of_store(bucket).check("proof").findings == (),
    "a collection": lambda bucket: of_store(bucket).collect(force=True, grace=0).damaged == {},
    "a fork": lambda bucket: forked(bucket),
    "a scrub": lambda bucket: scrub(bucket._context.blobs, bucket._context.encoding.key).damaged == (),
}


def of_store(bucket: mstbucket.Bucket) -> mstbucket.Store:
    return mstbucket.Store(bucket._context, None, False)


def forked(bucket: mstbucket.Bucket) -> bool:
    store = of_store(bucket)
    name = f"fork-{len(store.list_buckets())}"
    return len(list(store.fork("things", name, commit=1).objects())) == 42


def compacted(bucket: mstbucket.Bucket) -> dict[str, str]:
    return of_store(bucket).compact().damaged


def reencoded(bucket: mstbucket.Bucket) -> dict[str, str]:
    return of_store(bucket).reencode().damaged


@pytest.mark.parametrize("cached", [False, True], ids=["as it is", "cached"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_one_flipped_bit_in_one_answer_is_never_damage(
    open_it: Open, medium: Flipping, read: Callable[[Any], object], kind: dict[str, Any], cached: bool
) -> None:
    """[PACK-10] Whichever answer it is: each of those that the read takes, first and second half of it."""
    fill(open_it(kind, False))

    def next_bucket() -> mstbucket.Bucket:
        """With an empty cache, and something to do."""
        nonlocal kind
        if read is READS["compaction"]:
            for _ in range(2):
                change_and_flush(open_it(kind, False).bucket("things"))
        if read is READS["writing packs again"]:
            kind = {**kind, "compression": "none" if kind.get("compression", "none") != "none" else "zstd"}
        return open_it(kind, cached).bucket("things")

    bucket = next_bucket()
    medium.answers = 0
    assert read(bucket)
    answers = medium.answers
    for place in (0.1, 0.9):
        medium.at = place
        for number in range(1, answers + 1, max(1, answers // 4)):
            bucket = next_bucket()
            medium.answers, medium.wrong = 0, lambda answer, number=number: answer == number  # type: ignore[misc]
            assert read(bucket)
            medium.wrong = lambda answer: False
            bucket._context.db.close()


@pytest.mark.parametrize("cached", [False, True], ids=["as it is", "cached"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_wrong_twice_is_damage(open_it: Open, medium: Flipping, kind: dict[str, Any], cached: bool) -> None:
    """[PACK-10] [PACK-6] The medium is asked twice and not for ever; each verdict is heard once, with the blocks."""
    fill(open_it(kind, False))
    store = open_it(kind, cached)
    bucket = store.bucket("things")
    heard: list[errors.CorruptionError] = []
    for name, data in list(medium.blobs.items()):
        if is_pack(name):
            changed = bytearray(data)
            for at in range(200, len(data), 400):
                changed[at] ^= 1
            medium.blobs[name] = bytes(changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(bucket._context.blocks), "_condemn", lambda self, error: heard.append(error))
        for key in ("large", "medium 1"):
            medium.answers = 0
            with pytest.raises((errors.HashMismatch, errors.BrokenFrame)):
                bucket.get_object(key).read()
            assert 2 <= medium.answers <= 8
        if not kind:
            with pytest.raises(errors.HashMismatch):
                bucket.get_object("medium 2").read()
    assert heard
    assert all(error.pack in medium.blobs and error.blocks for error in heard)
    for verb in (bucket.verify, lambda: exported(bucket)):
        with pytest.raises((errors.HashMismatch, errors.BrokenFrame)):
            verb()
    assert compacted(bucket)


def test_a_cached_page_that_holds_another_pages_bytes_is_not_taken(tmp_path: Path) -> None:
    """[STO-16] Every pair of pages of two blobs, exchanged as whole files: each is fetched again, and nothing is wrong."""
    blobs = MemoryBlobs()
    names = [pack_name(), pack_name()]
    bodies = {name: random.Random(name).randbytes(2 * PAGE) for name in names}
    for name in names:
        blobs.put(name, bodies[name])
    directory = tmp_path / "cache"
    cached = CachedBlobs(blobs, directory, 64 * PAGE)
    for name in names:
        cached.get_range(name, 0, 2 * PAGE)
    files = sorted(directory.iterdir())
    kept = {file: file.read_bytes() for file in files}
    assert len(files) == 4
    for one in files:
        for other in files:
            one.write_bytes(kept[other])
            for name in names:
                assert cached.get_range(name, 0, 2 * PAGE) == bodies[name]
            assert one.read_bytes() == kept[one]


@pytest.mark.parametrize("damage", ["another page", "a flipped bit", "cut", "gone"])
def test_a_cache_that_is_damaged_is_no_damage_of_the_store(open_it: Open, damage: str, tmp_path: Path) -> None:
    """[STO-16] [PACK-10]"""
    fill(open_it({}, False))
    bucket = open_it({}, True).bucket("things")
    for _ in range(2):
        assert bucket.get_object("large").read() == LARGE
        assert bucket.verify().objects == 124
        files = sorted((tmp_path / "cache-1").iterdir())
        pages = [file.read_bytes() for file in files]
        assert len(files) > 3
        for n, file in enumerate(files):
            data = pages[n]
            if damage == "another page":
                file.write_bytes(next(page for page in pages[n + 1 :] + pages[:n] if page != data))
            elif damage == "a flipped bit":
                file.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
            elif damage == "cut":
                file.write_bytes(data[:-1])
            else:
                file.unlink()


@contextmanager
def patched_checksum() -> Iterator[None]:
    """Checksums that agree with everything: pages then are what somebody wrote there, right or wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mstbucket.blobs.media.cache.checksum", lambda data: 0)
        yield


def test_wrong_bytes_under_the_right_checksum_are_read_again_past_the_cache(open_it: Open, tmp_path: Path) -> None:
    """[PACK-10] A remote answer that was wrong is kept as it came, and must not be what is read the second time."""
    with patched_checksum():
        fill(open_it({}, False))
        bucket = open_it({}, True).bucket("things")
        assert bucket.get_object("large").read() == LARGE
        for file in (tmp_path / "cache-1").iterdir():
            data = file.read_bytes()
            file.write_bytes(data[:8] + bytes(len(data) - 8))
        assert bucket.get_object("large").read() == LARGE
        assert bucket.verify().objects == 124
