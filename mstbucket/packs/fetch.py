"""One planned read of a pack: it is fetched, cut into blocks, and each is hashed. An error says which blocks are lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

from mstbucket.blobs.base import BlobInfo, Reading
from mstbucket.core.cid import CID, to_text, verify_block
from mstbucket.errors import BrokenFrame, CorruptionError, HashMismatch, MissingBlock, NoSuchBlob
from mstbucket.packs.plan import Read
from mstbucket.packs.whole_range import read_range

log = logging.getLogger("mstbucket")


class Ranges(Protocol):
    """What is read from: a `BlobStore` of plain packs, or `framed.Packs`, which shows packs of every kind as plain ones."""

    @property
    def reading(self) -> Reading:
        """See `BlobStore`."""

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `BlobStore`."""

    def head(self, name: str) -> BlobInfo:
        """See `BlobStore`."""

    def distrust(self, name: str) -> None:
        """See `BlobStore`."""


def checked(cid: CID, block: bytes, where: str) -> bytes:
    """Return the block, or raise `HashMismatch` saying where the damage is ([GET-1])."""
    try:
        verify_block(cid, block)
    except HashMismatch as error:
        raise HashMismatch(f"{error} ({where})").about(error) from error
    return block


def take(
    blobs: Ranges, read: Read, found: dict[CID, bytes], by: Callable[[Read], bytes] | None = None
) -> bytes:
    """Put the wanted blocks of a planned read, verified, into `found`, and return what was fetched, by *by* if given.

    [PACK-10] One wrong answer is not yet damage: a bit may have been flipped on the way, or where something was kept near
    by. So it is read once more, past everything that is kept; what is wrong then is wrong where it is stored.
    """
    try:
        data = fetch(blobs, read, read.stop) if by is None else by(read)
        _cut(read, data, found)
    except (HashMismatch, BrokenFrame) as error:
        log.info("pack %s is read once more: %s", read.pack, error)
        blobs.distrust(read.pack)
        data = fetch(blobs, read, read.stop)
        try:
            _cut(read, data, found)
        except HashMismatch:
            blobs.distrust(read.pack)
            raise
    return data


def fetch(blobs: Ranges, read: Read, stop: int) -> bytes:
    """The bytes of a planned read, up to `stop`."""
    try:
        return read_range(blobs, read.pack, read.start, stop - read.start)
    except NoSuchBlob as error:
        raise _lost(read, f"pack {read.pack} is gone") from error
    except MissingBlock as error:
        raise _lost(read, str(error)) from error
    except BrokenFrame as error:
        told = BrokenFrame(f"{error}, and with it {_names(read)}: restore the pack").about(error)
        raise _about(read, told) from error


def _lost(read: Read, what: str) -> CorruptionError:
    # [PACK-8] a pack that is gone or cut short is lost data, never absence
    return _about(read, MissingBlock(f"{what}, and with it {_names(read)}: restore the pack"))


def _about(read: Read, error: CorruptionError) -> CorruptionError:
    error.blocks = tuple(cid for cid, _ in read.wanted)
    return error.about(pack=read.pack, cid=error.blocks[0])


def _names(read: Read) -> str:
    names = ", ".join(to_text(cid) for cid, _ in read.wanted[:3])
    return f"{names}{' and more' if len(read.wanted) > 3 else ''}"


def _cut(read: Read, data: bytes, found: dict[CID, bytes]) -> None:
    """Cut the wanted blocks out of a fetched range; the error for those that are wrong names the first, and holds all."""
    start = read.start
    wrong: list[tuple[CID, bytes, int]] = []
    for cid, (_, offset, length) in read.wanted:
        block = data[offset - start : offset - start + length]
        # [PACK-6]
        if sha256(block).digest() == cid[4:]:
            found[cid] = block
        else:
            wrong.append((cid, block, offset))
    if wrong:
        cid, block, offset = wrong[0]
        try:
            checked(cid, block, f"in pack {read.pack} at byte {offset}")
        except HashMismatch as error:
            error.blocks = tuple(cid for cid, _, _ in wrong)
            error.about(pack=read.pack, offset=offset)
            raise
