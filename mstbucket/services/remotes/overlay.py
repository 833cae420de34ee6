"""The blocks of a pull: from the own store where it has them undamaged, else from the other side, hashed and staged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final

from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID
from mstbucket.core.closure import AHEAD_BLOCKS, AHEAD_BYTES
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT
from mstbucket.errors import CorruptionError, MstBucketError
from mstbucket.limits import PULL_UNRECORDED
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import ATTEMPTS
from mstbucket.services.past.bring import check_length
from mstbucket.services.remotes.peer import Peer, checked
from mstbucket.services.tree.staged_blocks import Staged

Progress = Callable[[int], object]

ASKED: Final = AHEAD_BLOCKS  # blocks of one request


class PulledBlocks(Staged):
    """Blocks that came, recorded as they come: a pull that breaks off and is repeated finds them ([RMT-6]).

    Nothing leads to them until the switch. They have rows, so a collection long after a pull that broke off removes them.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._unrecorded = 0

    def add(self, cid: bytes, block: bytes) -> None:
        """Take a block."""
        super().add(cid, block)
        self._unrecorded += len(block)
        self._record_if_full()

    def count_on(self, cids: Iterable[bytes]) -> dict[bytes, int]:
        """As `Staged.count_on`."""
        there = super().count_on(cids)
        self._record_if_full()
        return there

    def record_all(self) -> None:
        """Make all that came durable, and give it rows."""
        self.seal()
        self.record()
        self._unrecorded = 0

    def _record_if_full(self) -> None:
        if self._sealed or self._unrecorded >= PULL_UNRECORDED:
            self.record_all()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is not None and self._unrecorded:
                with suppress(MstBucketError):  # the error on its way out matters more
                    self.record_all()
        finally:
            super().__exit__(kind, error, trace)


class Overlay:
    """A `BlockSource` over the own store and the other side. For one thread.

    Attributes:
        blocks, bytes: what was copied so far.
    """

    def __init__(self, context: Context, peer: Peer, staged: PulledBlocks, progress: Progress) -> None:
        self._context = context
        self._peer = peer
        self._staged = staged
        self._progress = progress
        self._last: dict[CID, bytes] = {}  # of the last requests: a walk may ask for a root twice
        self.blocks = self.bytes = 0
        peer.tell(self._say_alive)

    def get(self, cid: CID) -> bytes:
        """The block of `cid`."""
        return self.get_many((cid,))[cid]

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`.

        Raises:
            MissingBlock: neither side has one.
            HashMismatch: the other side gave other bytes ([RMT-5]).
        """
        found = {cid: self._last[cid] for cid in cids if cid in self._last}
        if EMPTY_ROOT in cids:
            found[EMPTY_ROOT] = EMPTY_BLOCK
        found |= self._own([cid for cid in cids if cid not in found])
        missing = [cid for cid in cids if cid not in found]
        if missing:
            self._last = self._copy(missing)
            found |= self._last
        return found

    def bring_chunks(self, chunks: Sequence[tuple[CID, int]]) -> None:
        """Copy those chunks of bodies that the own store lacks, of so many bytes each. The others are not read.

        Raises:
            MissingBlock, HashMismatch: as `get_many`.
            Untrue: a chunk has another length.
        """
        for batch in in_batches(chunks, ASKED):
            there = self._staged.count_on(cid for cid, _ in batch)
            missing: list[CID] = []
            size = 0
            for cid, length in batch:
                if cid in there:
                    check_length(cid, there[cid], length)  # [BODY-3]
                    continue
                if missing and size + length > AHEAD_BYTES:
                    self._copy(missing, dict(batch))
                    missing, size = [], 0
                missing.append(cid)
                size += length
            self._copy(missing, dict(batch))

    def _own(self, cids: list[CID]) -> dict[CID, bytes]:
        """Those that the own store has undamaged."""
        for attempt in range(1, ATTEMPTS + 1):
            there = self._staged.count_on(cids)
            try:
                return self._context.blocks.get_many(list(there)) if there else {}
            except CorruptionError:  # the reading has recorded it: who asks again is not told of that block ([PUT-13])
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def _copy(self, cids: Sequence[CID], lengths: Mapping[CID, int] | None = None) -> dict[CID, bytes]:
        copied: dict[CID, bytes] = {}
        for batch in in_batches(cids, ASKED):
            for cid, block in checked(self._peer, batch).items():
                if lengths is not None:
                    check_length(cid, len(block), lengths[cid])
                self._staged.add(cid, block)
                copied[cid] = block
                self.blocks += 1
                self.bytes += len(block)
            self._say_alive()
        return copied

    def _say_alive(self) -> None:
        self._staged.say_alive()
        self._progress(self.bytes)
