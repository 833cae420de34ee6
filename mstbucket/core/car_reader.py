"""A CARv1 is read from a stream: once, strictly, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from mstbucket.core import varint
from mstbucket.core.car import PREFIX_OF, Section, parse_header, section_length, wrong_block
from mstbucket.core.cid import CID, CID_SIZE
from mstbucket.errors import ForeignCar, FormatError, InvalidCar
from mstbucket.limits import CAR_HEADER_MAX, KIB, VARINT_MAX
from mstbucket.model.streams import Readable

WINDOW: Final = 128 * KIB  # bytes asked of the stream at once; with one section this is all it holds [CAR-9]


class CarReader:
    """Read a CARv1 file of any length from *stream*, once, in constant memory: one window and one section.

    The header is read by the constructor. It may name any number of roots that fit in 64 KiB; `root` demands exactly
    one, as every file written here has. Iterating gives a `Section` for every block, in file order, each of an allowed
    CID form and hashed. Iterating again goes on where the first iteration stopped.

    Not checked: whether a block comes twice, is missing, is reachable, or is what its codec says (`verify.car`).
    An indexed file (CARv2) is refused; the message says how to unwrap it.

    Args:
        stream: open for reading bytes, positioned at the header. Short reads are fine; seeking is not needed. What
            its `read` raises is passed on. The caller closes it.

    Raises, here and while iterating:
        InvalidCar: the bytes are not a strict CARv1; `offset` says where. Get another copy.
        HashMismatch: a block is not the one its CID names; the message says where. Get another copy.
    """

    __slots__ = ("_sections", "_stream", "roots")

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        data = self._fill(b"", VARINT_MAX)
        try:
            length, start = varint.decode(data, 0)
        except FormatError as error:
            why = "the file ends inside its length" if len(data) < VARINT_MAX else "its length is no varint in shortest form"
            raise InvalidCar(f"no CAR header: {why}", 0) from error
        # [CAR-3] the length is bounded before anything is read or allocated for it
        if not 0 < length <= CAR_HEADER_MAX:
            raise InvalidCar(f"a CAR header of {length} bytes: 1 to {CAR_HEADER_MAX} are allowed", 0)
        data = self._fill(data, start + length)
        if len(data) < start + length:  # [CAR-8]
            raise InvalidCar("the file ends inside the CAR header", len(data))
        self.roots: tuple[CID, ...] = parse_header(data[start : start + length], start)
        self._sections = self._read(data[start + length :], start + length)

    @property
    def root(self) -> CID:
        """The one root. Raises `ForeignCar` where the header names none or several."""
        # [CAR-2] an export has one root, the commit [VER-22]
        if len(self.roots) != 1:
            named = f"{len(self.roots)} roots" if self.roots else "no root"
            raise ForeignCar(
                f"this is no bucket export: its header names {named}, where an export names its commit; perhaps a tool of "
                "IPFS reads it (at byte 0)"
            )
        return self.roots[0]

    def __iter__(self) -> Iterator[Section]:
        return self._sections

    def _read(self, data: bytes, base: int) -> Iterator[Section]:
        """Yield the sections; *data* are the bytes at hand, the first of them at *base* in the file."""
        prefix_of = PREFIX_OF
        while True:
            size, pos, need = len(data), 0, 0
            while pos < size - 2:
                # The lengths of nearly all blocks take one or two bytes; they are read in line.
                length, start = data[pos], pos + 1
                if length > 0x7F:
                    high = data[start]
                    if 0 < high < 0x80:
                        length += (high << 7) - 0x80
                        start += 1
                    elif size - pos >= VARINT_MAX:
                        length, start = section_length(data, pos, base)
                    else:
                        break
                if length < CID_SIZE:
                    section_length(data, pos, base)  # raises
                at, end = start + CID_SIZE, start + length
                if end > size:
                    need = end - size
                    break
                cid, block = data[start:at], data[at:end]
                # [CAR-6] [CAR-7] the form of the CID and the hash of the block
                if prefix_of[cid[1]] + sha256(block).digest() != cid:
                    raise wrong_block(cid, block, base + pos)
                yield (cid, block, base + at)
                pos = end
            if need and at <= size:
                # The block that the window cuts is read to its end, not moved into a window of its own: that copy of all
                # bytes would cost a tenth where blocks are large.
                cid, block = data[start:at], data[at:] + self._exactly(need, base + pos)
                if prefix_of[cid[1]] + sha256(block).digest() != cid:
                    raise wrong_block(cid, block, base + pos)
                yield (cid, block, base + at)
                # After a large one another is likely, so no more is read than its length, of three bytes, and its CID.
                data, base = self._stream.read(3 + CID_SIZE if length > WINDOW >> 1 else WINDOW), base + end
                continue
            more = self._stream.read(WINDOW)
            if not more:
                # [CAR-8] the file ends where a section ends
                if pos < size:
                    raise InvalidCar("the file ends inside a section that starts here: it is cut short", base + pos)
                return
            data, base = data[pos:] + more, base + pos

    def _fill(self, data: bytes, size: int) -> bytes:
        """Return *data* with what follows in the stream, at least *size* bytes unless the stream ends before."""
        while len(data) < size:
            more = self._stream.read(WINDOW)
            if not more:
                break
            data += more
        return data

    def _exactly(self, size: int, at: int) -> bytes:
        """Return the next *size* bytes of the stream, which belong to the section that starts at *at*."""
        parts, left = [], size
        while left:
            part = self._stream.read(left)
            if not part:
                raise InvalidCar("the file ends inside a section that starts here: it is cut short", at)  # [CAR-8]
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
