"""Where a CAR is cut into frames: between sections only, so that every block is whole in one frame."""

from __future__ import annotations

from typing import Final

from mstbucket.errors import InvalidCar
from mstbucket.limits import CAR_HEADER_MAX, CAR_SECTION_MAX, FRAME_GROUP

_VARINT_MAX: Final = 4  # bytes; of the largest section and the largest header


class Cutter:
    """Takes a CAR in pieces of any sizes and gives it back in frames; the cuts depend on the CAR alone ([FRAME-2]).

    Whether blocks hash to their CIDs is not looked at, nor anything but the lengths of sections. Bytes that are no CAR
    are cut anyhow; `finish` tells. (An import is verified behind this, block by block, with the better message.)
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []  # what belongs to the frame that is not full yet
        self._size = 0  # bytes of it
        self._tail = b""  # the start of a section's length, cut off by the end of a piece
        self._base = 0  # bytes given out in frames
        self._rest = 0  # bytes still to come of the section at hand
        self._limit = CAR_HEADER_MAX  # of the next section; the header is the first
        self._wrong: int | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Take the next piece, which is the caller's again; return the frames that are full."""
        piece = self._tail + bytes(data) if self._tail else bytes(data)
        self._tail = b""
        frames: list[bytes] = []
        begin = at = 0  # of what belongs to the frame at hand; of what was not looked at
        end = len(piece)
        size, rest, limit = self._size, self._rest, self._limit
        while at < end:
            if rest:
                step = min(rest, end - at)
                at += step
                size += step
                rest -= step
                if rest or size < FRAME_GROUP:
                    continue
                frames.append(self._take(piece[begin:at]))
                begin, size = at, 0
                continue
            head, length = _length(piece, at, end)
            if head == 0:  # the length goes on in the next piece
                self._tail = piece[at:]
                end = at
                break
            if length > limit or head > _VARINT_MAX:
                if self._wrong is None:
                    self._wrong = self._base + size
                length = FRAME_GROUP - head
            limit = CAR_SECTION_MAX
            rest = head + length
            if size and size + rest > FRAME_GROUP:
                frames.append(self._take(piece[begin:at]))
                begin, size = at, 0
        if begin < end:
            self._held.append(piece[begin:end])
        self._size, self._rest, self._limit = size, rest, limit
        return frames

    def finish(self) -> list[bytes]:
        """Return the last frame, if anything is left for one.

        Raises:
            InvalidCar: it was no CAR, or ended in the middle of a section.
        """
        if self._wrong is not None:
            raise InvalidCar("a section's length is beyond what a pack can hold", self._wrong)
        if self._rest or self._tail:
            raise InvalidCar("the pack ends in the middle of a section", self._base + self._size)
        return [self._take(b"")] if self._size else []

    def _take(self, last: bytes) -> bytes:
        frame = b"".join((*self._held, last)) if self._held else last
        self._held.clear()
        self._base += len(frame)
        return frame


def _length(piece: bytes, at: int, end: int) -> tuple[int, int]:
    """(bytes of the varint at `at`, its value); 0 bytes if it goes on behind `end`, too many if it has no end."""
    value = shift = 0
    for head in range(1, _VARINT_MAX + 1):
        if at == end:
            return 0, 0
        byte = piece[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return head, value
        at += 1
        shift += 7
    return _VARINT_MAX + 1, 0
