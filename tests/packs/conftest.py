"""Packs as the store writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import framed, pack_name
from mstbucket.core.cid import raw_cid
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.plan import Location
from mstbucket.packs.write import PackWriter

Written = tuple[str, list[tuple[bytes, Location]], bytes]


@pytest.fixture(scope="session")
def write_pack() -> Callable[[BlobStore, Encoding, Sequence[bytes]], Written]:
    """Writes blocks as a pack the way the store does; returns its name, where each block is, and the plain CAR."""

    def write(blobs: BlobStore, encoding: Encoding, blocks: Sequence[bytes]) -> Written:
        name = pack_name(encoding.kind)
        form = framed(name)
        beside = MemoryBlobs()
        plain = beside.open_write("packs/plain")
        blob = blobs.open_write(name)
        writer = blob if form is None else FrameWriter(blob, encoding.encoder(*form))
        for target in (writer, plain):
            pack = PackWriter(target, raw_cid(b""))
            offsets = [pack.add(raw_cid(block), block) for block in (b"", *blocks)]
            pack.finish()
        pairs = zip((b"", *blocks), offsets, strict=True)
        located = [(raw_cid(block), Location(name, offset, len(block))) for block, offset in pairs]
        writer.commit()
        plain.commit()
        return name, located, beside.blobs["packs/plain"]

    return write
