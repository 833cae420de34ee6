"""The frame index in Postgres: written with the pack, read a run of frames at a time and kept, since it never changes."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from operator import attrgetter
from typing import Any, Final

from mstbucket.errors import BrokenFrame, MissingBlock, NoSuchBlob
from mstbucket.packs.frames.format import Entry, Segment, pack_lengths, unpack_lengths
from mstbucket.pg.binary import bigint_array, bytea_array
from mstbucket.pg.database import Database

_ROW: Final = 256  # frames in one row: 2 KiB, which PostgreSQL keeps in place
_KEPT: Final = 64 * 1024  # frames held in memory, of all packs together: 64 bytes each
_ROWS: Final = 1000  # per statement: 2 MB of arguments
_START: Final = attrgetter("start")

_FIND: Final = """
    SELECT f.number, f.start, f.stored, f.lengths FROM packs p JOIN frames f ON f.pack = p.id
    WHERE p.name = %s AND f.start <= %s ORDER BY f.start DESC LIMIT 1
"""
_INSERT: Final = """
    INSERT INTO frames (pack, start, number, stored, lengths)
    SELECT %s, t.* FROM unnest(%s, %s, %s, %s) AS t (start, number, stored, lengths)
"""


class StoreFrames:
    """A `FrameIndex` over the database; thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._known: OrderedDict[str, list[Segment]] = OrderedDict()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    def segment(self, name: str, start: int) -> Segment | None:
        """See `FrameIndex`."""
        with self._lock:
            known = self._known.get(name, [])
            at = bisect_right(known, start, key=_START)
            if at > 0 and start < known[at - 1].stop:
                self._known.move_to_end(name)
                return known[at - 1]
        with self._db.reading() as connection:
            row = connection.execute(_FIND, (name, start), binary=True).fetchone()
        if row is None:
            raise self._none(name)
        number, first, stored, lengths = row
        segment = Segment(name, number, first, stored, unpack_lengths(lengths, name))
        if start >= segment.stop:
            return None
        self._keep(name, segment)
        return segment

    def size(self, name: str) -> int:
        """See `FrameIndex`."""
        known = self._sizes.get(name)
        if known is not None:
            return known
        with self._db.reading() as connection:
            row = connection.execute("SELECT plain FROM packs WHERE name = %s", (name,), binary=True).fetchone()
        if row is None or row[0] is None:
            raise MissingBlock(f"pack {name} is not in the index of this store")
        with self._lock:
            self._sizes[name] = int(row[0])
            while len(self._sizes) > _KEPT // _ROW:
                self._sizes.popitem(last=False)
        return int(row[0])

    def _none(self, name: str) -> NoSuchBlob | BrokenFrame:
        with self._db.reading() as connection:
            query = "SELECT FROM packs WHERE name = %s AND state = 'ready'"
            if connection.execute(query, (name,)).fetchone() is None:  # [STO-3] it was written again, or gathered
                return NoSuchBlob(f"there is no pack {name} in this store any more")
        return BrokenFrame(f"the index has no frames for pack {name}: the database is damaged")

    def _keep(self, name: str, segment: Segment) -> None:
        with self._lock:
            known = self._known.setdefault(name, [])
            if any(one.start == segment.start for one in known):
                return
            insort(known, segment, key=_START)
            self._known.move_to_end(name)
            self._count += len(segment)
            while self._count > _KEPT:  # the pack that was not used for longest; of one alone, all but what was asked for
                other, gone = self._known.popitem(last=False)
                self._count -= sum(map(len, gone))
                if other == name:
                    self._known[name] = [segment]
                    self._count += len(segment)
                    break


def insert_frames(connection: Any, pack: int, entries: list[Entry]) -> None:
    """Inside the caller's transaction: these are the frames of a pack ([FRAME-7])."""
    start = stored = 0
    rows: list[tuple[int, int, int, bytes]] = []
    for number in range(0, len(entries), _ROW):
        part = [(entry.stored_length, entry.length) for entry in entries[number : number + _ROW]]
        rows.append((start, number, stored, pack_lengths(part)))
        stored += sum(length for length, _ in part)
        start += sum(length for _, length in part)
    for at in range(0, len(rows), _ROWS):
        starts, numbers, places, lengths = zip(*rows[at : at + _ROWS], strict=True)
        arrays = (bigint_array(starts), bigint_array(numbers), bigint_array(places), bytea_array(lengths))
        connection.execute(_INSERT, (pack, *arrays))
