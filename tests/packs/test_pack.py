"""Packs: what the writer writes is a CAR, and the offsets it tells are true."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.base import BlobWriter
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.core import car, car_reader
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.varint import encode as varint
from mstbucket.errors import InvalidBlock
from mstbucket.limits import CAR_SECTION_MAX, CHUNK_SIZE
from mstbucket.packs.plan import section_start
from mstbucket.packs.write import GATHERED, PackWriter

ROOT = raw_cid(b"")
SIZES = [0, 1, 90, 91, 92, 200, 16_347, 16_348, 16_349, GATHERED - 1, GATHERED, GATHERED + 1, CHUNK_SIZE]


class Counting(BlobWriter):
    """Counts the writes that reach the medium."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.data = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sizes.append(len(data))
        self.data += data

    def commit(self) -> int:
        return len(self.data)

    def abort(self) -> None:
        self.data.clear()


def pack(blocks: list[bytes]) -> tuple[bytes, list[int], int]:
    """The bytes of a pack, the offsets told, and the size told."""
    out = Counting()
    writer = PackWriter(out, ROOT)
    offsets = [writer.add(raw_cid(block), block) for block in blocks]
    size = writer.finish()
    return bytes(out.data), offsets, size


@given(st.lists(st.sampled_from(SIZES), max_size=8), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_pack_is_a_car_and_its_offsets_are_true(sizes: list[int], seed: int) -> None:
    """[PACK-1] [PACK-3] read back by the strict reader, which hashes"""
    rnd = random.Random(seed)
    blocks = [rnd.randbytes(size) for size in sizes]
    data, offsets, size = pack(blocks)
    assert size == len(data)
    reader = car_reader.CarReader(io.BytesIO(data))
    assert reader.root == ROOT
    assert list(reader) == [(raw_cid(block), block, at) for block, at in zip(blocks, offsets, strict=True)]
    assert [data[at : at + len(block)] for block, at in zip(blocks, offsets, strict=True)] == blocks


def test_the_example_of_the_specification() -> None:
    """[PACK-1] [PACK-2] [PACK-3] byte for byte, the root and the block of no bytes first"""
    data, offsets, size = pack([b"", b"hello"])
    assert data[:59] == car.header(ROOT)
    assert data[59:].hex(" ") == (
        "24 01 55 12 20 e3 b0 c4 42 98 fc 1c 14 9a fb f4 c8 99 6f b9 24 27 ae 41 e4 64 9b 93 4c a4 95 99 1b 78 52 b8 "
        "55 29 01 55 12 20 2c f2 4d ba 5f b0 a3 0e 26 e8 3b 2a c5 b9 e2 9e 1b 16 1e 5c 1f a7 42 5e 73 04 33 62 93 8b "
        "98 24 68 65 6c 6c 6f"
    )
    assert offsets == [96, 133]
    assert size == 138


def test_small_blocks_share_writes_and_large_ones_are_not_copied() -> None:
    """[PACK-4] tens of thousands of blocks cost tens of system calls"""
    out = Counting()
    writer = PackWriter(out, ROOT)
    small = [number.to_bytes(4) * 50 for number in range(20_000)]
    for block in small:
        writer.add(raw_cid(block), block)
    writer.finish()
    assert len(out.sizes) <= len(out.data) // GATHERED + 1
    assert max(out.sizes) < GATHERED + 300
    large = memoryview(bytes(CHUNK_SIZE))
    given_: list[object] = []
    out.write = given_.append  # type: ignore[method-assign]
    writer.add(raw_cid(large), large)
    assert given_[-1] is large


def test_a_block_that_no_reader_would_take_is_refused() -> None:
    """[PACK-1]"""
    writer = PackWriter(MemoryBlobs().open_write("packs/a"), ROOT)
    with pytest.raises(InvalidBlock, match="more than a CAR section holds"):
        writer.add(ROOT, bytes(CAR_SECTION_MAX - 35))


@given(st.integers(0, CAR_SECTION_MAX - 36) | st.sampled_from([91, 92, 16_347, 16_348, 2_097_115, 2_097_116]))
@settings(deadline=None)
def test_the_start_of_a_section_follows_from_its_block(length: int) -> None:
    """[PACK-3]"""
    head = len(car.section_head(dag_cbor_cid(b""), length))
    assert head == len(varint(36 + length)) + 36
    assert section_start(1_000 + head, length) == 1_000
