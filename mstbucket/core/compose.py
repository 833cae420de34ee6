"""Compose the body of a multipart upload from chunks that are stored already, reading only what has to be cut anew.

Every part was cut into chunks from its own start. A part may begin at a multiple of the chunk size. Then its full chunks are
the body's own, and only their CIDs are needed. It may begin elsewhere. Then the bytes from there on are read and cut again,
up to the next part that begins at a multiple. `spec/store/16-multipart.md` is normative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mstbucket.core.blocks import BlockSource
from mstbucket.core.body_builder import Block, Body, DagBuilder
from mstbucket.core.cid import CID, RAW_PREFIX, raw_cid
from mstbucket.errors import InvalidInput
from mstbucket.limits import CHUNK_SIZE

DIGEST: Final = 32  # bytes of a chunk's sha256
AHEAD: Final = 8  # chunks read at a time: 8 MiB


class Composer:
    """Takes parts in order; gives the body that the same bytes would have in one go ([BODY-1], [MPU-7]).

    `put` is called with every block that the parts did not bring along: chunks that were cut anew, and all nodes,
    children before parents. Holds 9 MiB besides what `DagBuilder` holds. Not for use from two threads at once.

    Attributes:
        kept: CID of the body's last chunk if a part brought it along as it is, else None.
    """

    __slots__ = ("_blocks", "_dag", "_held", "_put", "_tail", "kept")

    def __init__(self, blocks: BlockSource, put: Callable[[CID, bytes], object]) -> None:
        self.kept: CID | None = None
        self._blocks = blocks
        self._put = put
        self._dag = DagBuilder()
        self._tail: tuple[CID, int] | None = None  # a short chunk that is the body's last one, if nothing follows
        self._held = bytearray()  # bytes since the last full chunk, always fewer than one; never beside a tail

    def add(self, size: int, digests: bytes) -> None:
        """Append a part of `size` bytes whose chunks have the sha256 `digests`, 32 bytes each.

        Raises:
            InvalidInput: a part of that size has another number of chunks.
            MissingBlock, HashMismatch: a chunk that has to be read is not there, or damaged.
            EntityTooLarge: the body grew above the largest object size.
        """
        if len(digests) != DIGEST * max(1, -(-size // CHUNK_SIZE)):
            raise InvalidInput(f"a part of {size} bytes does not have {len(digests) / DIGEST:g} chunks")
        if size == 0:
            return
        cids = [RAW_PREFIX + digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
        if self._tail is not None:  # [MPU-8] the boundary before this part is the misaligned one: read from here
            self._held += self._blocks.get(self._tail[0])
            self._tail = None
        if self._held:
            self._cut(cids)
            return
        full, rest = divmod(size, CHUNK_SIZE)
        for cid in cids[:full]:
            self._chunk(cid, CHUNK_SIZE)
            self.kept = cid
        if rest:
            self._tail = (cids[full], rest)

    def finish(self) -> Body:
        """Return root and size; every block was given to `put`, so `blocks` is empty. The composer is used up."""
        if self._tail is not None:
            self.kept, size = self._tail
            self._chunk(self.kept, size)
        elif self._held:
            self._flush(bytes(self._held))
        elif self._dag.size == 0:
            self._flush(b"")  # [BODY-2] an empty body is one empty chunk
        body = self._dag.finish()
        self._put_all(body.blocks)
        return Body(body.root, body.size, [])

    def _cut(self, cids: list[CID]) -> None:
        for start in range(0, len(cids), AHEAD):
            wanted = cids[start : start + AHEAD]
            found = self._blocks.get_many(set(wanted))
            for cid in wanted:
                self._held += found[cid]
                if len(self._held) >= CHUNK_SIZE:
                    self._flush(bytes(self._held[:CHUNK_SIZE]))
                    del self._held[:CHUNK_SIZE]

    def _flush(self, chunk: bytes) -> None:
        cid = raw_cid(chunk)
        self._put(cid, chunk)
        self._chunk(cid, len(chunk))
        self.kept = None

    def _chunk(self, cid: CID, size: int) -> None:
        self._put_all(self._dag.add(cid, size))

    def _put_all(self, blocks: list[Block]) -> None:
        for cid, block in blocks:
            self._put(cid, block)
