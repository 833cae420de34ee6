"""The blocks of a pack, found by the heads of its sections: for whoever has lost the index ([PACK-1]).

A large block of a plain pack is stepped over without being read. A frame opens as a whole only, so of a pack in frames
all is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final, TypeAlias, TypeVar

from mstbucket.blobs.base import BlobStore, read_sure, whole
from mstbucket.blobs.names import framed
from mstbucket.core import car
from mstbucket.core.cid import CID, to_text
from mstbucket.errors import CorruptionError, FormatError, InvalidCar, MissingBlock
from mstbucket.limits import CAR_HEADER_MAX, KIB, MIB, VARINT_MAX
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.format import Entry, Frame, Segment, Trailer
from mstbucket.packs.frames.read import Packs, read_trailer

#: (CID, offset of the first byte in the plain CAR, length) of a block.
Found: TypeAlias = tuple[CID, int, int]

_Made = TypeVar("_Made")

_WINDOW: Final = MIB  # of small sections read at once
_LARGE: Final = 64 * KIB  # a block of this size or more is stepped over; what follows it is likely another
_HEAD: Final = 4 * KIB  # read behind such a block: one page, and the smallest request that a service has


class _OneBlob:
    """A `FrameIndex` of one blob, whose trailer was read."""

    def __init__(self, frames: Segment | None) -> None:
        self._frames = frames

    def segment(self, name: str, start: int) -> Segment | None:
        """See `FrameIndex`."""
        return self._frames if self._frames is not None and 0 <= start < self._frames.stop else None

    def size(self, name: str) -> int:
        """See `FrameIndex`."""
        assert self._frames is not None
        return self._frames.stop


class PackSections:
    """The blocks of one pack, from front to back. Iterate `batches` once; then the other attributes are known.

    Args:
        blobs: where the packs are.
        name: of a pack.
        key: of an encrypted store.
        hashing: read every block, and leave out those that are not what their CIDs say.

    Attributes:
        size: bytes of the blob.
        plain: bytes of the CAR in it; None for a plain pack.
        entries: the frames; empty for a plain pack.
        problems: what is wrong; blocks that stand there are not given.
        readable: whether anything can be read of it at all.

    Raises, here and while iterating:
        NoSuchBlob: it is not there any more.
        StorageError: the medium failed.
        WrongKey: it is encrypted with another key, or there is none.
    """

    def __init__(self, blobs: BlobStore, name: str, key: DataKey | None, hashing: bool) -> None:
        self.name = name
        self.problems: list[str] = []
        self.size = blobs.head(name).size
        self.plain: int | None = None
        self.entries: list[Entry] = []
        self.readable = True
        self._hashing = hashing
        self._trailer: Trailer | None = None
        if framed(name) is not None:
            try:
                self._trailer = read_sure(blobs, name, lambda: read_trailer(blobs, name, key))
            except (CorruptionError, FormatError) as error:
                self.problems.append(str(error))
                self.readable = False
            else:
                self.entries = list(self._trailer.entries)
                self.plain = sum(entry.length for entry in self.entries)
        self._packs = Packs(blobs, _OneBlob(None if self._trailer is None else self._trailer.segment(name)), key)

    def batches(self) -> Iterator[list[Found]]:
        """The blocks, some at a time, in their order."""
        if not self.readable:
            return
        if self._trailer is None:
            yield from self._plain_batches()
        else:
            yield from self._framed_batches(self._trailer)

    # --- plain ------------------------------------------------------------------------------------------------------

    def _plain_batches(self) -> Iterator[list[Found]]:
        at, width = 0, _WINDOW
        try:
            at = self._twice(self._header)
            while at < self.size:
                found = self._twice(lambda at=at, width=width: self._window(at, width))  # type: ignore[misc]
                yield self._sound(found) if self._hashing else found
                _, offset, length = found[-1]
                at = offset + length
                width = _HEAD if length >= _LARGE else _WINDOW
        except (CorruptionError, FormatError) as error:
            # What follows cannot be found: only the length that is wrong says where.
            self.problems.append(str(error))
            yield self._before_damage(at, width)

    def _header(self) -> int:
        """The end of the CAR's header."""
        data = self.read(0, min(self.size, CAR_HEADER_MAX + VARINT_MAX, _WINDOW))
        return car.header_end(data)

    def _window(self, at: int, width: int) -> list[Found]:
        """The blocks of at least one section from byte `at`, where one starts."""
        data = self.read(at, min(width, self.size - at))
        found = car.parse_window(data, at)
        if not found:
            head = car.parse_head(data, at)
            if head is None or head[1] + head[2] > self.size:
                raise InvalidCar("the file ends inside a section that starts here: it is cut short", at)
            return [head]
        end = found[-1][1] + found[-1][2]
        head = car.parse_head(data[end - at :], end) if end < at + len(data) else None
        if head is not None and head[2] >= _LARGE and head[1] + head[2] <= self.size:
            found.append(head)  # the window cuts it: its head is all that is needed
        return found

    def _before_damage(self, at: int, width: int) -> list[Found]:
        """The blocks from byte `at` up to the section that is wrong."""
        found: list[Found] = []
        try:
            data = self.read(at, min(width, self.size - at))
            place, end = at, at + len(data)
            while at and (head := car.parse_head(data[place - at :], place)) is not None and head[1] + head[2] <= end:
                found.append(head)
                place = head[1] + head[2]
        except (CorruptionError, FormatError):
            pass
        return self._sound(found) if self._hashing else found

    # --- frames -----------------------------------------------------------------------------------------------------

    def _framed_batches(self, trailer: Trailer) -> Iterator[list[Found]]:
        segment = trailer.segment(self.name)
        run: list[Frame] = []
        size = 0
        for frame in segment.between(0, segment.stop):
            if run and size + frame.length > _WINDOW:
                yield from self._run(run)
                run, size = [], 0
            run.append(frame)
            size += frame.length
        if run:
            yield from self._run(run)

    def _run(self, run: list[Frame]) -> Iterator[list[Found]]:
        """The blocks of neighbouring frames; where one is damaged, those of the others: each starts with a section."""
        try:
            yield self._of_frames(run)
        except (CorruptionError, FormatError) as error:
            if len(run) == 1:
                self.problems.append(str(error))
                return
            for frame in run:
                yield from self._run([frame])

    def _of_frames(self, run: list[Frame]) -> list[Found]:
        found = self._twice(lambda: self._parse_frames(run[0].start, run[-1].stop))
        return self._sound(found) if self._hashing else found

    def _parse_frames(self, start: int, stop: int) -> list[Found]:
        data = self.read(start, stop - start)
        skipped = car.header_end(data) if start == 0 else 0
        found = car.parse_window(data[skipped:], start + skipped)
        end = found[-1][1] + found[-1][2] if found else start + skipped
        if end != stop:  # [FRAME-2]
            raise InvalidCar(f"{self.name}: a frame ends inside a section", end)
        return found

    # --- both -------------------------------------------------------------------------------------------------------

    def _sound(self, found: list[Found]) -> list[Found]:
        """Those of the blocks that are what their CIDs say."""
        start = found[0][1] if found else 0
        good: list[Found] = []
        data = b""
        base = start
        for one in found:
            cid, at, length = one
            if at + length > base + len(data):
                base = at
                data = self.read(at, min(max(length, _WINDOW), found[-1][1] + found[-1][2] - at))
            block = data[at - base : at - base + length]
            if sha256(block).digest() != cid[4:]:
                self._packs.distrust(self.name)
                if sha256(self.read(at, length)).digest() != cid[4:]:  # [PACK-10]
                    self.problems.append(f"block {to_text(cid)} at byte {at} does not hash to its CID")
                    continue
            good.append(one)
        return good

    def read(self, start: int, length: int) -> bytes:
        """Bytes of the plain CAR.

        Raises:
            MissingBlock, BrokenFrame: it ends before, or is damaged there.
        """
        if start + length > (self.size if self.plain is None else self.plain):
            raise MissingBlock(f"pack {self.name} ends before byte {start + length}").about(pack=self.name)
        return whole(self._packs.get_range(self.name, start, length), self.name, start, length)

    def _twice(self, read: Callable[[], _Made]) -> _Made:
        return read_sure(self._packs, self.name, read)
