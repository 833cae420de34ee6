"""MurmurHash3, the x64 form of 128 bits with seed 0, of which IPFS takes the first 64: it places names in large directories.

It is no cryptographic hash: names that collide can be made at will.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F
_BLOCK: Final = 16
_WORDS: Final = Struct("<QQ")


def murmur3_64(data: bytes) -> bytes:
    """Return the first half of the hash of *data*: 8 bytes, the most significant first."""
    h1 = h2 = 0
    size = len(data)
    whole = size - size % _BLOCK
    for k1, k2 in _WORDS.iter_unpack(data[:whole]):
        h1 ^= _first(k1)
        h1 = ((h1 << 27 | h1 >> 37) + h2) & _MASK
        h1 = (h1 * 5 + 0x52DCE729) & _MASK
        h2 ^= _second(k2)
        h2 = ((h2 << 31 | h2 >> 33) + h1) & _MASK
        h2 = (h2 * 5 + 0x38495AB5) & _MASK
    if whole < size:  # the rest counts as if zeros followed it, and is not mixed further
        k1, k2 = _WORDS.unpack(data[whole:].ljust(_BLOCK, b"\0"))
        h1 ^= _first(k1)
        h2 ^= _second(k2)
    h1 = ((h1 ^ size) + (h2 ^ size)) & _MASK
    h2 = ((h2 ^ size) + h1) & _MASK
    return ((_finish(h1) + _finish(h2)) & _MASK).to_bytes(8, "big")


def _first(k: int) -> int:
    k = k * _C1 & _MASK
    return (k << 31 | k >> 33) * _C2 & _MASK


def _second(k: int) -> int:
    k = k * _C2 & _MASK
    return (k << 33 | k >> 31) * _C1 & _MASK


def _finish(k: int) -> int:
    k = (k ^ k >> 33) * 0xFF51AFD7ED558CCD & _MASK
    k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return k ^ k >> 33
