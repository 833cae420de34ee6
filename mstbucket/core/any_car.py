"""Any CAR, read for a look at it: CARv1 and CARv2, CIDs of any version, codec and hash. Lax on purpose.

What is accepted here may be refused elsewhere: nothing that comes out of this module may be stored. `core/car_reader.py` is
the strict reader of bucket exports. Lengths are bounded here too, and so is memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core import varint
from mstbucket.core.dagcbor import decode_fast, link_text
from mstbucket.errors import FormatError, InvalidBlock, InvalidCar
from mstbucket.limits import ANY_SECTION_MAX, CAR_HEADER_MAX, KIB, VARINT_MAX
from mstbucket.model.streams import Readable

_WINDOW: Final = 128 * KIB
_V2_HEADER: Final = 40  # characteristics of 16 bytes, then offset and size of the CARv1, and the offset of an index, 8 each
_DIGEST_MAX: Final = 128  # bytes; the longest in use has 64

#: Names from the table of multicodecs, of those that CARs are likely to hold.
CODECS: Final = {0x55: "raw", 0x70: "dag-pb", 0x71: "dag-cbor", 0x51: "cbor", 0x72: "libp2p-key", 0x0129: "dag-json",
                 0x0200: "json", 0x85: "dag-jose", 0x78: "git-raw", 0x90: "eth-block"}  # fmt: skip
_HASHES: Final[dict[int, Callable[[bytes], bytes]]] = {
    0x00: lambda data: data,  # the CID holds the block itself
    0x11: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    0x12: lambda data: hashlib.sha256(data).digest(),
    0x13: lambda data: hashlib.sha512(data).digest(),
    0x14: lambda data: hashlib.sha3_512(data).digest(),
    0x16: lambda data: hashlib.sha3_256(data).digest(),
    0xB220: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}


@dataclass(frozen=True, slots=True)
class AnyBlock:
    """A block of any CAR.

    Attributes:
        cid: as it stands in the file.
        codec: the number of its codec.
        offset: of the block's first byte in the file.
        hashes: whether it is what its CID names; None where the hash is not known here.
    """

    cid: bytes
    codec: int
    data: bytes
    offset: int
    hashes: bool | None


class AnyCar:
    """Reads a CAR once, from *stream*, in constant memory. Iterating gives its blocks, in the order of the file.

    Attributes:
        version: 1, or 2 for a CARv1 within a CARv2; the index of that is not looked at.
        roots: the CIDs that the header names, as they stand in it.

    Raises, here and while iterating:
        InvalidCar: it is no CAR, or a damaged one; `offset` says where.
    """

    __slots__ = ("_at", "_end", "_held", "_stream", "roots", "version")

    def __init__(self, stream: Readable) -> None:
        self._stream, self._held, self._at = stream, b"", 0
        self._end: int | None = None
        header, start = self._header()
        self.version = 1
        if header == {"version": 2}:
            self.version = 2
            header, start = self._within(self._take(_V2_HEADER, "the header of a CARv2"))
        if not isinstance(header, dict) or header.get("version") != 1 or not isinstance(header.get("roots"), list):
            raise InvalidCar("the header is none of a CAR: another format, or damaged", start)
        self.roots: tuple[bytes, ...] = tuple(root for root in header["roots"] if isinstance(root, bytes))

    def _within(self, fixed: bytes) -> tuple[Any, int]:
        """The header of the CARv1 that a CARv2 says it holds, and its place."""
        offset, size = (int.from_bytes(fixed[at : at + 8], "little") for at in (16, 24))
        if offset < self._at:
            raise InvalidCar(f"the CARv2 says that its blocks begin at byte {offset}, which is in its header", self._at)
        while self._at < offset:
            self._take(min(_WINDOW, offset - self._at), "the gap before the blocks of a CARv2")
        self._end = offset + size
        return self._header()

    def __iter__(self) -> Iterator[AnyBlock]:
        while (length := self._length("a section", ANY_SECTION_MAX)) is not None:
            start = self._at
            section = self._take(length, f"the section that starts at byte {start}")
            codec, code, size_of_digest, size = _parse_cid(section, start)
            cid, data, digest = section[:size], section[size:], _HASHES.get(code)
            hashes = None if digest is None else cid[-size_of_digest:] == digest(data)[:size_of_digest]
            yield AnyBlock(cid, codec, data, start + size, hashes)

    def _header(self) -> tuple[Any, int]:
        length = self._length("the header", CAR_HEADER_MAX)
        if not length:
            raise InvalidCar("no CAR: there is no header", self._at)
        start = self._at
        try:
            return decode_fast(self._take(length, "the header")), start
        except InvalidBlock as error:
            raise InvalidCar("no CAR: the header is no DAG-CBOR", start) from error

    def _length(self, what: str, most: int) -> int | None:
        """The number that stands here, or None at the end of the blocks."""
        if self._end is not None and self._at >= self._end:
            return None
        self._fill(VARINT_MAX)
        if not self._held:
            return None
        try:
            length, size = varint.decode(self._held, 0)
        except FormatError as error:
            raise InvalidCar(f"the length of {what} is no varint: no CAR, or a damaged one", self._at) from error
        if length > most:
            raise InvalidCar(f"{what} of {length} bytes: at most {most} are read here", self._at)
        self._take(size, what)
        return length

    def _take(self, size: int, what: str) -> bytes:
        self._fill(size)
        if len(self._held) < size:
            raise InvalidCar(f"the file ends inside {what}: it is cut short", self._at + len(self._held))
        data, self._held = self._held[:size], self._held[size:]
        self._at += size
        return data

    def _fill(self, size: int) -> None:
        while len(self._held) < size:
            more = self._stream.read(max(_WINDOW, size - len(self._held)))
            if not more:
                return
            self._held += more


def cid_text(cid: bytes) -> str:
    """The usual text of a CID of any kind; its bytes in hexadecimal digits where it is none."""
    text = link_text(cid)
    return f"(no CID: {cid[:16].hex()})" if text is None else text


def _parse_cid(section: bytes, at: int) -> tuple[int, int, int, int]:
    """Of the CID that a section begins with: codec, hash function, size of the digest, and its own size."""
    if section[:2] == b"\x12\x20":  # CIDv0: the multihash alone
        return 0x70, 0x12, 32, _bounded(34, section, at)
    try:
        version, pos = varint.decode(section, 0)
        codec, pos = varint.decode(section, pos)
        code, pos = varint.decode(section, pos)
        size, pos = varint.decode(section, pos)
    except FormatError as error:
        raise InvalidCar("a section does not begin with a CID", at) from error
    if version != 1 or not 0 < size <= _DIGEST_MAX:
        raise InvalidCar(f"a section begins with a CID of version {version} and a hash of {size} bytes", at)
    return codec, code, size, _bounded(pos + size, section, at)


def _bounded(size: int, section: bytes, at: int) -> int:
    if size > len(section):
        raise InvalidCar("a section ends inside its CID", at)
    return size
