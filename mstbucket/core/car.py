"""CARv1: blocks one after another in a file, each under its CID. Writing sections, and finding them in bytes at hand.

`spec/format/07-car.md` is normative. Everything here works on bytes; `car_reader` reads a stream. What the blocks mean is
not known here. Nor is it known which blocks a complete file holds, and in which order: `verify.replay` checks that. Offsets
count from the first byte of the file. An index stores the offset of a section's block. The next section starts
at the block's end.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

from mstbucket.core import varint
from mstbucket.core.cid import CID, CID_SIZE, DAG_CBOR_PREFIX, DAG_PB_PREFIX, RAW_PREFIX, check_cid, to_text
from mstbucket.core.dagcbor import LINK_HEAD, Link, decode, decode_fast, link_text
from mstbucket.errors import ForeignCar, FormatError, HashMismatch, InvalidBlock, InvalidCar, InvalidCid
from mstbucket.limits import CAR_HEADER_MAX, CAR_SECTION_MAX, VARINT_MAX

_HEADER_START: Final = b"\xa2\x65roots\x81" + LINK_HEAD
_HEADER_END: Final = b"\x67version\x01"
_CARV2_PRAGMA: Final = b"\xa1\x67version\x02"
# The CID form and the hash are one comparison: prefix of the codec + digest; the empty prefix matches nothing.
_PREFIXES: Final = {prefix[1]: prefix for prefix in (RAW_PREFIX, DAG_PB_PREFIX, DAG_CBOR_PREFIX)}
PREFIX_OF: Final = tuple(_PREFIXES.get(codec, b"") for codec in range(256))


# (CID, block, offset of the block's first byte in the file, after the length and the CID). A plain tuple: a million
# are made in a second, and a named one costs a quarter more.
Section: TypeAlias = tuple[CID, bytes, int]


# --- writing ---------------------------------------------------------------------------------------------------------


def header(root: CID) -> bytes:
    """Return the first bytes of a CAR file with the one root *root*, the header's own length included: 59 bytes."""
    data = _HEADER_START + check_cid(root) + _HEADER_END
    return varint.encode(len(data)) + data


def section_head(cid: CID, size: int) -> bytes:
    """Return what stands before a block of *size* bytes in a CAR file: the section's length and *cid*.

    Raises:
        InvalidBlock: the block is too large for a section. Blocks of this project never are.
    """
    length = CID_SIZE + size
    # [CAR-5] at most 2 MiB and a CID
    if length > CAR_SECTION_MAX:
        raise InvalidBlock(f"block {to_text(cid)} has {size} bytes, more than a CAR section holds: split it").about(cid=cid)
    return _length_item(length) + cid


# A bucket's small blocks have a few sizes, and a large one costs more than its length.
_length_item: Final = lru_cache(1024)(varint.encode)


def section(cid: CID, block: bytes) -> bytes:
    """Return the section of *block*: length, CID, block. That it hashes to *cid* is not checked here.

    Raises:
        InvalidBlock: the block is too large for a section. Blocks of this project never are.
    """
    return section_head(cid, len(block)) + block


# --- reading ---------------------------------------------------------------------------------------------------------


def parse_window(window: bytes, base: int) -> list[tuple[CID, int, int]]:
    """Return (CID, offset, length) of every block that lies wholly in *window*, which starts with a section.

    Offsets are those in the file, whose byte number *base* the window starts with. A section that the window cuts is
    left out: the next window starts at the end of the last block given, ``offset + length``. Hashes are not checked
    here (`cid.verify_block` does, for the blocks that are used).

    Raises:
        InvalidCar: a length or the form of a CID is not allowed; `offset` says where.
    """
    found: list[tuple[CID, int, int]] = []
    pos, size, add, prefix_of = 0, len(window), found.append, PREFIX_OF
    while pos < size:
        # Most sections take one or two bytes of length; a second byte of 0 would not be the shortest form.
        length, start = window[pos], pos + 1
        if length > 0x7F and start < size and 0 < window[start] < 0x80:
            length += (window[start] << 7) - 0x80
            start += 1
        elif not CID_SIZE <= length < 0x80:
            if size - pos < VARINT_MAX and all(byte > 0x7F for byte in window[pos:]):
                break  # the window cuts the length itself
            length, start = section_length(window, pos, base)
        end = start + length
        if end > size:
            break
        at = start + CID_SIZE
        cid = window[start:at]
        if cid[:4] != prefix_of[cid[1]]:
            raise _wrong_cid(cid, base + pos)
        add((cid, base + at, end - at))
        pos = end
    return found


def header_end(data: bytes) -> int:
    """Return where the first section starts in a CAR file that begins with *data*; the header is parsed strictly.

    Raises:
        InvalidCar: these bytes begin no CAR, or end inside its header.
    """
    try:
        length, start = varint.decode(data, 0)
    except FormatError as error:
        raise InvalidCar("no CAR header: its length is no varint in shortest form", 0) from error
    if not 0 < length <= CAR_HEADER_MAX or start + length > len(data):  # [CAR-3] [CAR-8]
        raise InvalidCar(f"a CAR header of {length} bytes in a file that begins with {len(data)}", 0)
    parse_header(data[start : start + length], start)
    return start + length


def parse_head(window: bytes, base: int) -> tuple[CID, int, int] | None:
    """Return (CID, offset, length) of the block whose section starts with *window*, which may end right behind the CID.

    None where it ends before that. Raises as `parse_window`, with which it shares the meaning of *base*.
    """
    if len(window) < VARINT_MAX and all(byte > 0x7F for byte in window):
        return None
    length, start = section_length(window, 0, base)
    at = start + CID_SIZE
    if at > len(window):
        return None
    cid = window[start:at]
    if cid[:4] != PREFIX_OF[cid[1]]:
        raise _wrong_cid(cid, base)
    return cid, base + at, length - CID_SIZE


def parse_header(data: bytes, at: int) -> tuple[CID, ...]:
    """Return the roots that a header names; *at* is its place in the file."""
    root = data[len(_HEADER_START) : -len(_HEADER_END)]
    if data == _HEADER_START + root + _HEADER_END and root[:4] == PREFIX_OF[root[1]]:
        return (root,)  # the form of every file written here, without the generic decoder, whose import costs 60 ms
    if data == _CARV2_PRAGMA:  # [CAR-12]
        raise InvalidCar("an indexed CAR (CARv2): take the CARv1 out of it first, e.g. with `car extract`", at)
    try:
        value = decode(data)
    except InvalidBlock as error:
        _refuse_foreign(data, at)
        why = f"no CAR, or a damaged one: the CAR header is not strict DAG-CBOR: {error.message}"
        raise InvalidCar(why, at) from error  # [CAR-13] not the byte inside, which another reader need not find
    # [CAR-1] exactly these two keys; an int, since True == 1
    if isinstance(value, dict) and value.keys() == {"roots", "version"} and type(value["version"]) is int:
        roots = value["roots"]
        if value["version"] == 1 and isinstance(roots, list) and all(isinstance(root, Link) for root in roots):
            return tuple(root.cid for root in roots)
    raise InvalidCar('the CAR header is not {"roots": [link, …], "version": 1}: another format, or damaged', at)


def _refuse_foreign(data: bytes, at: int) -> None:
    """Raise `ForeignCar` where a header names a root with a sound CID of another form than ours [VER-22]."""
    try:
        value = decode_fast(data)
    except InvalidBlock:
        return
    roots = value.get("roots") if isinstance(value, dict) and value.get("version") == 1 else None
    for root in roots if isinstance(roots, list) else ():
        text = link_text(root) if isinstance(root, bytes) else None
        if text is not None and not (len(root) == CID_SIZE and root[:4] == PREFIX_OF[root[1]]):
            raise ForeignCar(
                f"this is no bucket export: its root is {text}, and CIDs of this form are not read here; perhaps a tool of "
                f"IPFS reads it (at byte {at})"
            )


def section_length(data: bytes, pos: int, base: int) -> tuple[int, int]:
    """Return the length of the section at *pos* in *data*, within bounds, and the position after it.

    The place of the section goes into the error [CAR-10], as in all that follow.
    """
    # [CAR-4] the shortest form, at most 9 bytes
    try:
        length, start = varint.decode(data, pos)
    except FormatError as error:
        raise InvalidCar("a section's length is no varint in shortest form of at most 9 bytes", base + pos) from error
    # [CAR-5] bounded before anything is read or allocated for it
    if not CID_SIZE <= length <= CAR_SECTION_MAX:
        raise InvalidCar(f"a section of {length} bytes: {CID_SIZE} to {CAR_SECTION_MAX} are allowed", base + pos)
    return length, start


def _wrong_cid(cid: bytes, at: int) -> InvalidCar:
    # [CAR-6] CIDv1, raw / dag-pb / dag-cbor, sha2-256 of 32 bytes; no identity CIDs
    try:
        check_cid(cid)
    except InvalidCid as error:
        return InvalidCar(str(error), at)
    raise AssertionError("a CID that passes `check_cid` was refused")


def wrong_block(cid: bytes, block: bytes, at: int) -> InvalidCar | HashMismatch:
    """Return why the section at *at* is refused: the form of its CID, or its hash."""
    if cid[:4] != PREFIX_OF[cid[1]]:
        return _wrong_cid(cid, at)
    # [CAR-7]
    return HashMismatch(
        f"damaged at byte {at}: the {len(block)} bytes of block {to_text(cid)} do not match its hash, get another copy"
    ).about(cid=cid, offset=at)
