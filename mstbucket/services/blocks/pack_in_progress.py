"""A pack that is filled block by block, and then recorded: where each of its blocks is."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.cid import CID_SIZE, raw_cid
from mstbucket.index import blocks, collection, packs
from mstbucket.index.packs import Doomed
from mstbucket.index.tx import StoreTx
from mstbucket.packs.write import PackWriter
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.registered import PackMoved, RegisteredPack

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: The root of every pack is the empty block: a pack begins before anybody knows what it will hold ([PACK-2]).
PACK_ROOT: Final = raw_cid(b"")

_RECORD: Final = 10_000  # rows of `blocks` per statement: 0.6 MB of arguments


class _Batch(NamedTuple):
    """Some of the pack's blocks: their CIDs in order, and where each block is in the pack."""

    cids: tuple[bytes, ...]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]


class PackInProgress(RegisteredPack):
    """A pack that is filled block by block, and knows where it put each."""

    def __init__(self, context: Context, cids: Sequence[bytes] = ()) -> None:
        super().__init__(context, cids)
        self._pack: PackWriter | None = None
        self._offsets = array("q")
        self._lengths = array("i")
        self._order: list[bytes] = []
        self._root_at = self._live = 0
        self.cids: set[bytes] = set()

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Append a block, unless this pack holds it already."""
        self.add_all({cid: block})

    def add_all(self, blocks: Mapping[bytes, bytes | memoryview]) -> None:
        """Append those of the blocks that this pack does not hold already, in their order."""
        disjoint = self.cids.isdisjoint(blocks)  # as mostly
        new = dict(blocks) if disjoint else {cid: block for cid, block in blocks.items() if cid not in self.cids}
        if not new:
            return
        if self._pack is None:
            self._pack = PackWriter(self.writer(), PACK_ROOT)
            self._root_at = self._pack.add(PACK_ROOT, b"")  # [PACK-2]; it has a row only if somebody stores the empty block
        self.cids.update(new)
        if PACK_ROOT in new:
            self._note((PACK_ROOT,), (self._root_at,), (0,))
            del new[PACK_ROOT]
        self._note(new, self._pack.add_all(new.items()), map(len, new.values()))

    def _note(self, cids: Iterable[bytes], offsets: Iterable[int], lengths: Iterable[int]) -> None:
        self._order.extend(cids)
        self._offsets.extend(offsets)
        self._lengths.extend(lengths)

    def seal(self) -> None:
        """Make the pack durable and complete; nothing can be added afterwards. Without a block there is nothing to do."""
        if self._pack is not None:
            self._pack.finish()
            super().seal()

    def record(self, tx: StoreTx) -> None:
        """Inside the caller's transaction: lead the rows of its blocks here, unless they lead to a sound pack already.

        If all of them do, this becomes no pack, and goes.
        """
        self._live = sum(blocks.add(tx, self.id, *batch) for batch in self._batches())
        self._ready_or_withdraw(tx.connection)

    def take_over(self, connection: Connection, old: Sequence[int], undos: int) -> list[Doomed]:
        """Inside the caller's transaction, behind the barrier: lead the rows of packs `old` here, and doom `old`.

        [STO-6] Not checked here: that this pack holds every block whose row leads to `old`. No row comes to lead to a
        pack that is ready, but by an undo, so the caller has seen all of them.

        Args:
            undos: how often rows had been brought back before the caller saw the rows ([GC-11]).

        Raises:
            PackMoved: one of `old` is no pack any more, or rows were brought back meanwhile.
        """
        self.take_rows(connection, old)
        doomed = packs.doom(connection, old)
        if len(doomed) != len(old) or collection.undos(connection) != undos:
            raise PackMoved("a pack was collected, or compacted by somebody else meanwhile, or rows were brought back")
        return doomed

    def take_rows(self, connection: Connection, old: Sequence[int]) -> None:
        """Inside the caller's transaction, behind the barrier: lead those rows of packs `old` here whose blocks it holds."""
        for batch in self._batches():
            blocks.move(connection, old, self.id, batch.cids, batch.offsets)
        self._live = len(self._order)
        self._ready_or_withdraw(connection)

    def keep(self) -> None:
        """Keep the blob, if any row leads to it: the transaction has committed."""
        if self._live:
            super().keep()

    def dump_places(self) -> bytes:
        """Where its blocks are, in 48 bytes each. It is forgotten here: an import seals many packs before it records any."""
        data = b"".join(self._order) + self._offsets.tobytes() + self._lengths.tobytes()
        self._order, self._offsets, self._lengths, self.cids = [], array("q"), array("i"), set()
        return data

    def load_places(self, data: bytes) -> None:
        """Take back what `dump_places` gave."""
        count = len(data) // (CID_SIZE + 12)
        offsets, lengths = count * CID_SIZE, count * (CID_SIZE + 8)
        self._order = [data[at : at + CID_SIZE] for at in range(0, offsets, CID_SIZE)]
        self._offsets.frombytes(data[offsets:lengths])
        self._lengths.frombytes(data[lengths:])

    def _batches(self) -> Iterator[_Batch]:
        """Its blocks by CID ([PUT-9]), as many at a time as one statement takes."""
        order = sorted(zip(self._order, self._offsets, self._lengths, strict=True))
        for start in range(0, len(order), _RECORD):
            cids, offsets, lengths = zip(*order[start : start + _RECORD], strict=True)
            yield _Batch(cids, offsets, lengths)

    def _ready_or_withdraw(self, connection: Connection) -> None:
        if self._live:
            self.ready(connection)
        else:
            self.withdraw(connection)
