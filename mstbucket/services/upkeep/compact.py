"""Compaction: many small packs become few large ones, and what crashes left is removed ([STO-5] to [STO-10]).

    1. Packs of about one size are chosen, if there are many. Their blocks are read and verified. Those that the index
       finds there are written to a new pack, durably, newest pack first. No transaction is open meanwhile.
    2. One short transaction makes the new pack ready, leads the rows of the blocks there, and dooms the old packs.
    3. The blobs of the old packs are deleted, then their rows.

A crash before 2 leaves a pending pack, and a crash after 2 leaves doomed ones. Both are removed when they are old enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from mstbucket.core.car_reader import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound
from mstbucket.index import collection, packs
from mstbucket.index.blocks import rows_of_pack
from mstbucket.index.damage import doom_healed
from mstbucket.index.packs import Doomed, Pack
from mstbucket.index.tx import enter_store
from mstbucket.limits import KIB, MIB
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.blocks.registered import PackMoved, remove_doomed
from mstbucket.services.collection.turns import LockTurn, at_once
from mstbucket.services.collection.undo import release
from mstbucket.services.tree.refs import trim_refs
from mstbucket.services.upkeep.rewrite import COMPACT_BLOCKS, COMPACT_BYTES, rewrite_large

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: Bounds of the sizes of small packs. Each class between two bounds is compacted by itself, so a block is written again at
#: most once per class. From the last bound on, most of a request's time is the transfer of its bytes.
CLASSES: Final = (0, 16 * KIB, 256 * KIB, 4 * MIB)
COMPACT_LEAST: Final = 16  # packs of one class, at least: so at most 15 of a class stay, and 45 in all
COMPACT_PACKS: Final = 1000  # in a new pack: one request deletes them
PENDING_AGE_MS: Final = 24 * 3_600_000  # without a sign of life: the writer has died
DOOMED_AGE_MS: Final = 600_000  # whoever doomed it has deleted it by then, or has died

_LOCK: Final = 0x6D7374_636D70  # "mstcmp": of the one-number advisory locks
_PAGE: Final = 1000

log = logging.getLogger("mstbucket")


@dataclass(slots=True)
class CompactReport:
    """What was done.

    Attributes:
        packs: small or thin packs that are gone.
        made: packs that hold their blocks now.
        leftovers: blobs that are gone: crashes left them, or they were damaged and their blocks have come again.
        refs: blobs of old commits that are gone; the commits are not.
        damaged: packs that cannot be read, by name, and why. They were left alone.
    """

    packs: int = 0
    made: int = 0
    leftovers: int = 0
    refs: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def compact(context: Context) -> CompactReport:
    """Compact every class of two packs or more, and remove what nobody needs; see `Store.compact`."""
    report = Compactor(context).run(least=2)
    for name in remove_healed(context):
        report.damaged.pop(name, None)
        report.leftovers += 1
    return report


class Compactor:
    """Compacts one store, call by call, and remembers which packs it cannot compact. One process compacts at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bad: set[int] = set()  # packs that are not tried again: damaged, or alone of their size
        self._trimmed: dict[str, int] = {}  # by identity, the newest commit when refs were last removed

    def look(self) -> None:
        """Make at most one pack: what the background does now and then."""
        self.run(COMPACT_LEAST, most=1)

    def run(self, least: int = COMPACT_LEAST, most: int = COMPACT_PACKS) -> CompactReport:
        """Remove what crashes left, and compact every class of at least `least` packs into at most `most` new ones.

        Raises:
            StorageError: the database or the blob store failed; repeat the call. New packs that were ready then stay.
        """
        report = CompactReport()
        with at_once(self._context, _LOCK) as alone:  # for thrift, not for safety: of two, one would work in vain
            if alone:
                report.leftovers = remove_leftovers(self._context)
                for _ in range(most):
                    due = self._due(least)
                    if not due:
                        break
                    self._compact(due, report)
                if report.made:
                    report.refs = trim_refs(self._context, self._trimmed)
        return report

    def _due(self, least: int) -> list[Pack]:
        """Packs of one class of sizes, newest first; none if there are too few of any."""
        for low, high in pairwise(CLASSES):
            found = packs.of_size(self._context.db, low, high, self._bad, COMPACT_PACKS)
            if len(found) >= max(least, 2):
                return found
        return []

    def rewrite(
        self, thin: Sequence[int], check: Callable[[], object] = lambda: None, turn: LockTurn = at_once
    ) -> CompactReport:
        """Write packs again of which less than half lives, by their row numbers; see `run` for the rest ([GC-9]).

        *check* is called between two packs; what it raises ends this, and what was done stays. *turn* says what
        happens while somebody else compacts.
        """
        report = CompactReport()
        with turn(self._context, _LOCK) as alone:
            if not alone:
                return report
            for at in range(0, len(thin), _PAGE):
                small: list[Pack] = []
                for pack in packs.of_numbers(self._context.db, thin[at : at + _PAGE]):
                    if pack.size < CLASSES[-1]:
                        small.append(pack)
                    elif rewrite_large(self._context, pack, report):
                        report.packs += 1
                    check()
                while small:
                    check()
                    small = small[self._compact(small, report, 1) :]
        return report

    def _compact(self, due: list[Pack], report: CompactReport, least: int = 2) -> int:
        """Compact the first of these packs, if there are so many; how many of them were looked at."""
        context = self._context
        taken: list[Pack] = []
        looked = 0
        undos = collection.count_undos(context.db)  # [GC-11] before any row is seen
        with PackInProgress(context) as new:
            size = 0
            for pack in due:
                looked += 1
                try:
                    blocks = self._live(pack)
                except (CorruptionError, FormatError, NotFound) as error:
                    log.warning("pack %s cannot be compacted, and is left as it is: %s", pack.name, error)
                    self._bad.add(pack.id)
                    report.damaged[pack.name] = str(error)
                    continue
                if blocks is None:  # written again or compacted by somebody else meanwhile
                    continue
                for cid, block in blocks:
                    new.add(cid, block)
                    size += len(block)
                taken.append(pack)
                if size >= COMPACT_BYTES or len(new.cids) >= COMPACT_BLOCKS:
                    break
            if len(taken) < least:  # one pack alone would be written again and again
                self._bad.update(pack.id for pack in taken)
                return looked
            new.seal()
            try:
                doomed = context.db.run(lambda connection: _switch(connection, new, [pack.id for pack in taken], undos))
            except PackMoved as error:
                log.debug("compaction was overtaken: %s", error)
                return looked
            new.keep()
        remove_doomed(context, [pack.name for pack in doomed if not pack.waits])
        report.packs += len(taken)
        report.made += bool(new.cids)
        return looked

    def _live(self, pack: Pack) -> list[tuple[bytes, bytes]] | None:
        """The blocks of a pack whose rows lead there, verified, in the pack's order: that of an export.

        None if there is no pack of that name any more.
        """
        read = lambda stream: [(cid, block) for cid, block, _ in CarReader(stream)]  # noqa: E731
        blocks = self._context.blocks.of_pack(pack.name, read)
        if blocks is None:
            return None
        here = rows_of_pack(self._context.db, pack.id, [cid for cid, _ in blocks])
        return [(cid, block) for cid, block in blocks if cid in here]


def _switch(connection: Connection, new: PackInProgress, old: list[int], undos: int) -> list[Doomed]:
    enter_store(connection)
    return new.take_over(connection, old, undos)


def remove_leftovers(context: Context) -> int:
    """Remove the blobs and rows that crashes left, and those that no undo needs; return how many ([STO-9], [GC-10])."""
    release(context)
    packs.doom_silent(context.db, PENDING_AGE_MS)
    count = 0
    while names := packs.doomed_names(context.db, DOOMED_AGE_MS, _PAGE):
        remove_doomed(context, names)
        count += len(names)
    return count


def remove_healed(context: Context) -> list[str]:
    """Remove the damaged packs whose every block is in another pack by now ([PUT-15]); return their names."""
    doomed = doom_healed(context.db)
    remove_doomed(context, [pack.name for pack in doomed if not pack.waits])
    return [pack.name for pack in doomed]
