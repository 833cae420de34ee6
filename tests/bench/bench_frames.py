"""Packs in frames against plain ones: what zstd and AES cost on chunks that do not compress, and on what does.

On the wall and with all cores, because a thread beside the hashing is the point; each figure and its floor by turns, so
that whatever else the machine does hits both. On a machine that is busy the thread has no core to run on, and the figures
are those of one core. Set TMPDIR to try another disk.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from rows import Row

from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.names import framed, pack_name
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.manifest import Manifest
from mstbucket.core.manifest import encode as encode_manifest
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.plan import Location
from mstbucket.packs.read import PackScan, read_blocks
from mstbucket.packs.write import PackWriter

MIB = 2**20
CHUNKS = 16
SMALL = 10_000
BATCH = 1_000
ROUNDS = 60  # many short ones: the least time is one in which nobody else was there
COST = 0.25  # of the plain pack's time, at most
ROOT = raw_cid(b"")
KEY = DataKey(bytes(range(32)))
KINDS = {"zstd": Encoding(3, None), "aes": Encoding(None, KEY), "zstd and aes": Encoding(3, KEY)}

Index = dict[bytes, Location]


def race(works: Sequence[Callable[[], object]]) -> list[float]:
    """The least time of each on the wall, run by turns."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for number, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


class Store:
    """A pack on a local disk, written over and over, and read."""

    def __init__(self, directory: Path, encoding: Encoding, blocks: Sequence[bytes], cid: Callable[[bytes], bytes]) -> None:
        self._blobs = LocalBlobs(directory)
        self._encoding = encoding
        self._blocks = blocks
        self._cid = cid
        self.name = pack_name(encoding.kind)
        self.packs = Packs(self._blobs, TrailerIndex(self._blobs, KEY), KEY)
        self.index: Index = {}

    def write(self) -> None:
        """Hash every block and write it, as a put does."""
        self._blobs.delete(self.name)
        self.index.clear()
        with self._blobs.open_write(self.name) as blob:
            form = framed(self.name)
            writer = blob if form is None else FrameWriter(blob, self._encoding.encoder(*form))
            pack = PackWriter(writer, ROOT)
            for block in self._blocks:
                cid = self._cid(block)
                self.index[cid] = Location(self.name, pack.add(cid, block), len(block))
            pack.finish()
            writer.commit()

    def read(self) -> None:
        """One block after the other."""
        for at in self.index.items():
            read_blocks(self.packs, [at])

    def scan(self) -> None:
        """All of it, in batches."""
        source = PackScan(self.packs, lambda asked: {cid: self.index[cid] for cid in asked})
        cids = list(self.index)
        for start in range(0, len(cids), BATCH):
            source.get_many(cids[start : start + BATCH])

    def size(self) -> int:
        """Bytes on the disk."""
        return self._blobs.head(self.name).size


def chunks(directory: Path) -> list[Row]:
    """Chunks of 1 MiB that do not compress: the dearest case, since nothing is gained."""
    chunk = random.Random(1).randbytes(MIB)
    blocks = [number.to_bytes(4) + chunk[4:] for number in range(CHUNKS)]
    plain = Store(directory / "plain", Encoding(), blocks, raw_cid)
    others = [Store(directory / name, encoding, blocks, raw_cid) for name, encoding in KINDS.items()]
    rows = []
    for what, work in (("put", Store.write), ("get", Store.read)):
        base, *taken = race([lambda store=store, work=work: work(store) for store in (plain, *others)])  # type: ignore[misc]
        for name, time_ in zip(KINDS, taken, strict=True):
            most = 2 * COST if "and" in name else COST
            figure, floor, met = f"{what} 1 MiB chunks, {name}", f"{what} plain", time_ / base - 1 < most
            rows.append(Row(figure, CHUNKS / time_, "MiB/s", floor, base / time_, f"costs < {most:.0%}", met))
    return rows


def small(directory: Path) -> list[Row]:
    """Manifests: written as a flush does, read as an export does, and one at a time."""
    rng = random.Random(2)
    blocks = [
        encode_manifest(
            Manifest(
                content=raw_cid(rng.randbytes(8)), size=rng.randrange(10**6), etag=rng.randbytes(16).hex(),
                content_type="image/jpeg", created=10**12 + n, modified=10**12 + n, sha256=rng.randbytes(32),
            )
        )
        for n in range(SMALL)
    ]  # fmt: skip
    plain = Store(directory / "plain", Encoding(), blocks, dag_cbor_cid)
    others = [Store(directory / name, encoding, blocks, dag_cbor_cid) for name, encoding in KINDS.items()]
    rows = []
    for what, work in (("write", Store.write), ("scan", Store.scan)):
        base, *taken = race([lambda store=store, work=work: work(store) for store in (plain, *others)])  # type: ignore[misc]
        for name, time_ in zip(KINDS, taken, strict=True):
            rows.append(Row(f"{what} manifests, {name}", SMALL / time_, "/s", f"{what} plain", base / time_, "none", True))
    ratio = others[0].size() / plain.size()
    rows.append(Row("size of manifests, zstd", others[0].size() / MIB, "MiB", "plain", ratio, "none", True))
    picked = random.Random(3).sample(list(others[2].index.items()), 500)

    def alone() -> None:
        for at in picked:
            fresh = Packs(others[2].packs._blobs, others[2].packs._index, KEY)
            read_blocks(fresh, [at])

    def alone_plain() -> None:
        for cid, _ in picked:
            read_blocks(plain.packs, [(cid, plain.index[cid])])

    taken_, base_ = race([alone, alone_plain])
    rows.append(Row("read one manifest cold, zstd and aes", taken_ / 500 * 1e6, "us", "plain", base_ / taken_, "none", True))
    return rows


def hashing() -> list[Row]:
    """For comparison: what hashing a chunk takes."""
    chunk = random.Random(1).randbytes(MIB)
    (taken,) = race([lambda: [sha256(chunk).digest() for _ in range(CHUNKS)]])
    return [Row("sha256 of 1 MiB chunks", CHUNKS / taken, "MiB/s", "itself", 1.0, "none", True)]


def run() -> list[Row]:
    """Every row of this module."""
    with tempfile.TemporaryDirectory() as directory:
        rows = hashing()
        for part in (chunks, small):
            folder = Path(directory) / part.__name__
            folder.mkdir()
            rows += part(folder)
        return rows
