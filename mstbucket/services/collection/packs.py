"""What the rows of blocks say about packs: how much of each lives, and which have become empty ([GC-8])."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from mstbucket.core.cid import CID_SIZE
from mstbucket.index.collection import ReadyPack, Removed

SECTION: Final = CID_SIZE + 2  # bytes of a pack beside a block: its CID and its length
BEGINNING: Final = 59 + SECTION  # bytes of a pack without blocks: the header, and the empty block that it names ([PACK-1])


class Packs:
    """The packs that were ready when a cycle began, in 48 bytes each: rows that lead to each, and how many went.

    Only an undo gives a ready pack another row. So once all counted rows are removed, none is left. Where others removed or
    moved some of them, the pack waits for the next cycle.
    """

    def __init__(self, ready: Iterable[ReadyPack]) -> None:
        self._ids = array("q")
        self._plain = array("q")
        for pack in ready:
            self._ids.append(pack.id)
            self._plain.append(pack.plain)
        zeros = bytes(8 * len(self._ids))
        self._rows, self._live, self._removed = array("q", zeros), array("q", zeros), array("q", zeros)
        self._dead = array("q", zeros)

    def __len__(self) -> int:
        return len(self._ids)

    def count(self, pack: int, length: int, dead: bool) -> None:
        """Count a row that leads to a pack, with a block of that length, dead or alive. Each row once."""
        at = self._find(pack)
        if at is None:
            return
        self._rows[at] += 1
        if dead:
            self._dead[at] += 1
        else:
            self._live[at] += length + SECTION

    def emptied_by(self, removed: Iterable[Removed]) -> list[int]:
        """The packs to which no row leads, for certain, once these are removed."""
        found = []
        for pack, blocks, _ in removed:
            at = None if pack is None else self._find(pack)
            if at is not None and self._removed[at] + blocks == self._rows[at]:
                found.append(self._ids[at])
        return found

    def note(self, removed: Iterable[Removed]) -> None:
        """Count rows that were removed."""
        for pack, blocks, _ in removed:
            at = None if pack is None else self._find(pack)
            if at is not None:
                self._removed[at] += blocks

    def empty(self) -> list[int]:
        """The packs to which no row led at all."""
        return [self._ids[at] for at, rows in enumerate(self._rows) if rows == 0]

    def dying(self) -> int:
        """How many packs have no row that lives."""
        return sum(rows == dead for rows, dead in zip(self._rows, self._dead, strict=True))

    def thin(self) -> Iterator[int]:
        """The packs of which less than half lives, but some.

        What begins every pack counts as alive: else one small block would be written again by each cycle, for ever.
        """
        for at, live in enumerate(self._live):
            if live > 0 and 2 * (live + BEGINNING) < self._plain[at]:
                yield self._ids[at]

    def _find(self, pack: int) -> int | None:
        at = bisect_left(self._ids, pack)
        return at if at < len(self._ids) and self._ids[at] == pack else None
