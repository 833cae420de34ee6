"""Blocks in memory that count what they are asked for."""

from __future__ import annotations

from collections.abc import Collection

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import CID


class Counted(MemoryBlocks):
    """Blocks in memory that count what they are asked for.

    Attributes:
        calls: how often they were asked.
        read: for which blocks, in order.
    """

    __slots__ = ("calls", "read")

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.read: list[CID] = []

    def get(self, cid: CID) -> bytes:
        self.calls += 1
        self.read.append(cid)
        return super().get(cid)

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        self.calls += 1
        self.read += cids
        return super().get_many(cids)
