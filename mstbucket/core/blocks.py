"""Where the pure core reads blocks from: one small protocol, and the dictionary that fulfils it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from mstbucket.core.cid import CID, to_text
from mstbucket.errors import MissingBlock


class BlockSource(Protocol):
    """Something that gives the bytes for a CID.

    A source answers with the bytes that were stored under the CID. Whether they hash to it is the source's promise,
    not checked by the readers in `core.mst`; the readers in `verify` check it for every block.
    """

    def get(self, cid: CID) -> bytes:
        """Return the block of *cid*.

        Raises:
            MissingBlock: it is not there; the message names the CID.
        """
        ...

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        """Return the blocks of all *cids*; a source with a cost per call pays it once.

        Raises:
            MissingBlock: one of them is not there; the message names the first such CID.
        """
        ...


class MemoryBlocks:
    """Blocks in a dictionary. What `put` stored is there until the object goes; nothing is checked or copied."""

    __slots__ = ("blocks",)

    def __init__(self, blocks: Mapping[CID, bytes] | None = None) -> None:
        self.blocks: dict[CID, bytes] = {} if blocks is None else dict(blocks)

    def put(self, cid: CID, block: bytes) -> None:
        """Store *block* under *cid*. That it hashes to it is not checked here (`cid.verify_block` does)."""
        self.blocks[cid] = block

    def get(self, cid: CID) -> bytes:
        """Return the block of *cid*, or raise `MissingBlock`."""
        try:
            return self.blocks[cid]
        except KeyError:
            raise _missing(cid) from None

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """Return the blocks of all *cids*, or raise `MissingBlock` for the first one that is not there."""
        blocks = self.blocks
        try:
            return {cid: blocks[cid] for cid in cids}
        except KeyError as error:
            raise _missing(error.args[0]) from None

    def __contains__(self, cid: object) -> bool:
        return cid in self.blocks

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[CID]:
        return iter(self.blocks)


class BlocksOver:
    """Some blocks in memory, over a source that has the others and is asked for those alone."""

    __slots__ = ("_blocks", "_source")

    def __init__(self, blocks: Mapping[CID, bytes], source: BlockSource) -> None:
        self._blocks = blocks
        self._source = source

    def get(self, cid: CID) -> bytes:
        """See `BlockSource`."""
        return self._blocks[cid] if cid in self._blocks else self._source.get(cid)

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        """See `BlockSource`."""
        here = {cid: self._blocks[cid] for cid in cids if cid in self._blocks}
        rest = [cid for cid in cids if cid not in here]
        return {**self._source.get_many(rest), **here} if rest else here


def _missing(cid: CID) -> MissingBlock:
    return MissingBlock(f"block {to_text(cid)} is not here: fetch it from a complete copy").about(cid=cid)
