"""Which bytes of which packs to read for a set of blocks: planned here, read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Final, NamedTuple

from mstbucket.blobs.base import BlobStore
from mstbucket.core.cid import CID, CID_SIZE

GAP: Final = BlobStore.reading.gap
READ_MAX: Final = BlobStore.reading.limit


class Location(NamedTuple):
    """Where a block is: the pack, the offset of the block's first byte, its length."""

    pack: str
    offset: int
    length: int


class Read(NamedTuple):
    """One planned read of a pack: `start` to `stop`, and the wanted blocks in it as (CID, location).

    A read of several blocks starts with the first one's section, so that what lies between can be parsed. A read of one
    block is that block's bytes and nothing else.
    """

    pack: str
    start: int
    stop: int
    wanted: tuple[tuple[CID, Location], ...]


def plan(wanted: Iterable[tuple[CID, Location]], gap: int = GAP, limit: int = READ_MAX) -> list[Read]:
    """The reads a caller would execute to get `wanted`, in the order of packs and offsets; no I/O here.

    [PACK-7] Every wanted block is in exactly one read. No read is longer than `limit` bytes, unless it is of one block.
    At most `gap` bytes between two blocks are read over. With these rules there are as few reads as can be.
    """
    reads: list[Read] = []
    group: list[tuple[CID, Location]] = []
    current, start, stop = "", 0, 0
    for item in sorted(wanted, key=itemgetter(1)):
        pack, offset, length = item[1]
        begin = section_start(offset, length)
        end = offset + length
        if group and pack == current and begin <= stop + gap and max(stop, end) - start <= limit:
            group.append(item)
            stop = max(stop, end)
            continue
        if group:
            reads.append(_read(current, start, stop, group))
        group, current, start, stop = [item], pack, begin, end
    if group:
        reads.append(_read(current, start, stop, group))
    return reads


def section_start(offset: int, length: int) -> int:
    """Where the section of a block of `length` bytes at `offset` starts in its pack."""
    size = CID_SIZE + length
    start = offset - CID_SIZE - 1
    while size > 0x7F:
        size >>= 7
        start -= 1
    return max(start, 0)  # of an index row that cannot be true; the block's hash will tell


def _read(pack: str, start: int, stop: int, group: list[tuple[CID, Location]]) -> Read:
    return Read(pack, group[0][1].offset if len(group) == 1 else start, stop, tuple(group))
