"""A sweep: what died goes without a mark, at a cost by what died (spec/store/26-collection.md).

    1. What was noted as dead is looked at. What is not for a sweep to decide is forgotten, and left to the cycles; what a
       commit holds that can still be read is left for later. If nothing is left, that was all.
    2. The barrier is closed for an instant, as for a cycle: a new epoch begins, and one snapshot shows what may go.
    3. Those rows are removed, some thousand in one transaction. It looks again at each row. A pack that becomes empty is
       doomed in the same transaction.

A sweep that ends anywhere leaves a valid store. What it did not remove is noted still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Final

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, CID_SIZE
from mstbucket.core.closure import links_of
from mstbucket.errors import CollectionRefused, Conflict, CorruptionError, FormatError
from mstbucket.index import collection, deaths, space
from mstbucket.index import packs as pack_rows
from mstbucket.index.collection import Removed, Start
from mstbucket.index.packs import Doomed, Left
from mstbucket.limits import COLLECT_PERCENT_MAX, MIB
from mstbucket.model.collection import Amount
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.registered import remove_doomed
from mstbucket.services.collection.cycle import BATCH
from mstbucket.services.collection.mark import is_node_of_body
from mstbucket.services.collection.packs import SECTION
from mstbucket.services.collection.roots import begin
from mstbucket.services.collection.turns import Turn
from mstbucket.spill.scratch import Spooled

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

Died = tuple[CID, int]  # a block, and the epoch of its death

_SPOOL: Final = 16 * MIB  # of CIDs held in memory
_DEATH: Final = Struct(f"<{CID_SIZE}si")
_READ: Final = 256  # nodes of bodies read at a time


def sweep(context: Context, grace: int, check: Callable[[], object], turn: Turn) -> tuple[Amount, tuple[int, ...]]:
    """Remove what died; see the spec. What was freed, and the packs of which less than half lives now.

    Args:
        grace: in ms.
        check: called now and then; what it raises ends the sweep.
        turn: how it comes to be the only one.

    Raises:
        Conflict: somebody else collects, or has begun to, or removed rows were brought back. What was removed stays so.
        CollectionRefused: damage is known of, or too much would go.
    """
    with turn(context) as alone, ExitStack() as stack:
        if not alone:
            raise Conflict("another process is collecting: this sweep has given way")
        if collection.is_damage_known(context.db):  # [GC-12]
            raise CollectionRefused("damage was found in packs of the store, so nothing that died is removed")
        if not deaths.look(context.db):
            return Amount(), ()
        died, going = _Spooled(stack), _Spooled(stack)
        with begin(context) as (connection, start):
            for one in deaths.dead(connection, start):
                died.add([one])
        packed = 0
        for batch in died.batches(BATCH):
            # What is below comes first: it is read while the rows say where it is.
            for part in (*_below(context.blocks, batch, check), batch):
                packed += deaths.packed(context.db, [cid for cid, _ in part])
                going.add(part)
        if not going.blocks:
            return Amount(), ()
        if 100 * packed > COLLECT_PERCENT_MAX * pack_rows.plain_bytes(context.db):  # [GC-13]
            raise CollectionRefused(
                f"{packed:,} bytes that died would be removed, more than {COLLECT_PERCENT_MAX} of 100 of those in packs: "
                "see what a dry run of a collection says, and collect with force if that is right"
            )
        removal = _Removal(context, start, grace)
        removal.run(going, check)
    return removal.freed, tuple(sorted(removal.thin))


class _Spooled:
    """Blocks with the epochs in which they died, on disk, in the order in which they came."""

    def __init__(self, stack: ExitStack) -> None:
        self._file = stack.enter_context(Spooled(_SPOOL, "what is to be removed was put aside"))
        self.blocks = 0

    def add(self, died: Iterable[Died]) -> None:
        self._file.write(b"".join(_DEATH.pack(*one) for one in died))
        self.blocks += 1

    def batches(self, size: int) -> Iterator[list[Died]]:
        self._file.seek(0)
        while data := self._file.read(size * _DEATH.size):
            yield list(_DEATH.iter_unpack(data))


def _below(source: BlockSource, batch: Iterable[Died], check: Callable[[], object]) -> Iterator[list[Died]]:
    """What the bodies among these consist of: it died with them, where its row agrees. What cannot be read stays."""
    nodes = [one for one in batch if is_node_of_body(one[0])]
    found: list[Died] = []
    while nodes:
        check()
        part = dict(nodes[-_READ:])
        del nodes[-_READ:]
        for cid, block in _read(source, list(part)).items():
            links = [(link, part[cid]) for link, _ in links_of(cid, block)]
            nodes += [one for one in links if is_node_of_body(one[0])]
            found += links
        while len(found) >= BATCH:
            yield found[:BATCH]
            del found[:BATCH]
    if found:
        yield found


def _read(source: BlockSource, cids: list[CID]) -> Mapping[CID, bytes]:
    try:
        return source.get_many(cids)
    except (CorruptionError, FormatError):
        return {} if len(cids) == 1 else {**_read(source, cids[:1]), **_read(source, cids[1:])}


class _Removal:
    """Removes rows, and dooms the packs that become empty."""

    def __init__(self, context: Context, start: Start, grace: int) -> None:
        self._context = context
        self._start = start
        self._grace = grace
        self.freed = Amount()
        self.packs = 0
        self.thin: set[int] = set()

    def run(self, going: _Spooled, check: Callable[[], object]) -> None:
        db = self._context.db
        collection.begin(db, self._start, self._grace, swept=True)
        for batch in going.batches(BATCH):
            check()
            self._remove(batch)
        freed = (self.freed.blocks, self.freed.bytes, self.packs)
        collection.end(db, self._start.epoch, (None, None), (None, None), freed, self._grace)

    def _remove(self, batch: list[Died]) -> None:
        """Remove rows, and take account of that once it has committed."""
        removed, left, doomed = self._context.db.run(partial(self._work, batch))
        self.freed += sum((Amount(blocks, size) for _, blocks, size in removed), Amount())
        self.thin = (self.thin | set(left.thin)) - set(left.empty)
        self.packs += len(doomed)
        remove_doomed(self._context, [pack.name for pack in doomed if not pack.waits])

    def _work(
        self, batch: list[Died], connection: Connection
    ) -> tuple[list[Removed], Left, list[Doomed]]:
        if not collection.still(connection, self._start):
            raise Conflict("a collection has begun, or an undo: this sweep has stopped")
        cids, epochs = [cid for cid, _ in batch], [epoch for _, epoch in batch]
        removed = deaths.remove(connection, self._start, self._grace > 0, cids, epochs)
        left = pack_rows.count_removed(connection, removed, SECTION)
        space.count_dead(connection)  # [PG-27]
        return removed, left, pack_rows.doom(connection, left.empty, self._grace)  # [GC-25]
