"""Frames: the pieces of a compressed or encrypted pack, their index, and the trailer that holds it. No I/O.

A frame holds a run of the plain CAR; all frames in a row hold all of it. So the index is a list of lengths, and neither
order nor overlap can be stated wrongly. `spec/store/20-frames.md` is normative.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final, NamedTuple

from mstbucket.blobs.names import Kind
from mstbucket.core.checksums import checksum
from mstbucket.errors import BrokenFrame, FormatError
from mstbucket.limits import FRAME_MAX

ID_SIZE: Final = 16  # bytes that tell a blob from all others: those in its name
KEY_ID_SIZE: Final = 8
TAG_SIZE: Final = 16
STORED_MAX: Final = FRAME_MAX + FRAME_MAX // 256 + 64 + TAG_SIZE  # zstd's own bound for what does not compress, and a tag

_SKIP: Final = struct.Struct("<II")  # zstd's skippable frame: magic, and the bytes that follow
_SKIP_MAGIC: Final = 0x184D2A5D
_ENTRY: Final = struct.Struct("<IIQ")  # stored length, plain length, CRC-64/NVME of what is stored
_FOOT: Final = struct.Struct("<BBHI16s8s16s")  # kind, version, 0, number of frames, blob, key, tag; then CRC and magic
_END: Final = struct.Struct("<Q8s")
_VERSION: Final = 1
_MAGIC: Final = b"mstbpack"
FOOT_SIZE: Final = _FOOT.size + _END.size
_LENGTHS: Final = struct.Struct("<II")  # stored and plain length, as the database holds them


class Frame(NamedTuple):
    """A frame: its number in the blob, what it holds of the plain CAR, and where it is stored."""

    number: int
    start: int
    length: int
    stored_start: int
    stored_length: int

    @property
    def stop(self) -> int:
        """Where the next frame starts in the plain CAR."""
        return self.start + self.length


class Segment:
    """Frames of one blob in a row, found by offset in the plain CAR.

    Args:
        number, start, stored_start: of the first frame.
        lengths: (stored, plain) of each frame.
        name: of the blob, for messages.

    Raises:
        BrokenFrame: a length that no frame has.
    """

    __slots__ = ("_number", "_starts", "_stored", "start", "stop", "stored_stop")

    def __init__(self, name: str, number: int, start: int, stored_start: int, lengths: list[tuple[int, int]]) -> None:
        for at, (stored, plain) in enumerate(lengths):
            # [FRAME-6] before anything of that length is read or made
            if not (0 < plain <= FRAME_MAX and 0 < stored <= STORED_MAX):
                raise BrokenFrame(f"{name}: the index has {plain} bytes, stored in {stored}, for frame {number + at}")
        self._number = number
        self._starts = list(accumulate((plain for _, plain in lengths), initial=start))
        self._stored = list(accumulate((stored for stored, _ in lengths), initial=stored_start))
        self.start = start
        self.stop = self._starts[-1]
        self.stored_stop = self._stored[-1]

    def __len__(self) -> int:
        return len(self._starts) - 1

    def between(self, start: int, stop: int) -> Iterator[Frame]:
        """The frames with any byte from `start` to `stop`. This segment holds `start`."""
        at = bisect_right(self._starts, start) - 1
        while at < len(self) and self._starts[at] < stop:
            where, stored = self._starts[at], self._stored[at]
            yield Frame(self._number + at, where, self._starts[at + 1] - where, stored, self._stored[at + 1] - stored)
            at += 1


def pack_lengths(lengths: list[tuple[int, int]]) -> bytes:
    """Lengths as the database holds them: 8 bytes a frame."""
    return b"".join(_LENGTHS.pack(*pair) for pair in lengths)


def unpack_lengths(data: bytes, name: str) -> list[tuple[int, int]]:
    """The reverse of `pack_lengths`."""
    if len(data) % _LENGTHS.size:
        raise BrokenFrame(f"{name}: {len(data)} bytes are no list of frames in the database")
    return list(_LENGTHS.iter_unpack(data))


class Entry(NamedTuple):
    """What a trailer says of one frame."""

    stored_length: int
    length: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Trailer:
    """What stands behind the frames of a blob. `key` and `tag` are zeros where nothing is encrypted."""

    kind: Kind
    entries: tuple[Entry, ...]
    blob: bytes
    key: bytes = bytes(KEY_ID_SIZE)
    tag: bytes = bytes(TAG_SIZE)

    def encode(self) -> bytes:
        """The bytes, [FRAME-8]: a skippable frame, which zstd's own program passes over."""
        signed = self.signed()
        data = signed + self.tag
        return data + _END.pack(checksum(data), _MAGIC)

    def signed(self) -> bytes:
        """All of it before the tag: the tag is about that."""
        size = len(self.entries) * _ENTRY.size + FOOT_SIZE
        entries = b"".join(_ENTRY.pack(*entry) for entry in self.entries)
        foot = _FOOT.pack(self.kind, _VERSION, 0, len(self.entries), self.blob, self.key, self.tag)
        return _SKIP.pack(_SKIP_MAGIC, size) + entries + foot[:-TAG_SIZE]

    def with_tag(self, tag: bytes) -> Trailer:
        """The same with a tag."""
        return replace(self, tag=tag)

    def segment(self, name: str) -> Segment:
        """All frames of the blob."""
        return Segment(name, 0, 0, 0, [(entry.stored_length, entry.length) for entry in self.entries])


def trailer_size(foot: bytes, size: int, name: str) -> int:
    """The length of a blob's trailer from its last FOOT_SIZE bytes; `size` is the blob's.

    Raises:
        FormatError: these do not end a blob of frames; or a newer version wrote it.
    """
    if len(foot) != FOOT_SIZE or not foot.endswith(_MAGIC):
        raise FormatError(f"{name} does not end as a pack of frames does: it was cut, or is something else")
    kind, version, zero, count, *_ = _FOOT.unpack_from(foot)
    if version != _VERSION or zero != 0 or kind not in (1, 2, 3):
        raise FormatError(f"{name} has frames of version {version} and kind {kind}, which this version does not know")
    length = _SKIP.size + int(count) * _ENTRY.size + FOOT_SIZE
    if length > size:
        raise FormatError(f"{name}: the trailer of {count} frames would take {length} bytes, the blob has {size}")
    return length


def decode_trailer(data: bytes, size: int, name: str) -> Trailer:
    """The trailer `data` of a blob of `size` bytes; the tag is not checked here (`crypto.BlobCipher.check`).

    Raises:
        FormatError: it is not one that `Trailer.encode` gives.
        BrokenFrame: it was damaged, or is not about a blob of that size.
    """
    if trailer_size(data[-FOOT_SIZE:], size, name) != len(data):
        raise FormatError(f"{name}: {len(data)} bytes are not its trailer")
    crc, _ = _END.unpack_from(data, len(data) - _END.size)
    if crc != checksum(data[: -_END.size]):  # [FRAME-9]
        raise BrokenFrame(f"{name}: the trailer is damaged: its checksum is not that of its bytes")
    kind, _, _, _, blob, key, tag = _FOOT.unpack_from(data, len(data) - FOOT_SIZE)
    entries = tuple(Entry(*fields) for fields in _ENTRY.iter_unpack(data[_SKIP.size : -FOOT_SIZE]))
    trailer = Trailer(Kind(kind), entries, blob, key, tag)
    if trailer.encode() != data or (Kind.AES not in trailer.kind and (any(key) or any(tag))):
        raise FormatError(f"{name}: the trailer is not in the one form that there is")
    stored = sum(entry.stored_length for entry in entries)
    if stored + len(data) != size:  # [FRAME-9] nothing before, between or behind the frames
        raise BrokenFrame(f"{name}: the trailer tells of {stored} bytes of frames; there are {size - len(data)}")
    return trailer
