"""Counting: every row of blocks is looked at once, by CID, and those that may go are noted on disk ([GC-4])."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from mstbucket.core.cid import CID_SIZE, DAG_PB, RAW, codec
from mstbucket.index import collection
from mstbucket.index.collection import Start
from mstbucket.limits import MIB
from mstbucket.model.collection import Amount
from mstbucket.pg.database import Database
from mstbucket.services.collection.mark import Marks
from mstbucket.services.collection.packs import Packs
from mstbucket.spill.scratch import Spooled

PAGE: Final = 20_000  # rows asked for at a time
_SPOOL: Final = 16 * MIB  # of CIDs held in memory

_KINDS: Final = {RAW: "chunks", DAG_PB: "body nodes"}


@dataclass(slots=True)
class Count:
    """What the rows of blocks come to; see `CollectReport`. The dead ones are on disk, in the order of CIDs."""

    file: Spooled
    live: Amount = field(default_factory=Amount)
    spared: Amount = field(default_factory=Amount)
    kinds: dict[str, Amount] = field(default_factory=dict)

    @property
    def dead(self) -> Amount:
        """What may go."""
        return sum(self.kinds.values(), Amount())

    @property
    def all(self) -> Amount:
        """What there is."""
        return self.live + self.spared + self.dead

    def batches(self, size: int) -> Iterator[list[bytes]]:
        """The CIDs of the dead blocks, in order, up to *size* at a time."""
        self.file.seek(0)
        while data := self.file.read(size * CID_SIZE):
            yield [data[at : at + CID_SIZE] for at in range(0, len(data), CID_SIZE)]


def count_rows(
    db: Database, start: Start, marks: Marks, packs: Packs, check: Callable[[], object], stack: ExitStack
) -> Count:
    """Look at every row; *packs* is told of all of them. No transaction is open between two pages.

    A row that stays from the beginning of the cycle to its end is seen once. Other rows do not matter: one that comes later
    is too young to go, and leads to a pack that was not ready at the beginning.
    """
    counted = Count(stack.enter_context(Spooled(_SPOOL, "what is to be removed was put aside")))
    last = b""
    while rows := collection.rows_after(db, last, PAGE):
        check()
        _count_page(rows, start, marks, packs, counted)
        last = rows[-1].cid
    return counted


def _count_page(rows: list[collection.Row], start: Start, marks: Marks, packs: Packs, counted: Count) -> None:
    sums: dict[str, list[int]] = {}
    dead: list[bytes] = []
    for cid, pack, length, epoch in rows:
        if cid in marks:
            kind = "live"
        elif epoch >= start.before:  # [GC-7]
            kind = "spared"
        else:
            kind = _KINDS.get(codec(cid), "nodes")
            dead.append(cid)
        amount = sums.setdefault(kind, [0, 0])
        amount[0] += 1
        amount[1] += length
        if pack is not None:
            packs.count(pack, length, kind not in ("live", "spared"))
    counted.live += Amount(*sums.pop("live", (0, 0)))
    counted.spared += Amount(*sums.pop("spared", (0, 0)))
    for kind, (blocks, size) in sums.items():
        counted.kinds[kind] = counted.kinds.get(kind, Amount()) + Amount(blocks, size)
    counted.file.write(b"".join(dead))
