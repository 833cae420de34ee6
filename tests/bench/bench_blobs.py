"""The blob store and packs against the hashing and copying they cannot do without. Floors are measured in the same run.

CPU time, the kernel's included: how long a disk takes to flush is the disk's affair, and the same for both sides. The
one row that is about flushing says so, and takes the time on the wall. Set TMPDIR to try another disk.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from rows import Row

from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.packs.plan import Location
from mstbucket.packs.read import PackScan, read_blocks
from mstbucket.packs.write import PackWriter

MIB = 2**20
LARGE = 128  # MiB
SMALL = 200_000  # blocks of 120 to 400 bytes, as nodes and manifests have
BATCH = 1_000
PUTS = 100
ROUNDS = 5
ROOT = raw_cid(b"")

Work = Callable[[], object]
Clock = Callable[[], float]


def race(one: Callable[[], object], floor: Callable[[], object], clock: Clock = time.process_time) -> tuple[float, float]:
    """The least time of each, run by turns, so that whatever else the machine does hits both."""
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for number, work in enumerate((one, floor)):
            start = clock()
            work()
            best[number] = min(best[number], clock() - start)
    return best[0], best[1]


def flushed(path: Path, pieces: Sequence[bytes]) -> None:
    """Write a file with the least ado, and flush it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for piece in pieces:
        os.write(fd, piece)
    os.fsync(fd)
    os.close(fd)


def large(directory: Path) -> list[Row]:
    """A body of 1 MiB chunks: into a pack of its own, and back."""
    chunk = random.Random(1).randbytes(MIB)
    chunks = [number.to_bytes(4) + chunk[4:] for number in range(LARGE)]
    blobs = LocalBlobs(directory / "large")
    index: list[tuple[bytes, Location]] = []

    def put() -> None:
        index.clear()
        blobs.delete("packs/large")
        with blobs.open_write("packs/large") as blob:
            pack = PackWriter(blob, ROOT)
            for block in chunks:
                cid = raw_cid(block)
                index.append((cid, Location("packs/large", pack.add(cid, block), len(block))))
            pack.finish()
            blob.commit()

    def put_floor() -> None:
        (directory / "floor").unlink(missing_ok=True)
        for block in chunks:
            sha256(block).digest()
        flushed(directory / "floor", chunks)

    def get() -> None:
        # One at a time: holding several, the allocator gives memory back and fetches it again, for a third of the time.
        for at in index:
            read_blocks(blobs, [at])

    def get_floor() -> None:
        fd = os.open(directory / "floor", os.O_RDONLY)
        for number in range(LARGE):
            sha256(os.pread(fd, MIB, number * MIB)).digest()
        os.close(fd)

    taken, least = race(put, put_floor)
    rows = [_share("put a large body, local", LARGE / taken, "sha256, write, fsync", least / taken, 0.7)]
    taken, least = race(get, get_floor)
    return [*rows, _share("get a large body, local", LARGE / taken, "pread, sha256", least / taken, 0.8)]


def small(directory: Path) -> list[Row]:
    """Nodes and manifests: into a pack, and back in its order, as a flush writes and an export reads them."""
    rnd = random.Random(2)
    blocks = [rnd.randbytes(rnd.randrange(120, 400)) for _ in range(SMALL)]
    cids = [dag_cbor_cid(block) for block in blocks]
    blobs = LocalBlobs(directory / "small")
    index: dict[bytes, Location] = {}

    def write() -> None:
        index.clear()
        blobs.delete("packs/small")
        with blobs.open_write("packs/small") as blob:
            pack = PackWriter(blob, ROOT)
            for cid, block in zip(cids, blocks, strict=True):
                index[cid] = Location("packs/small", pack.add(cid, block), len(block))
            pack.finish()
            blob.commit()

    def write_floor() -> None:
        (directory / "floor").unlink(missing_ok=True)
        flushed(directory / "floor", [b"".join(b"%b%b" % pair for pair in zip(cids, blocks, strict=True))])

    def locate(asked: Sequence[bytes]) -> dict[bytes, Location | bytes]:
        return {cid: index[cid] for cid in asked}

    def scan() -> None:
        source = PackScan(blobs, locate)
        for start in range(0, SMALL, BATCH):
            source.get_many(cids[start : start + BATCH])

    def read_floor() -> None:
        fd = os.open(directory / "small/packs/small", os.O_RDONLY)
        window, base = b"", 0
        found: dict[bytes, bytes] = {}
        for cid in cids:
            _, offset, length = index[cid]
            if offset + length > base + len(window):
                window, base = os.pread(fd, MIB, offset), offset
                found.clear()
            found[cid] = block = window[offset - base : offset - base + length]
            if sha256(block).digest() != cid[4:]:
                raise AssertionError
        os.close(fd)

    taken, least = race(write, write_floor)
    rows = [_rate("write small blocks into a pack", SMALL / taken, "join, write, fsync", least / taken, 0)]
    taken, least = race(scan, read_floor)
    floor = "pread, slice, sha256, compare"
    return [*rows, _rate("read small blocks in pack order", SMALL / taken, floor, least / taken, 150_000)]


def puts(directory: Path) -> list[Row]:
    """Blobs of 1 KiB, each durable before the next, as commits are published. Time on the wall."""
    blobs = LocalBlobs(directory / "puts")
    data = bytes(1024)
    (directory / "bare").mkdir()

    def put() -> None:
        for number in range(PUTS):
            blobs.put(f"refs/{number}", data)
        blobs.delete_many(f"refs/{number}" for number in range(PUTS))

    def floor() -> None:
        folder = os.open(directory / "bare", os.O_RDONLY)
        for number in range(PUTS):
            flushed(directory / "bare/hidden", [data])
            os.rename(directory / "bare/hidden", directory / f"bare/{number}")
            os.fsync(folder)
        for number in range(PUTS):
            os.unlink(directory / f"bare/{number}")
        os.fsync(folder)
        os.close(folder)

    taken, least = race(put, floor, time.perf_counter)
    return [_rate("put a small blob, on the wall", PUTS / taken, "write, 2 fsync, rename", least / taken, 0)]


def _share(name: str, rate: float, floor: str, ratio: float, least: float) -> Row:
    return Row(name, rate, "MiB/s", floor, ratio, f">= {least} of the floor", ratio >= least)


def _rate(name: str, rate: float, floor: str, ratio: float, least: float) -> Row:
    return Row(name, rate, "/s", floor, ratio, f">= {least:,}/s" if least else "none", rate >= least)


def run() -> list[Row]:
    """Every row of this module."""
    with tempfile.TemporaryDirectory() as directory:
        rows: list[Row] = []
        for part in (large, small, puts):
            folder = Path(directory) / part.__name__
            folder.mkdir()
            rows += part(folder)
        return rows
