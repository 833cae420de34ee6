"""Writing packs: CAR files whose sections are gathered so that small blocks cost no system call each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mstbucket.blobs.base import BlobWriter
from mstbucket.core import car
from mstbucket.limits import KIB

GATHERED: Final = 256 * KIB  # small sections written at once; from this size on a block is written without a copy


class PackWriter:
    """Writes a CAR with the root `root` to `blob`, section by section; says where each block came to stand.

    What the blob store raises goes through; then the pack is lost. Whether a block hashes to its CID, and whether it
    came before, is not checked here.
    """

    def __init__(self, blob: BlobWriter, root: bytes) -> None:
        self._blob = blob
        self._held = bytearray(car.header(root))  # [PACK-1]
        self._written = 0

    def add(self, cid: bytes, block: bytes | memoryview) -> int:
        """Append a block; return the offset of its first byte in the pack ([PACK-3])."""
        return self.add_all(((cid, block),))[0]

    def add_all(self, blocks: Iterable[tuple[bytes, bytes | memoryview]]) -> list[int]:
        """As `add`, of many blocks, in their order."""
        head, held = car.section_head, self._held
        offsets = []
        for cid, block in blocks:
            size = len(block)
            held += head(cid, size)
            offsets.append(self._written + len(held))
            if size < GATHERED:
                held += block
                if len(held) >= GATHERED:
                    self.finish()
            else:
                self.finish()
                self._blob.write(block)
                self._written += size
        return offsets

    def finish(self) -> int:
        """Hand what was gathered to the blob; return the size so far in bytes. The blob's `commit` is the caller's."""
        self._blob.write(self._held)
        self._written += len(self._held)
        self._held.clear()
        return self._written
