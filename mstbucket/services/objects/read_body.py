"""A caller's body is read once, and chunked and hashed on the way. A small one is held, a large one goes on as blocks.

Nothing here is visible to a reader. `put` makes the body visible, in its transaction.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.checksums import Hasher, hasher
from mstbucket.core.cid import raw_cid
from mstbucket.errors import EntityTooLarge, InvalidInput
from mstbucket.files.watched import Watched
from mstbucket.files.whole import reading
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX, PUT_SIZE_MAX
from mstbucket.model.objects import Body

_QUEUE: Final = 4  # a digest may lag this many chunks behind the writing: a slow one holds 4 MiB at most


class Sink(Protocol):
    """Where the blocks of a large body go."""

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Take a block."""


@dataclass(frozen=True, slots=True)
class BodyRead:
    """What is known of a body that was read to its end.

    Attributes:
        content: the CID of its root.
        size: in bytes.
        etag: its MD5, in hex.
        sha256: its SHA-256.
        inline: the body itself where it is small; None where its blocks went to a sink.
        digests: every checksum that was asked for, by algorithm.
    """

    content: bytes
    size: int
    etag: str
    sha256: bytes
    inline: bytes | None
    digests: Mapping[str, bytes] = field(default_factory=dict)


def read_body(
    body: Body, open_pack: Callable[[], Sink], algorithms: Collection[str] = (), inline_max: int = INLINE_MAX
) -> BodyRead:
    """Read `body` to its end.

    Args:
        body: bytes, a path, or an object with `read(n)`.
        open_pack: called once a body is known to be large; its blocks go to the sink that this returns.
        algorithms: checksums to compute on the way; `core.checksums` knows them.
        inline_max: bytes of a small body, at most.

    Raises:
        InvalidInput: it is none of the kinds of body, or its `read` returns something other than bytes.
        Conflict: the file at a path changed while it was read ([PUT-14]).
        StorageError: the file at a path cannot be read. What the `read` of an object raises goes through as it is.
    """
    if isinstance(body, (bytes, bytearray, memoryview)):
        data = bytes(body)
        if len(data) <= inline_max:
            return _small(data, algorithms)
        return _large(iter((data,)), open_pack(), algorithms)
    if isinstance(body, os.PathLike):
        with reading(body, buffering=0) as file:
            if os.fstat(file.fileno()).st_size > PUT_SIZE_MAX:  # else the reading would find that out days later
                raise EntityTooLarge(f"{os.fspath(body)} has more than {PUT_SIZE_MAX} bytes: send it in parts")
            return _read_stream(Watched(file, os.fspath(body)).read, open_pack, algorithms, inline_max)
    read = getattr(body, "read", None)
    if read is None:
        raise InvalidInput(f"a body is bytes, a path object, or has read(); {type(body).__name__} is none of these")
    return _read_stream(read, open_pack, algorithms, inline_max)


def _read_stream(
    read: Callable[[int], Any], open_pack: Callable[[], Sink], algorithms: Collection[str], inline_max: int
) -> BodyRead:
    start = b"".join(_pieces(read, inline_max + 1))
    if len(start) <= inline_max:
        return _small(start, algorithms)

    def stream() -> Iterator[bytes]:
        nonlocal start
        first, start = start, b""
        yield first + b"".join(_pieces(read, CHUNK_SIZE - len(first) % CHUNK_SIZE))
        del first
        while piece := b"".join(_pieces(read, CHUNK_SIZE)):
            yield piece
            del piece  # the next one may not come for long: nobody holds this one until then

    return _large(stream(), open_pack(), algorithms)


def _pieces(read: Callable[[int], Any], wanted: int) -> Iterator[bytes]:
    """Yield up to `wanted` bytes; fewer only at the end. One call of `read` may return less than it was asked for."""
    while wanted > 0:
        piece = read(wanted)
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise InvalidInput(f"the body's read() returned {type(piece).__name__}; open the file in binary mode")
        if len(piece) == 0:
            return
        if len(piece) > wanted:
            raise InvalidInput(f"the body's read({wanted}) returned {len(piece)} bytes")
        wanted -= len(piece)
        yield bytes(piece)


def _small(data: bytes, algorithms: Collection[str]) -> BodyRead:
    cid = raw_cid(data)
    digests = {}
    for algorithm in algorithms:
        one = hasher(algorithm)
        one.update(data)
        digests[algorithm] = one.digest()
    # A small body is one block. So the digest in the block's CID is the SHA-256 of the whole body.
    return BodyRead(cid, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), cid[4:], data, digests)


def _large(stream: Iterator[bytes], pack: Sink, algorithms: Collection[str]) -> BodyRead:
    builder = BodyBuilder()
    hashers: dict[str, Hasher] = {algorithm: hasher(algorithm) for algorithm in algorithms}
    hashers |= {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    with ExitStack() as stack:
        # [SUM-4] each on a thread of its own, beside the writing
        beside = {name: stack.enter_context(_beside(one)) for name, one in hashers.items()}
        for data in stream:
            for one in beside.values():
                one.update(data)
            for cid, block in builder.feed(data):
                pack.add(cid, block)
                del block
            del data
        body = builder.finish()
        for cid, block in body.blocks:
            pack.add(cid, block)
    found = {name: one.digest() for name, one in beside.items()}
    wanted = {algorithm: found[algorithm] for algorithm in algorithms}
    return BodyRead(body.root, body.size, found["md5"].hex(), found["sha256"], None, wanted)


class _Beside:
    """A digest that a thread of its own computes: hashlib lets go of the interpreter while it works."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._work, name="mstbucket-digest", daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        self._queue.put(data)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def digest(self) -> bytes:
        """The digest of everything given before `close`."""
        return self._hasher.digest()

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            self._hasher.update(data)
            del data


@contextmanager
def _beside(hasher: Hasher) -> Iterator[_Beside]:
    beside = _Beside(hasher)
    try:
        yield beside
    finally:
        beside.close()
