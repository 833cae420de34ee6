"""Scrubbing: every damaged blob is found without the key, nothing else is, and the rest is still looked at."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import Kind, ref_name, secret_ref_name
from mstbucket.core import car
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import StorageError
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.data_keys import HeldKey, put_key
from mstbucket.packs.plan import Location
from mstbucket.packs.scrub import scrub

KEY = DataKey(bytes(range(32)))
Write = Callable[[BlobStore, Encoding, list[bytes]], tuple[str, list[tuple[bytes, Location]], bytes]]


def make(write_pack: Write) -> MemoryBlobs:
    """A store with a pack of every kind, a ref of both, a key, and what is no blob of a store."""
    rng = random.Random(1)
    blobs = MemoryBlobs()
    for encoding in (Encoding(), Encoding(3), Encoding(None, KEY), Encoding(3, KEY)):
        write_pack(blobs, encoding, [rng.randbytes(100), rng.randbytes(90_000), bytes(70_000), b"hello"])
    put_key(blobs, HeldKey(bytes(32)), KEY)
    cid = raw_cid(b"commit")
    commit = car.header(cid) + car.section(cid, b"commit")
    blobs.blobs[ref_name("a" * 26, 1, to_text(cid))] = commit
    encoder = Encoding(None, KEY).encoder(Kind.AES, KEY.pseudonym(cid))
    blobs.blobs[secret_ref_name("a" * 26, 1, KEY.pseudonym(cid))] = encoder.encode(commit) + encoder.trailer()
    blobs.blobs["packs/foreign"] = blobs.blobs["keys/foreign"] = b"not ours"
    return blobs


@pytest.fixture
def blobs(write_pack: Write) -> MemoryBlobs:
    """See `make`."""
    return make(write_pack)


OURS = 7
HEADER = 59  # bytes of a CAR's header, the root in which nothing vouches for in a plain pack


@pytest.mark.parametrize("key", [None, KEY], ids=["without the key", "with it"])
def test_a_store_that_is_as_it_was_written(blobs: MemoryBlobs, key: DataKey | None) -> None:
    """[FRAME-17]"""
    told: list[int] = []
    report = scrub(blobs, key, progress=told.append)
    assert (report.blobs, report.damaged) == (OURS, ())
    assert report.bytes == sum(map(len, blobs.blobs.values())) - 2 * len(b"not ours") == told[-1]
    assert len(told) == OURS


@given(which=st.integers(0, OURS - 1), position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=120)
def test_a_flipped_bit_is_found_without_the_key(which: int, position: float, bit: int, write_pack: Write) -> None:
    """[FRAME-17]: wherever it is, in that blob and in no other; the rest is looked at all the same."""
    store = make(write_pack)
    name = sorted(name for name in store.blobs if "foreign" not in name)[which]
    data = bytearray(store.blobs[name])
    skipped = HEADER if name.startswith("packs/") and name.endswith(".car") else 0
    data[skipped + int(position * (len(data) - skipped))] ^= 1 << bit
    store.blobs[name] = bytes(data)
    report = scrub(store)
    assert [damage.name for damage in report.damaged] == [name]
    assert report.blobs == OURS


def test_blobs_that_are_cut_or_swapped_are_all_reported(blobs: MemoryBlobs) -> None:
    """[FRAME-17]"""
    names = sorted(name for name in blobs.blobs if name.startswith("packs/") and "foreign" not in name)
    for name in names[:2]:
        blobs.blobs[name] = blobs.blobs[name][:-1]
    blobs.blobs[names[2]], blobs.blobs[names[3]] = blobs.blobs[names[3]], blobs.blobs[names[2]]
    found = [damage.name for damage in scrub(blobs).damaged]
    # A plain CAR of other blocks is a whole pack by itself; that its blocks are elsewhere, the index knows.
    assert set(names[:2]) <= set(found)
    assert {name for name in names[2:] if not name.endswith(".car")} <= set(found)


def test_what_goes_meanwhile_is_not_damaged_and_what_cannot_be_read_is(blobs: MemoryBlobs) -> None:
    """[FRAME-17]"""
    gone, broken = sorted(name for name in blobs.blobs if name.startswith("packs/") and "foreign" not in name)[:2]

    class Changing(MemoryBlobs):
        def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
            found = super().list(prefix, after)
            self.blobs.pop(gone, None)
            return found

        def get_range(self, name: str, start: int, length: int) -> bytes:
            if name == broken:
                raise StorageError(f"{name}: input/output error")
            return super().get_range(name, start, length)

    changing = Changing()
    changing.blobs = blobs.blobs
    report = scrub(changing)
    assert [(damage.name, type(damage.error)) for damage in report.damaged] == [(broken, StorageError)]
    assert report.blobs == OURS - 1


def test_with_the_key_a_forged_trailer_is_found_too(blobs: MemoryBlobs) -> None:
    """[FRAME-9]: a checksum anybody can make; a tag only who has the key."""
    from mstbucket.packs.frames.read import read_trailer

    name = next(name for name in blobs.blobs if name.endswith(".car.aes") and name.startswith("packs/"))
    trailer = read_trailer(blobs, name, None)
    first, second, *rest = trailer.entries
    forged = [first._replace(length=first.length + 1), second._replace(length=second.length - 1), *rest]
    made = type(trailer)(trailer.kind, tuple(forged), trailer.blob, trailer.key, trailer.tag).encode()
    blobs.blobs[name] = blobs.blobs[name][: -len(made)] + made
    assert scrub(blobs).damaged == ()
    (damage,) = scrub(blobs, KEY).damaged
    assert (damage.name, "somebody changed it" in str(damage.error)) == (name, True)
