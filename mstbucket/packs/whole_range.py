"""Bytes of a pack, all that were asked for: a pack that was cut short is told from a medium that failed."""

from __future__ import annotations

from typing import Protocol

from mstbucket.blobs.base import BlobInfo, whole
from mstbucket.errors import MissingBlock, StorageError


class Sized(Protocol):
    """What gives ranges, and knows the length of the whole: a `BlobStore`, or a view of one."""

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `BlobStore`."""

    def head(self, name: str) -> BlobInfo:
        """See `BlobStore`."""


def read_range(blobs: Sized, name: str, start: int, length: int) -> bytes:
    """These bytes of a pack.

    Raises:
        MissingBlock: the pack ends before. It was cut: so those bytes are lost ([PACK-8]).
        StorageError: the medium failed, and the pack is as long as it should be.
        NoSuchBlob: there is no such pack.
    """
    try:
        return whole(blobs.get_range(name, start, length), name, start, length)
    except StorageError:
        size = blobs.head(name).size
        if size >= start + length:
            raise
        raise MissingBlock(f"pack {name} was cut to {size} bytes") from None
