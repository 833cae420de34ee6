"""Packs in frames: every range is that of the plain CAR, and whatever is changed is an error that names the pack."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import Kind, framed, pack_name
from mstbucket.core import car
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import (
    BrokenFrame,
    CorruptionError,
    FormatError,
    InvalidCar,
    InvalidInput,
    MissingBlock,
    StorageError,
    WrongKey,
)
from mstbucket.limits import CAR_SECTION_MAX, FRAME_GROUP, FRAME_MAX, KIB, MIB
from mstbucket.packs.frames import read as framed_module
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.cutting import Cutter
from mstbucket.packs.frames.format import Entry, Segment, Trailer, decode_trailer, pack_lengths, unpack_lengths
from mstbucket.packs.frames.read import Packs, TrailerIndex, read_trailer
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.frames.zstd import Compressor, decompress, parse_compression, stored
from mstbucket.packs.plan import Location
from mstbucket.packs.read import PackScan, read_blocks

FIXTURE = Path(__file__).parents[3] / "fixtures" / "frames.json"
KEY = DataKey(bytes(range(32)))
KINDS = {
    "compressed": Encoding(3, None),
    "encrypted": Encoding(None, KEY),
    "compressed and encrypted": Encoding(1, KEY),
}
every_kind = pytest.mark.parametrize("encoding", KINDS.values(), ids=KINDS)
Write = Callable[[BlobStore, Encoding, list[bytes]], tuple[str, list[tuple[bytes, Location]], bytes]]

sizes = st.one_of(st.integers(0, 300), st.integers(0, 3 * FRAME_GROUP), st.sampled_from([MIB, FRAME_GROUP - 39]))
seeds = st.integers(0, 2**32)


def make_blocks(lengths: list[int], seed: int) -> list[bytes]:
    """Blocks of these lengths, half of them text."""
    rng = random.Random(seed)
    return [rng.randbytes(n) if rng.random() < 0.5 else (b"%d " % rng.randrange(99) * n)[:n] for n in lengths]


SOME = make_blocks([3, 200, 70_000, 40_000, 30_000, 9, MIB, 5, 100_000], 1)


def packs(blobs: BlobStore, key: DataKey | None = KEY) -> Packs:
    return Packs(blobs, TrailerIndex(blobs, key), key)


# --- cuts --------------------------------------------------------------------------------------------------------------


def cut(data: bytes, pieces: list[int]) -> list[bytes]:
    cutter = Cutter()
    found, at = [], 0
    for size in pieces:
        found += cutter.feed(memoryview(data)[at : at + size])
        at += size
    return [*found, *cutter.feed(data[at:]), *cutter.finish()]


def sections(data: bytes) -> list[int]:
    """Where sections start, by the slow and obvious reading."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        value = shift = 0
        while data[at] & 0x80:
            value |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
        at += 1 + (value | data[at] << shift)
    return starts


def slow_cut(data: bytes) -> list[bytes]:
    """The rule as it is written down."""
    starts = [*sections(data), len(data)]
    frames = [b""]
    for start, stop in pairwise(starts):
        if frames[-1] and len(frames[-1]) + stop - start > FRAME_GROUP:
            frames.append(b"")
        frames[-1] += data[start:stop]
    return frames


@given(st.lists(sizes, max_size=12), st.lists(st.integers(0, 5000) | st.integers(0, 2 * MIB), max_size=20), seeds)
@settings(max_examples=60)
def test_cuts_depend_on_the_car_alone(lengths: list[int], pieces: list[int], seed: int) -> None:
    """[FRAME-1], [FRAME-2]: whole sections, in frames that are full, whatever the pieces in which the CAR comes."""
    blocks = make_blocks(lengths, seed)
    data = car.header(raw_cid(b"")) + b"".join(car.section(raw_cid(block), block) for block in blocks)
    assert cut(data, pieces) == slow_cut(data)


def test_a_car_that_comes_byte_by_byte_is_cut_the_same() -> None:
    """[FRAME-2]"""
    blocks = make_blocks([200, 20_000, 50_000, 7], 2)
    data = car.header(raw_cid(b"")) + b"".join(car.section(raw_cid(block), block) for block in blocks)
    assert cut(data, [1] * len(data)) == slow_cut(data)
    assert len(slow_cut(data)) == 2


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"\x85", "middle of a section"),
        (car.header(raw_cid(b"")) + b"\x30abc", "middle of a section"),
        (car.header(raw_cid(b"")) + b"\xff\xff\xff\xff\xff\xff\xff", "beyond what a pack can hold"),
        (car.header(raw_cid(b"")) + struct.pack("<I", 0x01808180)[:4] + bytes(MIB), "beyond what a pack can hold"),
        (b"\xff\xff\x7f" + bytes(100), "beyond what a pack can hold"),
    ],
    ids=["a cut length", "a cut section", "a length without end", "a section of 2 MiB and more", "a header above 64 KiB"],
)
def test_what_is_no_car_is_no_pack(data: bytes, where: str) -> None:
    """[PACK-1]"""
    blobs = MemoryBlobs()
    name = pack_name(Kind.ZSTD)
    with FrameWriter(blobs.open_write(name), Encoding(1).encoder(*framed(name) or (Kind.ZSTD, b""))) as writer:
        writer.write(data)
        with pytest.raises(InvalidCar, match=where):
            writer.commit()
    assert blobs.blobs == {}


def test_the_largest_section_is_one_frame(write_pack: Write) -> None:
    """[FRAME-6] is no limit for what a pack may hold."""
    largest = bytes(CAR_SECTION_MAX - 36)
    assert max(map(len, cut(car.header(raw_cid(b"")) + car.section(raw_cid(largest), largest), []))) == FRAME_MAX
    for encoding in KINDS.values():
        blobs = MemoryBlobs()
        name, located, _ = write_pack(blobs, encoding, [largest, b"x"])
        assert read_blocks(packs(blobs), located)[raw_cid(largest)] == largest
        assert read_trailer(blobs, name, None).entries[1].length == FRAME_MAX


# --- reading -----------------------------------------------------------------------------------------------------------


@every_kind
@given(lengths=st.lists(sizes, max_size=10), seed=seeds, data=st.data())
@settings(max_examples=25)
def test_every_range_is_that_of_the_plain_car(
    encoding: Encoding, lengths: list[int], seed: int, data: st.DataObject, write_pack: Write
) -> None:
    """[FRAME-1], [FRAME-7]"""
    blobs = MemoryBlobs()
    name, located, plain = write_pack(blobs, encoding, make_blocks(lengths, seed))
    reader = packs(blobs)
    assert reader.head(name).size == len(plain)
    assert reader.get_range(name, 0, len(plain)) == plain
    for _ in range(5):
        start = data.draw(st.integers(0, len(plain)))
        stop = data.draw(st.integers(start, len(plain)))
        assert reader.get_range(name, start, stop - start) == plain[start:stop]
    scan = PackScan(reader, lambda cids: {cid: dict(located)[cid] for cid in cids})
    wanted = {cid: plain[at.offset : at.offset + at.length] for cid, at in located}
    assert read_blocks(reader, located) == scan.get_many(list(wanted)) == wanted


def unzstd(data: bytes, tmp_path: Path) -> bytes:
    """What zstd's own program makes of a file; where there is none, what the library's streaming decoder does."""
    path = tmp_path / "pack.car.zst"
    path.write_bytes(data)
    if shutil.which("zstd") is not None:
        return subprocess.run(["zstd", "-d", "-c", str(path)], capture_output=True, check=True).stdout
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
        return stream.read()


@pytest.mark.parametrize("level", [1, 3, 19])
def test_the_zstd_program_makes_the_car_of_a_compressed_pack(level: int, write_pack: Write, tmp_path: Path) -> None:
    """[FRAME-4], [FRAME-8]: byte for byte, and what does not compress has hardly grown."""
    blobs = MemoryBlobs()
    name, _, plain = write_pack(blobs, Encoding(level), SOME)
    assert unzstd(blobs.blobs[name], tmp_path) == plain
    noise = random.Random(3).randbytes(MIB)
    assert len(Compressor(level).compress(noise)) < MIB + 40


@pytest.mark.parametrize("size", [0, 1, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1, 256 * KIB, MIB, FRAME_MAX])
def test_what_is_stored_as_it_is_is_a_frame_like_others(size: int, tmp_path: Path) -> None:
    """[FRAME-4]: made without the library, and read by it and by the program."""
    noise = random.Random(size).randbytes(size)
    if size:
        assert decompress(stored(noise), size) == unzstd(stored(noise), tmp_path) == noise
    assert decompress(Compressor(1).compress(noise), size) == noise


def test_what_is_half_noise_is_compressed() -> None:
    """[FRAME-4]: samples are of the whole frame."""
    half = random.Random(9).randbytes(MIB // 2)
    for data in (half + bytes(MIB // 2), bytes(MIB // 2) + half):
        assert len(Compressor(3).compress(data)) < 0.6 * MIB


def test_a_name_says_what_was_done(write_pack: Write) -> None:
    """[FRAME-3]"""
    suffixes = []
    for encoding in (Encoding(), *KINDS.values()):
        blobs = MemoryBlobs()
        name, _, plain = write_pack(blobs, encoding, [b"hello"])
        suffixes.append(name.partition(".")[2])
        assert packs(blobs).get_range(name, 0, len(plain)) == plain
        assert (framed(name) or (Kind.PLAIN, b""))[0] == encoding.kind
    assert suffixes == ["car", "car.zst", "car.aes", "car.zst.aes"]


class Counting(MemoryBlobs):
    """Notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self.reads.append((start, length))
        return super().get_range(name, start, length)


@every_kind
def test_neighbours_come_in_one_request_and_a_frame_comes_once(encoding: Encoding, write_pack: Write) -> None:
    """[FRAME-13]"""
    blobs = Counting()
    blocks = make_blocks([1000] * 400, 4)
    name, located, plain = write_pack(blobs, encoding, blocks)
    frames = len(read_trailer(blobs, name, None).entries)
    assert frames > 5
    reader = packs(blobs)
    reader.head(name)
    blobs.reads.clear()
    read_blocks(reader, located)
    assert len(blobs.reads) == 1
    blobs.reads.clear()
    reader = packs(blobs)
    reader.head(name)
    blobs.reads.clear()
    for at in random.Random(5).sample(located, 300):
        read_blocks(reader, [at])
    assert len(blobs.reads) <= frames
    blobs.reads.clear()
    reader.get_range(name, 0, len(plain))
    assert len(blobs.reads) <= 2


def test_what_is_kept_of_frames_is_bounded(write_pack: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """[FRAME-13]"""
    monkeypatch.setattr(framed_module, "CACHE", 300 * KIB)
    blobs = MemoryBlobs()
    _, located, _ = write_pack(blobs, Encoding(1), make_blocks([10_000] * 200, 6))
    reader = packs(blobs)
    for at in located:
        read_blocks(reader, [at])
    assert reader._held == sum(map(len, reader._plain.values())) <= 300 * KIB


# --- hostile bytes -------------------------------------------------------------------------------------------------------


def outcome(blobs: BlobStore, located: list[tuple[bytes, Location]], key: DataKey | None = KEY) -> dict[bytes, bytes] | str:
    """All blocks, or the message of the declared error."""
    try:
        return read_blocks(packs(blobs, key), located)
    except (CorruptionError, FormatError, StorageError, WrongKey) as error:
        return str(error)


@every_kind
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), seed=seeds)
@settings(max_examples=60)
def test_a_flipped_bit_anywhere_gives_no_wrong_byte(
    encoding: Encoding, position: float, bit: int, seed: int, write_pack: Write
) -> None:
    """[FRAME-9], [FRAME-12]: in a trailer, in a frame; an error names the pack."""
    blobs = MemoryBlobs()
    blocks = make_blocks([300] * 40 + [70_000, 66_000], seed)
    name, located, _ = write_pack(blobs, encoding, blocks)
    broken = bytearray(blobs.blobs[name])
    broken[int(position * len(broken))] ^= 1 << bit
    blobs.blobs[name] = bytes(broken)
    found = outcome(blobs, located)
    if isinstance(found, str):
        assert name in found
    else:
        assert encoding.key is None  # every bit of an encrypted blob is authentic
        assert found == {raw_cid(block): block for block in (b"", *blocks)}


@every_kind
def test_a_pack_cut_anywhere_is_an_error(encoding: Encoding, write_pack: Write) -> None:
    """[FRAME-9]"""
    blobs = MemoryBlobs()
    name, located, _ = write_pack(blobs, encoding, SOME)
    whole = blobs.blobs[name]
    for size in [0, 1, 63, 64, len(whole) // 2, len(whole) - 65, len(whole) - 1]:
        blobs.blobs[name] = whole[:size]
        assert name in str(outcome(blobs, located))
    blobs.blobs[name] = whole + b"\0"
    assert name in str(outcome(blobs, located))


@every_kind
def test_a_pack_that_is_cut_behind_the_back_of_the_index_is_missing_data(encoding: Encoding, write_pack: Write) -> None:
    """[PACK-8]: the error names the blocks."""
    blobs = MemoryBlobs()
    name, located, _ = write_pack(blobs, encoding, SOME)
    reader = packs(blobs)
    reader.head(name)
    blobs.blobs[name] = blobs.blobs[name][:100_000]
    with pytest.raises(MissingBlock, match=f"{name} was cut to 100000 bytes, and with it .*{to_text(located[-1][0])}"):
        read_blocks(reader, located[-1:])
    del blobs.blobs[name]
    with pytest.raises(MissingBlock, match=f"{name} is gone"):
        read_blocks(reader, located[-1:])


def swapped(blobs: MemoryBlobs, name: str) -> bytes:
    """The pack with two frames of equal lengths in each other's place."""
    trailer = read_trailer(blobs, name, None)
    one, two = list(trailer.segment(name).between(0, 10**9))[1:3]
    data = bytearray(blobs.blobs[name])
    assert one.stored_length == two.stored_length
    first, second = (data[frame.stored_start : frame.stored_start + frame.stored_length] for frame in (one, two))
    data[one.stored_start : one.stored_start + one.stored_length] = second
    data[two.stored_start : two.stored_start + two.stored_length] = first
    return bytes(data)


@every_kind
def test_frames_in_each_others_place_are_found(encoding: Encoding, write_pack: Write) -> None:
    """[FRAME-12], [PACK-6]"""
    blobs = MemoryBlobs()
    rng = random.Random(7)
    name, located, _ = write_pack(blobs, encoding, [rng.randbytes(100_000) for _ in range(3)])
    reader = packs(blobs)
    reader.head(name)
    blobs.blobs[name] = swapped(blobs, name)
    with pytest.raises(CorruptionError, match=name):
        read_blocks(reader, located)
    if encoding.key is not None:
        with pytest.raises(BrokenFrame, match=r"frame 1 of pack .* does not decrypt"):
            reader.get_range(name, located[1][1].offset, 1)


@pytest.mark.parametrize("encoding", [KINDS["encrypted"], KINDS["compressed and encrypted"]], ids=["aes", "zstd+aes"])
def test_frames_of_another_pack_or_store_are_found(encoding: Encoding, write_pack: Write) -> None:
    """[FRAME-9], [FRAME-12]: with the trailer that belongs to them, or with the right one."""
    blobs = MemoryBlobs()
    blocks = make_blocks([100_000, 300], 8)
    name, located, _ = write_pack(blobs, encoding, blocks)
    same, _, _ = write_pack(blobs, encoding, blocks)
    other, _, _ = write_pack(blobs, Encoding(encoding.level, DataKey(bytes(32))), blocks)
    good = blobs.blobs[name]
    trailer = read_trailer(blobs, name, KEY).encode()
    for foreign in (same, other):
        for data, message in [
            (blobs.blobs[foreign], "holds the frames of another pack"),
            (blobs.blobs[foreign][: -len(trailer)] + trailer, "does not decrypt"),
        ]:
            blobs.blobs[name] = data
            with pytest.raises(BrokenFrame, match=message):
                read_blocks(packs(blobs), located)
    blobs.blobs[name] = good
    with pytest.raises(WrongKey, match="is encrypted with the data key d1abb2e5bda96c08"):
        packs(blobs, DataKey(bytes(32))).head(name)
    with pytest.raises(WrongKey, match="open the store with its key"):
        read_blocks(packs(blobs, None), located)


def test_a_trailer_that_denies_the_encryption_is_refused(write_pack: Write) -> None:
    """[FRAME-9]: with a checksum that is right, and no key to check a tag by."""
    blobs = MemoryBlobs()
    name, _, _ = write_pack(blobs, KINDS["encrypted"], make_blocks([100_000, 300], 8))
    trailer = read_trailer(blobs, name, KEY)
    without = Trailer(trailer.kind, trailer.entries[:-1], trailer.blob).encode()
    size = sum(entry.stored_length for entry in trailer.entries[:-1])
    blobs.blobs[name] = blobs.blobs[name][:size] + without
    with pytest.raises(WrongKey, match="0000000000000000"):
        packs(blobs).head(name)
    with pytest.raises(InvalidInput, match="cannot be made"):
        Encoding(3).encoder(Kind.AES, bytes(16))


def test_a_kind_that_is_not_the_names_is_found(write_pack: Write) -> None:
    """[FRAME-9], [FRAME-12]"""
    blobs = MemoryBlobs()
    name, _, _ = write_pack(blobs, KINDS["encrypted"], [b"hello"])
    for suffix in (".car.zst.aes", ".car.zst"):
        renamed = name.replace(".car.aes", suffix)
        blobs.blobs[renamed] = blobs.blobs[name]
        with pytest.raises(BrokenFrame, match="of another pack"):
            packs(blobs).head(renamed)
    cipher = KEY.cipher(Kind.AES, bytes(16))
    sealed = cipher.seal(0, 0, 5, b"hello")
    assert cipher.open(0, 0, 5, sealed) == b"hello"
    for kind, blob, at in [
        (Kind.ZSTD | Kind.AES, bytes(16), (0, 0, 5)),
        (Kind.AES, bytes(15) + b"\1", (0, 0, 5)),
        (Kind.AES, bytes(16), (1, 0, 5)),
        (Kind.AES, bytes(16), (0, 1, 5)),
        (Kind.AES, bytes(16), (0, 0, 6)),
    ]:
        with pytest.raises(BrokenFrame, match="does not decrypt"):
            KEY.cipher(kind, blob).open(*at, sealed)


def stating(size: int, frame: bytes) -> bytes:
    """A zstd frame of one segment with another content size, as 8 bytes."""
    assert frame[4] & 0b11100011 == 0b00100000  # one segment, size in one byte, no checksum, no dictionary
    return frame[:4] + bytes([frame[4] | 0b11000000]) + struct.pack("<Q", size) + frame[6:]


HELLO = Compressor(3).compress(b"hello" * 30)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"hello",
        HELLO[:-1],
        HELLO + b"\0",
        HELLO + HELLO,
        stating(149, HELLO),
        stating(151, HELLO),
        stating(2**40, HELLO),
        stating(2**64 - 1, HELLO),
        stating(2**64 - 2, HELLO),
        Compressor(3).compress(b"hello" * 31),
        Compressor(3).compress(b"\0" * 2**26),
        struct.pack("<II", 0x184D2A50, 150) + bytes(150),
        HELLO[:4] + bytes([0]) + HELLO[5:],
    ],
    ids=[
        "nothing", "no frame", "cut", "a byte behind it", "two frames", "states less", "states more", "states a terabyte",
        "states that it does not know", "states an error", "another content", "a bomb", "a skippable frame", "no size",
    ],
)  # fmt: skip
def test_a_frame_that_lies_about_its_size_is_refused(frame: bytes) -> None:
    """[FRAME-5]: and takes no memory."""
    assert decompress(HELLO, 150) == b"hello" * 30
    tracemalloc.start()
    try:
        with pytest.raises(BrokenFrame):
            decompress(frame, 150)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "lengths",
    [[(0, 5)], [(5, 0)], [(5, FRAME_MAX + 1)], [(3 * MIB, 5)], [(5, 5), (2**32 - 1, 2**32 - 1)]],
    ids=["nothing stored", "nothing in it", "too much in it", "too much stored", "the second one"],
)
def test_an_index_with_impossible_lengths_is_refused(lengths: list[tuple[int, int]]) -> None:
    """[FRAME-6]"""
    with pytest.raises(BrokenFrame, match="packs/x: the index has"):
        Segment("packs/x", 0, 0, 0, lengths)
    assert unpack_lengths(pack_lengths(lengths), "packs/x") == lengths
    with pytest.raises(BrokenFrame, match="packs/x"):
        unpack_lengths(pack_lengths(lengths)[:-1], "packs/x")


class Lying:
    """An index that says what it was told to."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment

    def segment(self, name: str, start: int) -> Segment | None:
        return self._segment if start < self._segment.stop else None

    def size(self, name: str) -> int:
        return self._segment.stop


@every_kind
@given(seed=seeds)
@settings(max_examples=40)
def test_an_index_that_lies_gives_no_wrong_byte(encoding: Encoding, seed: int, write_pack: Write) -> None:
    """[FRAME-5], [FRAME-6], [FRAME-12]: lengths too long, too short, in another order, from another start."""
    rng = random.Random(seed)
    blobs = MemoryBlobs()
    blocks = make_blocks([rng.randrange(90_000) for _ in range(6)], seed)
    name, located, _ = write_pack(blobs, encoding, blocks)
    lengths = [(entry.stored_length, entry.length) for entry in read_trailer(blobs, name, KEY).entries]
    number, start, stored = rng.choice([(0, 0, 0), (1, 0, 0), (0, 7, 0), (0, 0, 9)])
    match rng.randrange(4):
        case 0:
            rng.shuffle(lengths)
        case 1:
            at = rng.randrange(len(lengths))
            lengths[at] = (max(lengths[at][0] + rng.randrange(-9, 9), 1), lengths[at][1])
        case 2:
            at = rng.randrange(len(lengths))
            lengths[at] = (lengths[at][0], max(lengths[at][1] + rng.randrange(-9, 9), 1))
        case 3:
            del lengths[rng.randrange(len(lengths))]
    reader = Packs(blobs, Lying(Segment(name, number, start, stored, lengths)), KEY)
    for cid, at in located:
        try:
            found = read_blocks(reader, [(cid, at)])
        except (CorruptionError, StorageError) as error:
            assert name in str(error)  # noqa: PT017
        else:
            assert raw_cid(found[cid]) == cid


# --- the trailer -----------------------------------------------------------------------------------------------------------

LENGTH = st.integers(1, 2**32 - 1)
ENTRIES = st.lists(st.builds(Entry, LENGTH, LENGTH, st.integers(0, 2**64 - 1)), max_size=5)


@given(st.sampled_from([Kind.ZSTD, Kind.AES, Kind.ZSTD | Kind.AES]), ENTRIES, st.binary(min_size=48, max_size=48))
@settings(max_examples=50)
def test_a_trailer_comes_back_as_it_was(kind: Kind, entries: list[Entry], rest: bytes) -> None:
    """[FRAME-8], [FRAME-9]"""
    trailer = Trailer(kind, tuple(entries), rest[:16])
    if Kind.AES in kind:
        trailer = Trailer(kind, tuple(entries), rest[:16], rest[16:24], rest[24:40])
    data = trailer.encode()
    assert len(data) == 8 + 16 * len(entries) + 64
    size = sum(entry.stored_length for entry in entries) + len(data)
    assert decode_trailer(data, size, "packs/x") == trailer
    for wrong in (size - 1, size + 1):
        with pytest.raises((BrokenFrame, FormatError), match="packs/x"):
            decode_trailer(data, wrong, "packs/x")


@given(st.binary(max_size=400) | st.binary(max_size=100).map(lambda data: data + b"mstbpack"), st.integers(0, 10**6))
@settings(max_examples=100)
def test_foreign_bytes_are_no_trailer(data: bytes, size: int) -> None:
    """[FRAME-9]"""
    with pytest.raises((BrokenFrame, FormatError), match="packs/x"):
        decode_trailer(data, size, "packs/x")


@pytest.mark.parametrize("at", [0, 4, -64, -63, -62, -60, -40, -20], ids=str)
def test_a_trailer_with_a_true_checksum_has_one_form_only(at: int) -> None:
    """[FRAME-9]: magic, length, kind, version, zeros, count; key and tag of what is not encrypted."""
    from mstbucket.packs.frames.format import checksum

    trailer = Trailer(Kind.ZSTD, (Entry(9, 9, 9),), bytes(16))
    data = bytearray(trailer.encode())
    data[at] ^= 0x40
    data[-16:-8] = struct.pack("<Q", checksum(bytes(data[:-16])))
    with pytest.raises((FormatError, BrokenFrame), match="packs/x"):
        decode_trailer(bytes(data), len(data) + 9, "packs/x")


def test_what_the_first_version_wrote_is_read() -> None:
    """[FRAME-4], [FRAME-8], [FRAME-12], [FRAME-14]: and what is only encrypted is written the same."""
    golden: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
    key = DataKey(bytes.fromhex(golden["key"]))
    assert key.pseudonym(raw_cid(b"hello")).hex() == golden["pseudonym of the CID of hello"]
    blobs = MemoryBlobs()
    for text, given_out in golden["cars"].items():
        plains = []
        for kind, suffix in [(1, "zst"), (2, "aes"), (3, "zst.aes")]:
            if f"kind {kind}" not in given_out:
                continue
            name = f"packs/{golden['blob'][:2]}/{golden['blob']}.car.{suffix}"
            blobs.blobs[name] = bytes.fromhex(given_out[f"kind {kind}"])
            plains.append(packs(blobs, key).get_range(name, 0, given_out["length"]))
            assert [entry.length for entry in read_trailer(blobs, name, key).entries] == given_out["frames"]
        assert len(set(plains)) == 1
        assert len(plains[0]) == given_out["length"]
        if text == "hello":
            encoder = Encoding(None, key).encoder(Kind.AES, bytes.fromhex(golden["blob"]))
            assert (encoder.encode(plains[0]) + encoder.trailer()).hex() == given_out["kind 2"]


@pytest.mark.parametrize(("text", "level"), [("zstd", 3), ("zstd:1", 1), ("zstd:19", 19), ("none", None)])
def test_settings_that_there_are(text: str, level: int | None) -> None:
    assert parse_compression(text) == level


@pytest.mark.parametrize("text", ["", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:x", "zstd:٣", "gzip", "none:1", "ZSTD"])
def test_settings_that_there_are_not(text: str) -> None:
    with pytest.raises(InvalidInput, match="use 'zstd'"):
        parse_compression(text)
