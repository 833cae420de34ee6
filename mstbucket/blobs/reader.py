"""Reading blocks out of packs: which bytes to fetch is planned first, and every block is hashed before it is given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

from mstbucket.blobs.base import BlobStore
from mstbucket.core import car, varint
from mstbucket.core.cid import CID, CID_SIZE, to_text, verify_block
from mstbucket.errors import FormatError, HashMismatch, MissingBlock, NoSuchBlob, StorageError
from mstbucket.limits import KIB, MIB

GAP: Final = 16 * KIB  # read over rather than around: copying this much costs about as much as another call
READ_MAX: Final = 4 * MIB  # of one planned read, unless a single block is larger
AHEAD: Final = 512 * KIB  # read on behind a dense range by a scan
DENSE: Final = 2  # a range is dense if at least one in so many of its bytes was asked for
SCAN_CACHE: Final = 32 * MIB  # of fetched ranges kept by a scan


class Location(NamedTuple):
    """Where a block is: the pack, the offset of the block's first byte, its length."""

    pack: str
    offset: int
    length: int


class Read(NamedTuple):
    """One planned read of a pack: `start` to `stop`, and the wanted blocks in it as (CID, location)."""

    pack: str
    start: int
    stop: int
    wanted: tuple[tuple[CID, Location], ...]


def plan(wanted: Iterable[tuple[CID, Location]]) -> list[Read]:
    """The reads a caller would execute to get `wanted`, each a range of one pack; no input or output here.

    Neighbours that are at most GAP apart share a read, as long as it stays below READ_MAX. Ranges start with a block's
    section, so that what lies between can be parsed.
    """
    reads: list[Read] = []
    group: list[tuple[CID, Location]] = []
    start = stop = 0
    for item in sorted(wanted, key=lambda pair: pair[1]):
        pack, offset, length = item[1]
        begin = offset - CID_SIZE - len(varint.encode(CID_SIZE + length))
        if group and pack == group[0][1].pack and begin <= stop + GAP and offset + length - start <= READ_MAX:
            group.append(item)
            stop = max(stop, offset + length)
            continue
        if group:
            reads.append(Read(group[0][1].pack, start, stop, tuple(group)))
        group, start, stop = [item], begin, offset + length
    if group:
        reads.append(Read(group[0][1].pack, start, stop, tuple(group)))
    return reads


def read_blocks(blobs: BlobStore, wanted: Iterable[tuple[CID, Location]]) -> dict[CID, bytes]:
    """Fetch and verify the blocks of `wanted`, neighbours together.

    Raises:
        MissingBlock: a pack that the index names is gone.
        HashMismatch: bytes that are not the block they should be.
        StorageError: the medium failed, or a pack is shorter than the index says.
    """
    found: dict[CID, bytes] = {}
    for read in plan(wanted):
        data = fetch(blobs, read, read.stop)
        for cid, (_, offset, length) in read.wanted:
            found[cid] = checked(cid, data[offset - read.start : offset - read.start + length], read.pack)
    return found


def fetch(blobs: BlobStore, read: Read, stop: int) -> bytes:
    """The bytes of a planned read, up to `stop`."""
    try:
        return blobs.get_range(read.pack, read.start, stop - read.start)
    except NoSuchBlob as error:
        names = ", ".join(to_text(cid) for cid, _ in read.wanted[:3])
        raise MissingBlock(f"pack {read.pack} is gone, and with it {len(read.wanted)} blocks ({names})") from error


def checked(cid: CID, block: bytes, pack: str) -> bytes:
    """Return the block, or raise `HashMismatch` saying where the damage is ([GET-1])."""
    try:
        verify_block(cid, block)
    except HashMismatch as error:
        raise HashMismatch(f"{error} (in pack {pack})") from error
    return block


class PackScan:
    """A block source for reading a whole closure: keeps what it fetched beside what was asked for, and reads ahead.

    For one pass by one thread. Holds SCAN_CACHE bytes of ranges and their index.
    """

    def __init__(self, blobs: BlobStore, locate: Callable[[Sequence[CID]], dict[CID, Location | bytes]]) -> None:
        self._blobs = blobs
        self._locate = locate
        self._index: dict[CID, tuple[bytes, int, int, str]] = {}
        self._ranges: OrderedDict[int, tuple[bytes, list[CID]]] = OrderedDict()
        self._held = 0
        self._count = 0

    def get(self, cid: CID) -> bytes:
        """The block of `cid`, verified."""
        return self.get_many((cid,))[cid]

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`, verified; those not fetched before are asked of the index in one question."""
        found: dict[CID, bytes] = {}
        missing: list[CID] = []
        for cid in cids:
            at = self._index.get(cid)
            if at is None:
                missing.append(cid)
            else:
                found[cid] = checked(cid, at[0][at[1] : at[2]], at[3])
        if missing:
            wanted: list[tuple[CID, Location]] = []
            for cid, place in self._locate(missing).items():
                if isinstance(place, bytes):
                    found[cid] = place
                else:
                    wanted.append((cid, place))
            for read in plan(wanted):
                self._take(read, found)
        return found

    def _take(self, read: Read, found: dict[CID, bytes]) -> None:
        size = read.stop - read.start
        dense = len(read.wanted) > 1 and DENSE * sum(place.length for _, place in read.wanted) >= size
        data = b""
        if dense:
            try:
                end = self._blobs.head(read.pack).size
                data = fetch(self._blobs, read, min(read.stop + AHEAD, end))
            except StorageError:
                dense = False  # reading ahead is a favour; what was asked for decides
        if not dense:
            data = fetch(self._blobs, read, read.stop)
        for cid, (_, offset, length) in read.wanted:
            found[cid] = checked(cid, data[offset - read.start : offset - read.start + length], read.pack)
        if dense:
            self._keep(data, read)

    def _keep(self, data: bytes, read: Read) -> None:
        try:
            blocks = car.parse_window(data, read.start)
        except FormatError:
            return  # damage beside what was asked for is named when it is asked for itself
        cids = []
        for cid, offset, length in blocks:
            start = offset - read.start
            self._index[cid] = (data, start, start + length, read.pack)
            cids.append(cid)
        self._ranges[self._count] = (data, cids)
        self._count += 1
        self._held += len(data)
        while self._held > SCAN_CACHE:
            _, (old, gone) = self._ranges.popitem(last=False)
            self._held -= len(old)
            for cid in gone:
                at = self._index.get(cid)
                if at is not None and at[0] is old:
                    del self._index[cid]
