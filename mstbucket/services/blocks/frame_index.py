"""The frame index of a store. It reads a run of frames at a time from the database, and keeps it: frames never change."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from operator import attrgetter
from typing import Final

from mstbucket.errors import BrokenFrame, MissingBlock, NoSuchBlob
from mstbucket.index import frames, packs
from mstbucket.packs.frames.format import Segment
from mstbucket.pg.database import Database

_KEPT: Final = 64 * 1024  # frames of all packs together that are held in memory, 64 bytes each
_START: Final = attrgetter("start")


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
        segment = frames.find_segment(self._db, name, start)
        if segment is None:
            raise self._not_found(name)
        if start >= segment.stop:
            return None
        self._keep(name, segment)
        return segment

    def size(self, name: str) -> int:
        """See `FrameIndex`."""
        known = self._sizes.get(name)
        if known is not None:
            return known
        size = frames.plain_size(self._db, name)
        if size is None:
            raise MissingBlock(f"pack {name} is not in the index of this store").about(pack=name)
        with self._lock:
            self._sizes[name] = size
            while len(self._sizes) > _KEPT // frames.FRAMES_IN_ROW:
                self._sizes.popitem(last=False)
        return size

    def _not_found(self, name: str) -> NoSuchBlob | BrokenFrame:
        with self._db.reading() as connection:
            if not packs.is_ready(connection, name):  # [STO-3] it was written again, or compacted
                return NoSuchBlob(f"there is no pack {name} in this store any more").about(pack=name)
        return BrokenFrame(f"the index has no frames for pack {name}: the database is damaged").about(pack=name)

    def _keep(self, name: str, segment: Segment) -> None:
        with self._lock:
            known = self._known.setdefault(name, [])
            if any(one.start == segment.start for one in known):
                return
            insort(known, segment, key=_START)
            self._known.move_to_end(name)
            self._count += len(segment)
            while self._count > _KEPT:  # the least recently used pack goes; of a pack alone, the run just asked for stays
                other, gone = self._known.popitem(last=False)
                self._count -= sum(map(len, gone))
                if other == name:
                    self._known[name] = [segment]
                    self._count += len(segment)
                    break
