"""One cycle of a collection: mark, count, and remove what nothing reaches (spec/store/26-collection.md).

    1. The barrier is closed for an instant: a new epoch begins, and one snapshot shows all roots.
    2. Everything that the roots reach is marked. What cannot be read ends the cycle, and nothing is removed.
    3. Every row of blocks is looked at. Those that are not marked, and not touched since, are dead.
    4. The dead rows are removed, some thousand in one transaction. It looks again at the epoch of each.
       A pack that becomes empty is doomed in the same transaction.
    5. When the undo window has ended, the blobs of doomed packs go.

A cycle that ends anywhere leaves a valid store. The next one begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from mstbucket.core.times import moment
from mstbucket.errors import CollectionRefused, Conflict
from mstbucket.index import collection, deaths, space
from mstbucket.index import packs as pack_rows
from mstbucket.index.collection import Removed, Start
from mstbucket.index.packs import Doomed
from mstbucket.limits import COLLECT_PERCENT_MAX
from mstbucket.model.collection import Amount, CollectReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.registered import remove_doomed
from mstbucket.services.collection.audit import audit
from mstbucket.services.collection.count import Count, count_rows
from mstbucket.services.collection.packs import SECTION, Packs
from mstbucket.services.collection.roots import mark
from mstbucket.services.collection.strays import find_strays
from mstbucket.services.collection.turns import Turn, asked_for

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

BATCH: Final = 5000  # rows removed by one transaction: 50 ms, for which a put of one of them waits
_DOOMED: Final = 1000  # packs doomed by one transaction, and blobs deleted by one call


@dataclass(frozen=True, slots=True)
class Cycle:
    """What a cycle did: its report, and the packs of which less than half lives."""

    report: CollectReport
    thin: tuple[int, ...] = ()


def run_cycle(
    context: Context, dry_run: bool, force: bool, grace: int, check: Callable[[], object], turn: Turn = asked_for
) -> Cycle:
    """Collect once; see `Store.collect`.

    Args:
        grace: in ms.
        check: called now and then; what it raises ends the cycle.
        turn: how it comes to be the only one.
    """
    with turn(context) as alone, ExitStack() as stack:
        if not alone:
            raise Conflict(
                "another process is collecting, or this one has no connection to spare: repeat the call later"
            )
        if not force and collection.is_damage_known(context.db):  # [GC-12]
            raise CollectionRefused(
                "damage was found in packs of the store, so nothing is collected: restore them, or write their objects "
                "again, and 'verify' the buckets; or collect with force"
            )
        start, marks, packs = mark(context, check, stack)
        audit(context, marks)
        counted = count_rows(context.db, start, marks, packs, check, stack)
        strays, old = find_strays(context)
        report = CollectReport(
            dry_run, counted.live, counted.spared, counted.dead, counted.kinds, packs=packs.dying(), strays=strays
        )
        thin = tuple(packs.thin())
        report = replace(report, thin=len(thin))
        if dry_run:
            return Cycle(report)
        if not force and 100 * counted.dead.bytes > COLLECT_PERCENT_MAX * counted.all.bytes:  # [GC-13]
            raise CollectionRefused(
                f"of {counted.all.bytes:,} bytes in blocks {counted.dead.bytes:,} would be removed, more than "
                f"{COLLECT_PERCENT_MAX} of 100: see what a dry run says, and collect with force if that is right"
            )
        deaths.forget_swept(context.db)
        sweep = Sweep(context, start, packs, grace)
        sweep.run(counted, check)
        deaths.forget_gone(context.db)
        context.blobs.delete_many(old)
    if not strays and not thin and not sweep.left.blocks:
        collection.note_done(context.db, start)
    return Cycle(
        replace(
            report, freed=sweep.freed, packs=sweep.packs, packs_bytes=sweep.packs_bytes, strays_removed=len(old),
            undo_until=_undo_until(context, sweep),
        ),
        thin,
    )  # fmt: skip


def _undo_until(context: Context, sweep: Sweep) -> datetime | None:
    """Until when what this cycle removed can be brought back; None where it removed nothing, or for good."""
    if not sweep.freed.blocks and not sweep.packs:
        return None
    last = collection.last(context.db)
    return None if last is None or last.until is None else moment(last.until)


class Sweep:
    """Removes the dead rows of one cycle, and dooms the packs that become empty."""

    def __init__(self, context: Context, start: Start, packs: Packs, grace: int) -> None:
        self._context = context
        self._start = start
        self._packs = packs
        self._grace = grace
        self.freed = self.left = Amount()
        self.packs = self.packs_bytes = 0

    def run(self, counted: Count, check: Callable[[], object]) -> None:
        """Remove what *counted* says, as far as nobody has touched it meanwhile.

        Raises:
            Conflict: another cycle has begun, or removed rows were brought back. What was removed before that stays so.
        """
        db = self._context.db
        collection.begin(db, self._start, self._grace)
        for cids in counted.batches(BATCH):
            check()
            self._note(*db.run(partial(self._remove, cids)))
        empty = self._packs.empty()
        for at in range(0, len(empty), _DOOMED):
            self._note([], db.run(partial(self._doom, empty[at : at + _DOOMED])))
        live, freed, dead = counted.live, self.freed, counted.dead
        self.left = left = counted.spared + Amount(dead.blocks - freed.blocks, dead.bytes - freed.bytes)
        collection.end(
            db, self._start.epoch, (live.blocks, live.bytes), (left.blocks, left.bytes),
            (freed.blocks, freed.bytes, self.packs), self._grace,
        )  # fmt: skip

    def _remove(self, cids: list[bytes], connection: Connection) -> tuple[list[Removed], list[Doomed]]:
        self._require_still(connection)
        removed = collection.remove(connection, self._start, self._grace > 0, cids)
        pack_rows.count_removed(connection, removed, SECTION)  # [GC-25]
        space.count_dead(connection)  # [PG-27]
        return removed, pack_rows.doom(connection, self._packs.emptied_by(removed), self._grace)  # [GC-8]

    def _doom(self, packs: list[int], connection: Connection) -> list[Doomed]:
        self._require_still(connection)
        return pack_rows.doom(connection, packs, self._grace)

    def _require_still(self, connection: Connection) -> None:
        if not collection.still(connection, self._start):  # [GC-11]
            raise Conflict("another collection has begun, or an undo: this one has stopped; repeat the call")

    def _note(self, removed: list[Removed], doomed: list[Doomed]) -> None:
        """Take account of a transaction that has committed."""
        self._packs.note(removed)
        self.freed += sum((Amount(blocks, size) for _, blocks, size in removed), Amount())
        self.packs += len(doomed)
        self.packs_bytes += sum(pack.size for pack in doomed)
        names = [pack.name for pack in doomed if not pack.waits]
        for at in range(0, len(names), _DOOMED):
            remove_doomed(self._context, names[at : at + _DOOMED])
