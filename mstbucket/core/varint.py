"""Unsigned varints (LEB128) as multiformats has them: minimal, at most 9 bytes, so at most 63 bits."""

from __future__ import annotations

from typing import Final

from mstbucket.errors import FormatError, InvalidInput
from mstbucket.limits import VARINT_MAX

_BITS: Final = 7 * VARINT_MAX


def encode(n: int) -> bytes:
    """Return the one varint of *n*, 0 <= n < 2**63, in 1 to 9 bytes.

    Raises:
        InvalidInput: *n* has no varint.
    """
    # [CID-6]
    if n < 0 or n >> _BITS:
        raise InvalidInput(f"{n} has no unsigned varint of at most {VARINT_MAX} bytes: give 0 to 2**{_BITS} - 1")
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def decode(buf: bytes, pos: int) -> tuple[int, int]:
    """Return the number whose varint starts at *pos* in *buf*, and the position after it.

    Raises:
        FormatError: the bytes at *pos* are cut short, longer than 9, or not the shortest form of their number.
    """
    n = shift = 0
    for at in range(pos, min(pos + VARINT_MAX, len(buf))):
        byte = buf[at]
        n |= (byte & 0x7F) << shift
        if byte < 0x80:
            # [CID-6] a last byte of 0 adds nothing: the number has a shorter form
            if not byte and at > pos:
                raise FormatError(f"the varint at byte {pos} is not in its shortest form")
            return n, at + 1
        shift += 7
    if len(buf) - pos >= VARINT_MAX:
        raise FormatError(f"the varint at byte {pos} is longer than {VARINT_MAX} bytes")
    raise FormatError(f"the varint at byte {pos} is cut short")
