"""Processes of their own for the tests of blob stores: killed for real, and run where the disk is full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import mstbucket
from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import framed, pack_name
from mstbucket.core.cid import raw_cid
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.plan import Location
from mstbucket.packs.write import PackWriter

Written = tuple[str, list[tuple[bytes, Location]], bytes]
PACKAGE = Path(mstbucket.__file__).parents[1]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python code in a process of its own, `before` it a command that sets the scene."""
    running: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        command = [*before, sys.executable, "-c", code, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


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
