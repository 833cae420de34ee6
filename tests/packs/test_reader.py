"""Reading blocks out of packs: right, or an error that names block, pack and place; and few questions and reads."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import HashMismatch, MissingBlock, StorageError
from mstbucket.limits import KIB
from mstbucket.packs import read as reader
from mstbucket.packs.plan import Location
from mstbucket.packs.read import PackScan, read_blocks
from mstbucket.packs.write import PackWriter

ROOT = raw_cid(b"")


class Blobs(MemoryBlobs):
    """Counts reads, and fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int, int]] = []
        self.fail: Callable[[int], bool] = lambda _: False

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self.reads.append((name, start, length))
        if self.fail(start + length):
            raise StorageError(f"blob {name} cannot be read")
        return super().get_range(name, start, length)


class Packed:
    """Blocks in packs, the index of them, and the questions the index was asked."""

    def __init__(self, *packs: list[bytes]) -> None:
        self.blobs = Blobs()
        self.index: dict[bytes, Location | bytes] = {}
        self.blocks: dict[bytes, bytes] = {}
        self.asked: list[int] = []
        for number, blocks in enumerate(packs):
            name = f"packs/{number}"
            with self.blobs.open_write(name) as blob:
                pack = PackWriter(blob, ROOT)
                for block in blocks:
                    cid = raw_cid(block)
                    self.index[cid] = Location(name, pack.add(cid, block), len(block))
                    self.blocks[cid] = block
                pack.finish()
                blob.commit()

    def locate(self, cids: Sequence[bytes]) -> dict[bytes, Location | bytes]:
        self.asked.append(len(cids))
        return {cid: self.index[cid] for cid in cids if cid in self.index}

    def scan(self) -> PackScan:
        return PackScan(self.blobs, self.locate)

    def damage(self, cid: bytes) -> None:
        pack, offset, _ = self.index[cid]
        data = bytearray(self.blobs.blobs[pack])
        data[offset] ^= 1
        self.blobs.blobs[pack] = bytes(data)


def some(count: int, seed: int = 1, most: int = 400) -> list[bytes]:
    rnd = random.Random(seed)
    return [rnd.randbytes(rnd.randrange(8, most)) for _ in range(count)]


@pytest.fixture
def packed() -> Packed:
    return Packed(some(3_000), some(200, seed=2, most=40 * KIB), [bytes([n]) * 300 * KIB for n in range(5)])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_comes_back(data: st.DataObject) -> None:
    """[PACK-5] both ways of reading, against a dictionary; blocks in the database among them"""
    packed = Packed(some(60), [b"", b"x"], some(9, seed=2, most=90 * KIB))
    cids = list(packed.blocks)
    packed.index[cids[3]] = packed.blocks[cids[3]]
    scan = packed.scan()
    for _ in range(4):
        asked = data.draw(st.lists(st.sampled_from(cids), max_size=40))
        assert scan.get_many(asked) == {cid: packed.blocks[cid] for cid in asked}
        questions, reads = len(packed.asked), len(packed.blobs.reads)
        assert all(scan.near(cid) in (None, block) for cid, block in packed.blocks.items())
        assert (questions, reads) == (len(packed.asked), len(packed.blobs.reads))
    located = [(cid, packed.index[cid]) for cid in asked if cid != cids[3]]
    assert read_blocks(packed.blobs, located) == {cid: packed.blocks[cid] for cid, _ in located}
    assert scan.get(cids[0]) == packed.blocks[cids[0]]


def test_a_pass_in_pack_order_asks_and_reads_little(packed: Packed) -> None:
    """[PACK-5] neighbours come along: 3,000 blocks in batches of 50 for few questions and few reads"""
    cids = list(packed.blocks)[:3_000]
    scan = packed.scan()
    for start in range(0, len(cids), 50):
        scan.get_many(cids[start : start + 50])
    assert sum(packed.asked) <= 200
    assert len(packed.blobs.reads) <= 4


def test_a_pass_in_pack_order_finds_nearly_all_at_hand(packed: Packed) -> None:
    """[PACK-5] a block is at hand when another was read beside it; damage there is not at hand"""
    cids = list(packed.blocks)[:3_000]
    packed.damage(cids[77])
    scan = packed.scan()
    assert scan.near(cids[0]) is None
    far = [cid for cid in cids if scan.near(cid) is None and (cid == cids[77] or scan.get(cid))]
    assert cids[77] in far
    assert len(far) <= 4
    with pytest.raises(HashMismatch):
        scan.get(cids[77])


def test_a_large_block_is_read_alone_and_exactly(packed: Packed) -> None:
    """[PACK-7] without a copy of what stands around it"""
    cids = [raw_cid(bytes([n]) * 300 * KIB) for n in range(5)]
    packed.scan().get_many(cids)
    assert [length for _, _, length in packed.blobs.reads] == [300 * KIB] * 5


@pytest.mark.parametrize("read", ["alone", "together", "from what was read before"])
def test_damage_is_named_and_never_handed_out(packed: Packed, read: str) -> None:
    """[PACK-6] the block, the pack and the offset"""
    cids = list(packed.blocks)[:100]
    bad = cids[40]
    packed.damage(bad)
    scan = packed.scan()
    if read == "from what was read before":
        scan.get_many(cids[:20])
    location = packed.index[bad]
    assert isinstance(location, Location)
    with pytest.raises(HashMismatch, match=rf"{to_text(bad)}.*in pack packs/0 at byte {location.offset}"):
        scan.get_many([bad] if read == "alone" else cids[30:50])
    with pytest.raises(HashMismatch, match=rf"{to_text(bad)}.*in pack packs/0 at byte {location.offset}"):
        read_blocks(packed.blobs, [(bad, location)])
    assert scan.get_many(cids[:40] + cids[41:]).keys() == set(cids) - {bad}


def test_damage_beside_what_is_asked_for_harms_nothing_where_the_index_knows_better() -> None:
    """[PACK-6] the same block stands in two packs, and the copy that came along is the bad one"""
    blocks = some(50)
    packed = Packed(blocks)
    bad = raw_cid(blocks[30])
    packed.damage(bad)
    twice = Packed(blocks, [blocks[30]])
    twice.blobs.blobs["packs/0"] = packed.blobs.blobs["packs/0"]
    scan = twice.scan()
    scan.get_many([raw_cid(block) for block in blocks[:20]])
    assert scan.get(bad) == blocks[30]


def test_a_damaged_section_head_stops_nothing_but_the_reading_ahead(packed: Packed) -> None:
    """[PACK-6]"""
    cids = list(packed.blocks)[:100]
    location = packed.index[cids[10]]
    assert isinstance(location, Location)
    data = bytearray(packed.blobs.blobs["packs/0"])
    data[location.offset - 36] ^= 0xFF  # the CID in the pack is of an unknown form now; the block is whole
    packed.blobs.blobs["packs/0"] = bytes(data)
    assert packed.scan().get_many(cids) == {cid: packed.blocks[cid] for cid in cids}


@pytest.mark.parametrize("many", [1, 50])
def test_a_pack_that_is_gone_is_lost_data(packed: Packed, many: int) -> None:
    """[PACK-8] never a missing blob, which a caller might take for absence"""
    cids = list(packed.blocks)[:many]
    packed.blobs.delete("packs/0")
    for read in (
        packed.scan().get_many,
        lambda asked: read_blocks(packed.blobs, [(c, packed.index[c]) for c in asked]),
    ):
        with pytest.raises(MissingBlock, match=rf"pack packs/0 is gone, and with it {to_text(cids[0])}"):
            read(cids)


def test_a_pack_that_is_cut_short_is_lost_data_where_it_is_cut(packed: Packed) -> None:
    """[PACK-8]"""
    cids = list(packed.blocks)[:3_000]
    whole = packed.blobs.blobs["packs/0"]
    packed.blobs.blobs["packs/0"] = whole[: len(whole) // 2]
    scan = packed.scan()
    assert scan.get_many(cids[:1_000]) == {cid: packed.blocks[cid] for cid in cids[:1_000]}
    with pytest.raises(MissingBlock, match=rf"pack packs/0 was cut to {len(whole) // 2} bytes.*{to_text(cids[-1])}") as lost:
        scan.get_many(cids[-1:])
    assert str(lost.value).count("restore the pack") == 1


def test_a_block_that_the_index_does_not_know(packed: Packed) -> None:
    """[PACK-8]"""
    strange = raw_cid(b"never stored")
    with pytest.raises(MissingBlock, match=to_text(strange)):
        packed.scan().get_many([*list(packed.blocks)[:5], strange])


def test_a_medium_that_fails_is_the_mediums_fault(packed: Packed) -> None:
    """[PACK-8] and not damage: repeating the call may help"""
    cids = list(packed.blocks)[:50]
    packed.blobs.fail = lambda _: True
    scan = packed.scan()
    with pytest.raises(StorageError, match="packs/0 cannot be read"):
        scan.get_many(cids)
    packed.blobs.fail = lambda _: False
    assert scan.get_many(cids) == {cid: packed.blocks[cid] for cid in cids}


def test_reading_ahead_that_fails_is_given_up(packed: Packed) -> None:
    """[PACK-5] what was asked for can be read, so it is"""
    cids = list(packed.blocks)[:50]
    last = packed.index[cids[-1]]
    assert isinstance(last, Location)
    packed.blobs.fail = lambda stop: stop > last.offset + last.length
    assert packed.scan().get_many(cids) == {cid: packed.blocks[cid] for cid in cids}


def test_memory_is_bounded_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """[PACK-9] tiny blocks, whose index outweighs them"""
    packed = Packed([number.to_bytes(8) for number in range(120_000)])
    cids = list(packed.blocks)
    monkeypatch.setattr(reader, "SCAN_CACHE", 4_000_000)
    monkeypatch.setattr(packed.blobs, "reading", packed.blobs.reading._replace(ahead=64 * KIB))
    scan = packed.scan()
    tracemalloc.start()
    try:
        for start in range(0, len(cids), 500):
            scan.get_many(cids[start : start + 500])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 1_000_000 < held < 5_000_000


def test_threads_share_a_scan(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PACK-5] while ranges come and go"""
    monkeypatch.setattr(reader, "SCAN_CACHE", 700_000)
    cids = list(packed.blocks)[:3_000]
    scan = packed.scan()
    wrong: list[BaseException | bytes] = []

    def work(seed: int) -> None:
        rnd = random.Random(seed)
        for _ in range(60):
            start = rnd.randrange(2_900)
            try:
                got = scan.get_many(cids[start : start + 100])
            except BaseException as error:
                wrong.append(error)
                return
            wrong.extend(cid for cid in cids[start : start + 100] if got[cid] != packed.blocks[cid])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
