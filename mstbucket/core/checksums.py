"""S3's additional checksums: three CRCs and two hashes, each in the byte order that S3 shows in base64.

The CRCs of CRC32C and CRC-64/NVME, and the joining of CRCs, are awscrt's, the library that AWS's own clients use; it is
imported at the first need, since that takes 40 ms and most stores never ask for them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from mstbucket.errors import InvalidInput, Unsupported

#: Bytes of each checksum, by its name in a manifest.
SIZES: Final = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}

#: What the checksum of a body that came in parts can be of, by algorithm; the first is S3's default ([SUM-7]).
TYPES: Final = {
    "crc32": ("COMPOSITE", "FULL_OBJECT"),
    "crc32c": ("COMPOSITE", "FULL_OBJECT"),
    "crc64nvme": ("FULL_OBJECT",),
    "sha1": ("COMPOSITE",),
    "sha256": ("COMPOSITE",),
}

#: Those that can be joined: of two pieces' checksums the checksum of both.
CRCS: Final = ("crc32", "crc32c", "crc64nvme")


class Hasher(Protocol):
    """What hashlib's objects offer."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


def hasher(algorithm: str) -> Hasher:
    """A new hasher of one of SIZES.

    Raises:
        InvalidInput: there is no such algorithm.
    """
    if algorithm in CRCS:
        return _Crc(algorithm)
    if algorithm in SIZES:
        return hashlib.new(algorithm, usedforsecurity=False)
    raise InvalidInput(f"{algorithm!r} is no checksum algorithm; there are {', '.join(SIZES)}")


def combine(algorithm: str, first: bytes, second: bytes, length: int) -> bytes:
    """The checksum of two pieces in a row from those of each; no byte of them is needed.

    Args:
        algorithm: one of CRCS.
        first: checksum of the first piece.
        second: checksum of the second piece.
        length: bytes of the second piece.

    Raises:
        Unsupported: it is a hash, and those cannot be joined.
    """
    if algorithm not in CRCS:
        raise Unsupported(f"{algorithm} of two pieces says nothing of both together; use one of {', '.join(CRCS)}")
    joined: int = getattr(_crt(), f"combine_{algorithm}")(int.from_bytes(first), int.from_bytes(second), length)
    return joined.to_bytes(SIZES[algorithm])


def joined(algorithm: str, pieces: Iterable[tuple[bytes, int]]) -> bytes:
    """The checksum of pieces in a row, each given by its checksum and its length in bytes; `combine` from left to right."""
    whole: bytes | None = None
    for value, length in pieces:
        whole = value if whole is None else combine(algorithm, whole, value, length)
    return hasher(algorithm).digest() if whole is None else whole


def composite(algorithm: str, values: Iterable[bytes]) -> bytes:
    """The checksum of checksums: of the values' bytes, one after the other."""
    one = hasher(algorithm)
    one.update(b"".join(values))
    return one.digest()


def _crt() -> Any:
    import awscrt.checksums  # type: ignore[import-untyped]

    return awscrt.checksums


class _Crc:
    """A CRC in hashlib's manner."""

    def __init__(self, algorithm: str) -> None:
        # The standard library's CRC32 is the faster one, and costs no import.
        self._step: Callable[[bytes, int], int] = zlib.crc32 if algorithm == "crc32" else getattr(_crt(), algorithm)
        self._size = SIZES[algorithm]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size)


def checksum(data: bytes) -> int:
    """CRC-64/NVME: tells damage, not malice. 15 µs a MiB; CRC-32 of the standard library takes 200."""
    crc = hasher("crc64nvme")
    crc.update(data)
    return int.from_bytes(crc.digest())
