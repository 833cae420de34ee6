"""Compaction: many small packs become few large ones, and what crashes left is removed ([STO-5] to [STO-10]).

    1. Packs of about one size, of which there are many, are chosen. Their blocks are read and verified, and those that the
       index still finds there are written to a new pack, newest pack first, durably. No transaction is open meanwhile.
    2. One short transaction makes it a pack, points the blocks there, and dooms the old packs.
    3. Their blobs are deleted, then their rows.

A crash before 2 leaves a pending pack, one after 2 doomed ones; both are removed when they are old enough.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from mstbucket.core.car import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound
from mstbucket.index import packs
from mstbucket.index.blocks import rows_of_pack
from mstbucket.index.packs import Pack
from mstbucket.index.tx import enter_store
from mstbucket.limits import KIB, MIB
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.blocks.registered import PackMoved, remove_doomed
from mstbucket.services.tree.refs import trim_refs

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: Bounds of the sizes of small packs, of which each class is compacted by itself: a block is written at most once more per
#: class. From the last bound on a request to a service takes longer for its bytes than for being one.
CLASSES: Final = (0, 16 * KIB, 256 * KIB, 4 * MIB)
COMPACT_LEAST: Final = 16  # packs of a class from which on compaction is worth it: at most 15 a class stay, and 45 in all
COMPACT_BYTES: Final = 64 * MIB  # of one compacted pack: what a bulk put makes too
COMPACT_BLOCKS: Final = 20_000  # whose rows one transaction changes: some 0.3 s, while puts of the same blocks wait
COMPACT_PACKS: Final = 1000  # of one compacted pack: what one request deletes
PENDING_AGE_MS: Final = 24 * 3_600_000  # without a sign of its writer's life; longer than any of it lives without one
DOOMED_AGE_MS: Final = 600_000  # whoever doomed it has deleted it by then, or has died

_LOCK: Final = 0x6D7374_636D70  # "mstcmp": of the one-number advisory locks
_PAGE: Final = 1000

log = logging.getLogger("mstbucket")


@dataclass(slots=True)
class CompactReport:
    """What was done.

    Attributes:
        packs: small packs that are gone.
        made: packs that hold their blocks now.
        leftovers: blobs that crashes had left, or of which every block was damaged and came again, and that are gone.
        refs: blobs of old commits that are gone; the commits are not.
        damaged: packs that could not be read, by name. They were left alone.
    """

    packs: int = 0
    made: int = 0
    leftovers: int = 0
    refs: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def compact(context: Context) -> CompactReport:
    """Compact whatever there are two of, and remove what nobody needs; see `Store.compact`."""
    report = Compactor(context).run(least=2)
    for name in remove_healed(context):
        report.damaged.pop(name, None)
        report.leftovers += 1
    return report


class Compactor:
    """Does this work for one store, one call after the other. Of all processes one compacts at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._bad: set[int] = set()  # packs not to be tried again
        self._trimmed: dict[str, int] = {}  # by identity, the newest commit when refs were last removed

    def look(self) -> None:
        """What the background does now and then: at most one pack is made."""
        self.run(COMPACT_LEAST, most=1)

    def run(self, least: int = COMPACT_LEAST, most: int = COMPACT_PACKS) -> CompactReport:
        """Compact every class of sizes of which there are at least `least` packs, and remove what crashes left.

        At most `most` packs are made by one call.

        Raises:
            StorageError: the database or the blob store failed; repeat the call. What was compacted until then is.
        """
        report = CompactReport()
        with self._alone() as alone:
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

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether nobody else compacts. For thrift, not for safety: two would read the same, and one's work be in vain."""
        with self._context.db.holding(_LOCK) as alone:
            yield alone

    def _due(self, least: int) -> list[Pack]:
        """Packs of one class of sizes, newest first; none if there are too few of any."""
        for low, high in pairwise(CLASSES):
            found = packs.of_size(self._context.db, low, high, self._bad, COMPACT_PACKS)
            if len(found) >= max(least, 2):
                return found
        return []

    def _compact(self, due: list[Pack], report: CompactReport) -> None:
        context = self._context
        taken: list[Pack] = []
        with PackInProgress(context) as new:
            size = 0
            for pack in due:
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
            if len(taken) < 2:  # of one pack another one like it would be made, again and again
                self._bad.update(pack.id for pack in taken)
                return
            new.seal()
            try:
                context.db.run(lambda connection: _switch(connection, new, [pack.id for pack in taken]))
            except PackMoved as error:
                log.debug("compaction was overtaken: %s", error)
                return
            new.keep()
        remove_doomed(context, [pack.name for pack in taken])
        report.packs += len(taken)
        report.made += bool(new.cids)

    def _live(self, pack: Pack) -> list[tuple[bytes, bytes]] | None:
        """The blocks of a pack that the index finds there, verified, in the pack's order, which is that of an export.

        None if there is no pack of that name any more.
        """
        read = lambda stream: [(cid, block) for cid, block, _ in CarReader(stream)]  # noqa: E731
        blocks = self._context.blocks.of_pack(pack.name, read)
        if blocks is None:
            return None
        here = rows_of_pack(self._context.db, pack.id, [cid for cid, _ in blocks])
        return [(cid, block) for cid, block in blocks if cid in here]


def _switch(connection: Connection, new: PackInProgress, old: list[int]) -> None:
    enter_store(connection)
    new.take_over(connection, old)


def remove_leftovers(context: Context) -> int:
    """Remove the blobs and rows that crashes left, and return how many; see [STO-9]."""
    packs.doom_silent(context.db, PENDING_AGE_MS)
    count = 0
    while names := packs.doomed_names(context.db, DOOMED_AGE_MS, _PAGE):
        remove_doomed(context, names)
        count += len(names)
    return count


def remove_healed(context: Context) -> list[str]:
    """Remove the damaged packs of which good bytes have come for every block ([PUT-15]); their names."""
    names = packs.doom_healed(context.db)
    remove_doomed(context, names)
    return names
