"""Blocks on their way into the store: the store has some already, the others go to a pack ([PUT-10] to [PUT-13]).

    1. A pending pack is registered. From then to the end no collection takes a row that was found or touched.
    2. Blocks wait until there are some MiB of them. One question finds which of them the store has: those are counted on.
       Only the others are written. The blob of the pack begins with the first of them.
    3. The caller's transaction proves that every block that was counted on is still there. Then it makes the pack ready,
       or removes it if nobody needs a block in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self, TypeVar

from mstbucket.core.cid import CID_SIZE
from mstbucket.errors import BlocksMoved
from mstbucket.index import blocks
from mstbucket.index.blocks import FoundBlock
from mstbucket.index.tx import StoreTx
from mstbucket.limits import CHUNK_SIZE, MIB
from mstbucket.packs.plan import Location
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress

ASK_BYTES: Final = 3 * MIB  # wait before the store is asked; with more, a body is not written as it arrives ([MPU-4])
ASK_BLOCKS: Final = 4000
TOGETHER: Final = 24 * MIB  # wait in all calls of a process; beyond it each asks once it has a chunk: most may stand still
ATTEMPTS: Final = 5  # of a call. Each failed because a block was collected, or found damaged, meanwhile.

_COUNTED: Final = 10_000  # rows per statement, as of a pack's own

_Done = TypeVar("_Done")


class Incoming:
    """The blocks of one transaction. A context manager: left without `keep`, what it wrote is removed.

    Nothing happens before the first block, and `record` and `keep` do nothing without one.

    Memory: ASK_BYTES of blocks and what one call brings, and some 200 bytes for each block that passed through. All that are
    under way in a process hold TOGETHER, and less than a chunk each beyond it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: dict[bytes, bytes | memoryview] = {}
        self._held = 0
        self._seen: set[bytes] = set()
        self._counted: set[bytes] = set()
        self._proven: set[bytes] = set()
        self._repeated: set[bytes] = set()  # came more than once
        self._pack: PackInProgress | None = None

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Take a block. A block that was taken before changes nothing."""
        self.add_all({cid: block})

    def add_all(self, new: Mapping[bytes, bytes | memoryview]) -> None:
        """As `add`, of several blocks, which count as one block more for the memory."""
        if not self._seen.isdisjoint(new):
            self._repeated.update(cid for cid in new if cid in self._seen)
            new = {cid: block for cid, block in new.items() if cid not in self._seen}
        self._seen.update(new)
        self._waiting.update(new)
        self._hold(sum(map(len, new.values())))
        if self._pack is None and self._held >= CHUNK_SIZE:
            self._pack = PackInProgress(self._context)  # [PUT-2] [PUT-11]; for less, one round trip asks and registers
        crowded = self._held >= CHUNK_SIZE and self._context.waiting.bytes > TOGETHER
        if self._held >= ASK_BYTES or len(self._waiting) >= ASK_BLOCKS or crowded:
            self._write_missing()

    def count_on(self, cids: Iterable[bytes]) -> dict[bytes, int]:
        """Count on those of *cids* that the store has, undamaged; the length of each. None of them is to be added."""
        asked = [cid for cid in cids if cid not in self._waiting]
        self._counted.difference_update(asked)  # who asks again has found one damaged
        self._proven.difference_update(asked)
        self._seen.difference_update(asked)
        there = self._count_on(asked) if asked else {}
        self._seen.update(there)
        return there

    def __len__(self) -> int:
        return len(self._seen)

    def seal(self) -> None:
        """Make what was written durable; nothing can be added afterwards."""
        self._write_missing()
        if self._pack is not None:
            self._pack.seal()

    def say_alive(self) -> None:
        """Note now and then that the call lives ([STO-9])."""
        if self._pack is not None:
            self._pack.say_alive()

    def dump_places(self) -> tuple[bytes, bytes, bytes]:
        """What `record` needs, in three strings. It is forgotten here: an import seals many packs before it records any."""
        dumped = b"".join(self._counted), b"".join(self._proven), b"" if self._pack is None else self._pack.dump_places()
        self._seen, self._counted, self._proven = set(), set(), set()
        return dumped

    def load_places(self, counted: bytes, proven: bytes, written: bytes) -> None:
        """Take back what `dump_places` gave."""
        self._counted, self._proven = _cids(counted), _cids(proven)
        if self._pack is not None:
            self._pack.load_places(written)

    def record(self, tx: StoreTx, born: int | None = None) -> None:
        """Inside the caller's transaction: make sure that every block is there, and stays.

        Args:
            born: the number of the bucket's newest commit, where nothing but this transaction names the blocks that have no
                row yet; else None. What came more than once is shared in any case ([GC-21]).

        Raises:
            BlocksMoved: a block that was counted on is gone, or was found damaged.
            StorageError: the call took too long, and its pack was given up ([STO-9]).
        """
        for cids, proven in ((self._counted, False), (self._proven, True)):
            order = sorted(cids)
            for start in range(0, len(order), _COUNTED):
                part = order[start : start + _COUNTED]
                if blocks.keep(tx, part, proven) != len(part):
                    raise BlocksMoved("blocks that were there have been collected, or found damaged, meanwhile: repeat it")
        if self._pack is not None:
            self._pack.record(tx, born)
        if born is not None:
            repeated = sorted(self._repeated)
            for start in range(0, len(repeated), _COUNTED):
                blocks.keep(tx, repeated[start : start + _COUNTED], True)

    def commit(self, work: Callable[[], _Done]) -> _Done:
        """Run `work`, a transaction that calls `record`; keep what was written, and return the result of `work`.

        A pack may be found damaged after the question. If the blocks that are counted on there are sound, `work` runs again.
        """
        try:
            done = work()
        except BlocksMoved:
            if not self._prove():
                raise
            done = work()
        self.keep()
        return done

    def _prove(self) -> bool:
        """Whether all that is counted on is still there, and sound. Blocks in damaged packs are read."""
        rest = sorted(self._counted)
        for start in range(0, len(rest), ASK_BLOCKS):
            part = rest[start : start + ASK_BLOCKS]
            found = self._find(part)
            suspect = {one.cid: _location(one) for one in found if one.damaged}
            if len(found) != len(part) or len(self._context.blocks.sound(suspect)) != len(suspect):
                return False
            self._proven |= suspect.keys()
        self._counted -= self._proven
        return True

    def keep(self) -> None:
        """Keep what was written: the transaction has committed."""
        if self._pack is not None:
            self._pack.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.clear()
        self._hold(-self._held)
        if self._pack is not None:
            self._pack.__exit__(kind, error, trace)

    def _hold(self, size: int) -> None:
        self._held += size
        self._context.waiting.add(size)

    def _write_missing(self) -> None:
        """Ask the store which of the waiting blocks it has, and write the others."""
        waiting, self._waiting = self._waiting, {}
        self._hold(-self._held)
        if not waiting:
            return
        there = self._count_on(list(waiting))
        assert self._pack is not None
        self._pack.add_all({cid: block for cid, block in waiting.items() if cid not in there} if there else waiting)

    def _count_on(self, cids: list[bytes]) -> dict[bytes, int]:
        suspect: dict[bytes, Location] = {}
        there: dict[bytes, int] = {}
        for one in self._find(cids):
            there[one.cid] = one.length
            if one.damaged:
                suspect[one.cid] = _location(one)
            else:
                self._counted.add(one.cid)
        if suspect:  # [PUT-13]
            sound = self._context.blocks.sound(suspect)
            self._proven |= sound
            for cid in suspect.keys() - sound:
                del there[cid]
        return there

    def _find(self, cids: list[bytes]) -> list[FoundBlock]:
        """Those of `cids` that are in packs, none of them stale."""
        if self._pack is None:
            self._pack = PackInProgress(self._context, cids)  # [PUT-2] [PUT-11]
            found = self._pack.found
        else:
            self._pack.say_alive()
            found = blocks.find(self._context.db, cids)
        while any(one.stale for one in found):  # a second time only if a collection began meanwhile
            found = blocks.touch_and_find(self._context.db, cids)
        return found


def _location(block: FoundBlock) -> Location:
    return Location(block.pack, block.offset, block.length)


def _cids(joined: bytes) -> set[bytes]:
    return {joined[at : at + CID_SIZE] for at in range(0, len(joined), CID_SIZE)}


def repeating(work: Callable[[], _Done]) -> _Done:
    """The result of `work`. It is called again after `BlocksMoved`, so its source must allow a second reading."""
    for _ in range(ATTEMPTS - 1):
        try:
            return work()
        except BlocksMoved:
            continue
    return work()
