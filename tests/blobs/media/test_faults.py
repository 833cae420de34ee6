"""Blob stores around others: with nothing to do they are what they stand around, and each fault is what it says it is.

The contract: [BLOB-1], [BLOB-2], [BLOB-4], [BLOB-5], [BLOB-7], [BLOB-8], [BLOB-9].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.errors import InvalidInput, MstBucketError, OutcomeUnknown, StorageError
from mstbucket.testing import BlobMedium, BlobStoreContract, Faults, FaultyBlobs, Latency, SlowBlobs
from mstbucket.testing.faults import KINDS
from mstbucket.testing.medium import streaming


class Around:
    """A directory, seen through a wrapper."""

    def __init__(self, path: Path, wrap: Callable[[BlobStore], BlobStore]) -> None:
        self.path = path
        self.wrap = wrap

    def open(self) -> BlobStore:
        return self.wrap(LocalBlobs(self.path))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


class TestWithoutFaults(BlobStoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> BlobMedium:
        return Around(tmp_path / "blobs", lambda blobs: FaultyBlobs(blobs, Faults(seed=1)))


class TestWithLatency(BlobStoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> BlobMedium:
        return Around(tmp_path / "blobs", lambda blobs: SlowBlobs(blobs, Latency(call=1e-5, byte=1e-9, jitter=1, seed=1)))


NAMES = [f"packs/{number}" for number in range(8)]


def filled(faults: Faults) -> tuple[FaultyBlobs, MemoryBlobs]:
    """A store with a few blobs, all of different bytes."""
    inner = MemoryBlobs()
    for number, name in enumerate(NAMES):
        inner.blobs[name] = bytes([number]) * 100
    return FaultyBlobs(inner, faults), inner


WRITES: dict[str, Callable[[BlobStore], object]] = {
    "put": lambda blobs: blobs.put("packs/new", b"new"),
    "put if absent": lambda blobs: blobs.put_if_absent("packs/new", b"new"),
    "a stream": lambda blobs: streaming(blobs)("packs/new", b"new"),
    "delete": lambda blobs: blobs.delete("packs/0"),
    "delete many": lambda blobs: blobs.delete_many(["packs/0", "packs/gone"]),
}
READS: dict[str, Callable[[BlobStore], object]] = {
    "get a range": lambda blobs: blobs.get_range("packs/3", 0, 10),
    "head": lambda blobs: blobs.head("packs/0"),
    "list": lambda blobs: list(blobs.list()),
}


@pytest.mark.parametrize("call", [*WRITES.values(), *READS.values()], ids=[*WRITES, *READS])
def test_what_is_refused_has_no_effect(call: Callable[[BlobStore], object]) -> None:
    blobs, inner = filled(Faults(error=1))
    before = dict(inner.blobs)
    with pytest.raises(StorageError, match="on purpose") as caught:
        call(blobs)
    assert type(caught.value) is StorageError
    assert inner.blobs == before
    assert blobs.injected == {"error": 1}


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_what_is_lost_was_done_and_is_not_known(call: Callable[[BlobStore], object]) -> None:
    blobs, inner = filled(Faults(lost=1))
    with pytest.raises(OutcomeUnknown):
        call(blobs)
    assert ("packs/new" in inner.blobs) != ("packs/0" not in inner.blobs)
    assert blobs.injected == {"lost": 1}


@pytest.mark.parametrize("call", READS.values(), ids=READS)
def test_a_read_whose_answer_is_lost_is_no_unknown_outcome(call: Callable[[BlobStore], object]) -> None:
    blobs, _ = filled(Faults(lost=1))
    with pytest.raises(StorageError) as caught:
        call(blobs)
    assert type(caught.value) is StorageError


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_what_is_late_comes_after_a_later_call(call: Callable[[BlobStore], object]) -> None:
    blobs, inner = filled(Faults(late=1, late_calls=1))
    before = dict(inner.blobs)
    with pytest.raises(OutcomeUnknown):
        call(blobs)
    assert inner.blobs == before
    blobs.head("packs/1")
    assert inner.blobs == before
    blobs.head("packs/1")
    assert inner.blobs != before


def test_a_late_delete_may_hit_what_was_put_since_and_a_late_put_may_bring_back_what_was_deleted() -> None:
    """The reason for [BLOB-3]."""
    blobs, inner = filled(Faults(late=1))
    with pytest.raises(OutcomeUnknown):
        blobs.delete("packs/0")
    with pytest.raises(OutcomeUnknown):
        streaming(blobs)("packs/new", b"new")
    inner.delete("packs/0")
    inner.put("packs/0", b"since")
    inner.delete("packs/new")
    blobs.stop()
    assert "packs/0" not in inner.blobs
    assert inner.blobs["packs/new"] == b"new"
    assert blobs.get_range("packs/new", 0, 3) == b"new"


@pytest.mark.parametrize("kind", ["truncated", "flipped", "misdirected"])
def test_a_lie_is_about_a_range_and_the_blob_is_as_it_was(kind: str) -> None:
    blobs, inner = filled(Faults(seed=3, **{kind: 1.0}))
    before = dict(inner.blobs)
    blobs._remember("packs/7")
    for name in NAMES[:7]:
        answer, true = blobs.get_range(name, 20, 60), inner.blobs[name][20:80]
        assert answer != true
        if kind == "truncated":
            assert len(answer) < 60
            assert true.startswith(answer)
        elif kind == "flipped":
            assert sum((a ^ b).bit_count() for a, b in zip(answer, true, strict=True)) == 1
        else:
            assert any(answer == other[20:80] for other in before.values())
    assert inner.blobs == before
    assert blobs.injected == {kind: 7}
    assert blobs.get_range("packs/0", 0, 0) == b""


def test_a_misdirected_read_of_a_long_range_is_as_long_and_a_lone_blob_is_read_as_it_is() -> None:
    blobs = FaultyBlobs(MemoryBlobs(), Faults(misdirected=1))
    blobs.put("packs/long", b"l" * 1000)
    assert blobs.get_range("packs/long", 0, 1000) == b"l" * 1000
    assert blobs.injected == {}
    blobs.put("packs/short", b"short")
    assert blobs.get_range("packs/long", 0, 1000) == b"short" * 200


def test_a_writer_ends_with_the_fault_it_meets() -> None:
    """[BLOB-4]"""
    for seed in range(40):
        inner = MemoryBlobs()
        blobs = FaultyBlobs(inner, Faults(seed=seed, error=0.4))
        try:
            writer = blobs.open_write("packs/new")
        except StorageError:
            continue
        try:
            writer.write(b"one")
            writer.write(b"two")
            writer.commit()
        except StorageError:
            assert inner.blobs == {}
            with pytest.raises(InvalidInput):
                writer.commit()
        else:
            assert inner.blobs == {"packs/new": b"onetwo"}
        writer.abort()


def play(seed: int) -> tuple[list[object], dict[str, int], int]:
    """What came of the same calls, of all kinds."""
    blobs, _ = filled(Faults(seed=seed, **dict.fromkeys(KINDS, 0.1)))
    said: list[object] = []
    for _ in range(100):
        for call in [*WRITES.values(), *READS.values(), lambda blobs: blobs.delete("packs/new")]:
            try:
                said.append(call(blobs))
            except MstBucketError as error:
                said.append(str(error))
    return said, blobs.injected, blobs.calls


def test_the_same_seed_does_the_same_and_another_one_does_not() -> None:
    said, injected, calls = play(1)
    assert play(1) == (said, injected, calls)
    assert play(2)[0] != said
    assert set(injected) == set(KINDS)
    assert calls > 900


@pytest.mark.parametrize(
    "wrong", [{"error": -0.1}, {"error": 0.6, "lost": 0.6}, {"late_calls": 0}, {"flipped": 1.1}], ids=str
)
def test_chances_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="no set of faults"):
        Faults(**wrong)  # type: ignore[arg-type]


def test_settings_cannot_be_changed_under_a_store() -> None:
    for settings in (Faults(), Latency()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.seed = 2  # type: ignore[misc]


def test_waits_are_counted_by_call_and_by_byte() -> None:
    blobs = SlowBlobs(MemoryBlobs(), Latency(call=1e-4, byte=1e-6))
    blobs.put_if_absent("packs/a", b"x" * 10)
    streaming(blobs)("packs/b", b"y" * 20)
    blobs.get_range("packs/a", 2, 5)
    blobs.head("packs/a")
    assert [info.name for info in blobs.list()] == ["packs/a", "packs/b"]
    blobs.delete("packs/a")
    blobs.delete_many(["packs/b"])
    assert (blobs.calls, blobs.moved) == (8, 35)
    assert blobs.waited == pytest.approx(8e-4 + 35e-6)
    with pytest.raises(InvalidInput):
        Latency(call=-1)
