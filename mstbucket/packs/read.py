"""Reading blocks out of packs: which bytes to fetch is planned first, and every block is hashed before it is given."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import repeat
from typing import Final, TypeVar

from mstbucket.core import car
from mstbucket.core.cid import CID, CID_SIZE, to_text
from mstbucket.errors import CorruptionError, FormatError, MissingBlock, NoSuchBlob, StorageError
from mstbucket.limits import MIB
from mstbucket.packs.fetch import Ranges, fetch, take
from mstbucket.packs.plan import Location, Read, plan

WORTH: Final = 4  # reading ahead goes on while at least one in so many of the bytes it brought was used
CROWD: Final = 16  # blocks asked for in one range that make it a place to read on from; neighbours alone do not
GRACE: Final = 8  # times it is tried before that is asked
RETRY: Final = 64  # a scan that gave up reading ahead tries it again after so many blocks asked for alone
DENSE: Final = 2  # a range is dense if at least one in so many of its bytes was asked for
SCAN_CACHE: Final = 32 * MIB  # of fetched ranges and their index kept by a scan
ENTRY: Final = 300  # bytes that the index of a kept block takes: its CID, four numbers and their dictionary

_Place = Location | bytes
_Kept = tuple[bytes, int, int]  # a fetched range, and where in it a block starts and stops
_Window = tuple[bytes, list[CID]]  # a fetched range and the blocks in it
_Places = TypeVar("_Places")
_Read = TypeVar("_Read")


def following(
    locate: Callable[[], _Places],
    read: Callable[[_Places], _Read],
    condemn: Callable[[CorruptionError | StorageError], object],
) -> _Read:
    """What `read` makes of the places that `locate` gives; asked again where what it wants is not there, or damaged.

    [STO-3] A pack may have been written again, or compacted into another, since the index was asked. What is still missing
    or wrong when the index says the same again is lost: `condemn` hears the error, and it goes through. So it is with a
    pack whose file alone the medium does not give; any other failure of the medium says nothing about the pack ([PUT-13]).
    """
    places = locate()
    while True:
        try:
            return read(places)
        except (CorruptionError, StorageError) as error:
            if isinstance(error, StorageError) and error.pack is None:
                raise
            moved = locate()
            if moved == places:
                condemn(error)
                raise
            places = moved


def read_blocks(blobs: Ranges, wanted: Iterable[tuple[CID, Location]]) -> dict[CID, bytes]:
    """Fetch and verify the blocks of `wanted`, neighbours together.

    Raises:
        MissingBlock: a pack that the index names is gone, or shorter than the index says.
        HashMismatch: bytes that are not the block they should be; the message names block, pack and offset.
        BrokenFrame: a compressed or encrypted pack is not what was written; the message names it and the blocks.
        StorageError: the medium failed.
    """
    found: dict[CID, bytes] = {}
    for read in plan(wanted, blobs.reading.gap, blobs.reading.limit):
        take(blobs, read, found)
    return found


def read_block(blobs: Ranges, cid: CID, place: Location) -> bytes:
    """Fetch and verify one block; as `read_blocks`, without a plan."""
    pack, offset, length = place
    read = Read(pack, offset, offset + length, ((cid, place),))
    found: dict[CID, bytes] = {}
    take(blobs, read, found)
    return found[cid]


class PackScan:
    """A block source for reading much of what lies together: keeps what it read beside what was asked for.

    Where many blocks of a range are asked for, or one alone, it reads ahead as long as that pays: a pass over a closure
    in the order of its pack asks the index about few of its blocks and the medium twice per MiB; one over scattered
    blocks soon reads only what it is asked for. Thread-safe. Holds at most SCAN_CACHE bytes, whatever it is asked for.

    Args:
        blobs: where the packs are.
        locate: says for CIDs where they are, or gives their bytes, verified; raises `MissingBlock` for one it does not
            know. Asked once per call, about all that was not read before. The last word: what was read beside is used
            only if its hash is right.
        condemn: hears the errors about blocks that are lost or damaged for good, before they go through.
    """

    def __init__(
        self,
        blobs: Ranges,
        locate: Callable[[Sequence[CID]], Mapping[CID, _Place]],
        condemn: Callable[[CorruptionError | StorageError], object] = lambda error: None,
    ) -> None:
        self._blobs = blobs
        self._locate = locate
        self._condemn = condemn
        self._lock = threading.Lock()  # over the three below, never while something is fetched
        self._index: dict[CID, _Kept] = {}
        self._windows: OrderedDict[int, _Window] = OrderedDict()
        self._held = 0
        self._count = 0
        self._brought = self._used = self._declined = 0  # bytes read ahead, those of them used, times it did not pay

    def get(self, cid: CID) -> bytes:
        """The block of `cid`, verified. Raises as `get_many`."""
        return self.get_many((cid,))[cid]

    def near(self, cid: CID) -> bytes | None:
        """The block of `cid`, verified, if it was read beside others; no question is asked, and nothing is read."""
        at = self._index.get(cid)
        if at is None:
            return None
        data, start, stop = at
        block = data[start:stop]
        if sha256(block).digest() != cid[4:]:  # [PACK-6] as in `get_many`
            return None
        self._used += stop - start
        return block

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`, verified; those not read before are asked of the index in one question.

        Raises:
            MissingBlock: the index does not know one, or its pack is gone or cut short.
            HashMismatch: bytes that are not the block they should be; the message names block, pack and offset.
            StorageError: the medium failed.
        """
        found: dict[CID, bytes] = {}
        missing: list[CID] = []
        kept = self._index.get
        for cid in cids:
            at = kept(cid)
            if at is not None:
                block = at[0][at[1] : at[2]]
                # [PACK-6] Damage here is not the last word: the index may know another place.
                if sha256(block).digest() == cid[4:]:
                    found[cid] = block
                    self._used += len(block)
                    continue
            missing.append(cid)
        if missing:
            read = lambda places: self._read(missing, places, len(cids) == 1)  # noqa: E731
            found.update(following(lambda: self._locate(missing), read, self._condemn))
        return found

    def _read(self, missing: Sequence[CID], places: Mapping[CID, _Place], alone: bool) -> dict[CID, bytes]:
        found: dict[CID, bytes] = {}
        wanted: list[tuple[CID, Location]] = []
        for cid in dict.fromkeys(missing):
            place = places.get(cid)
            if place is None:
                raise MissingBlock(f"block {to_text(cid)} is not in the index of this store").about(cid=cid)
            if isinstance(place, bytes):
                found[cid] = place
            else:
                wanted.append((cid, place))
        for read in plan(wanted, self._blobs.reading.scan_gap, self._blobs.reading.limit):
            if self._pays(read, alone):
                self._keep(read, take(self._blobs, read, found, self._fetch_ahead))
            else:
                take(self._blobs, read, found)
        return found

    def _pays(self, read: Read, alone: bool) -> bool:
        """Whether to read ahead behind a planned read. The counters may be a little off under threads."""
        if not alone:
            asked = sum(CID_SIZE + place.length for _, place in read.wanted)
            return len(read.wanted) >= CROWD and DENSE * asked >= read.stop - read.start
        ahead = self._blobs.reading.ahead
        if read.stop - read.start >= ahead:
            return False
        if self._brought <= WORTH * self._used + GRACE * ahead:
            return True
        self._declined += 1
        if self._declined % RETRY == 0:
            self._brought = self._used = 0
        return False

    def _fetch_ahead(self, read: Read) -> bytes:
        try:
            end = self._blobs.head(read.pack).size
            return fetch(self._blobs, read, max(read.stop, min(read.stop + self._blobs.reading.ahead, end)))
        except (StorageError, CorruptionError, NoSuchBlob):
            # [PACK-5] Reading ahead is a favour. What was asked for decides, and says what is wrong.
            return fetch(self._blobs, read, read.stop)

    def _keep(self, read: Read, data: bytes) -> None:
        start = read.start
        if len(read.wanted) == 1:  # such a read starts with the block, not with its section
            start = read.stop
            data = data[read.stop - read.start :]
        try:
            blocks = car.parse_window(data, start)
        except FormatError:
            return  # damage beside what was asked for is named when it is asked for itself
        entries = {cid: (data, offset - start, offset - start + length) for cid, offset, length in blocks}
        with self._lock:
            self._index.update(entries)
            self._windows[self._count] = (data, list(entries))
            self._count += 1
            self._held += len(data) + ENTRY * len(entries)
            self._brought += len(data)
            while self._held > SCAN_CACHE:  # [PACK-9]
                self._forget()

    def _forget(self) -> None:
        _, (data, cids) = self._windows.popitem(last=False)
        self._held -= len(data) + ENTRY * len(cids)
        # Without a step of Python for each. What stands in a later range, too, is forgotten with this one, and read again.
        deque(map(self._index.pop, cids, repeat(None)), maxlen=0)
