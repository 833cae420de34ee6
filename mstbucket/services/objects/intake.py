"""Taking bodies in: read once, chunked and hashed on the way, held if small and streamed on as blocks if large.

Nothing here is visible to a reader. A body becomes visible in the transaction of `services.putting`.
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

from mstbucket.core.checksums import Hasher, hasher
from mstbucket.core.cid import raw_cid
from mstbucket.core.unixfs import BodyBuilder
from mstbucket.errors import EntityTooLarge, InvalidInput
from mstbucket.files.watched import Watched
from mstbucket.files.whole import reading
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX, PUT_SIZE_MAX
from mstbucket.model.objects import Body

_QUEUE: Final = 4  # chunks that a digest may lag behind the writing; bounds what a slow one can hold to 4 MiB


class Sink(Protocol):
    """Where the blocks of a large body go."""

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Take a block."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A body that was read to its end: its root, its size, its digests; `inline` is the body where it is small.

    `digests` has every checksum that was asked for, by algorithm.
    """

    content: bytes
    size: int
    etag: str
    sha256: bytes
    inline: bytes | None
    digests: Mapping[str, bytes] = field(default_factory=dict)


def take(body: Body, open_pack: Callable[[], Sink], algorithms: Collection[str] = ()) -> Taken:
    """Read `body` to its end. The blocks of a large one go where `open_pack` gives, which is asked only then.

    `algorithms` are checksums to compute on the way, of those that `core.checksums` knows.

    Raises:
        InvalidInput: it is none of the kinds of body, or its `read` returns something other than bytes.
        Conflict: the file at a path changed while it was read ([PUT-14]).
        StorageError: a path that cannot be read. What the reader of a file object raises goes through as it is.
    """
    if isinstance(body, (bytes, bytearray, memoryview)):
        data = bytes(body)
        if len(data) <= INLINE_MAX:
            return _small(data, algorithms)
        return _large(iter((data,)), open_pack(), algorithms)
    if isinstance(body, os.PathLike):
        with reading(body, buffering=0) as file:
            if os.fstat(file.fileno()).st_size > PUT_SIZE_MAX:  # which the reading would find days later
                raise EntityTooLarge(f"{os.fspath(body)} has more than {PUT_SIZE_MAX} bytes: send it in parts")
            return _take_stream(Watched(file, os.fspath(body)).read, open_pack, algorithms)
    read = getattr(body, "read", None)
    if read is None:
        raise InvalidInput(f"a body is bytes, a path object, or has read(); {type(body).__name__} is none of these")
    return _take_stream(read, open_pack, algorithms)


def _take_stream(
    read: Callable[[int], Any], open_pack: Callable[[], Sink], algorithms: Collection[str]
) -> Taken:
    start = b"".join(_pieces(read, INLINE_MAX + 1))
    if len(start) <= INLINE_MAX:
        return _small(start, algorithms)

    def stream() -> Iterator[bytes]:
        yield start + b"".join(_pieces(read, CHUNK_SIZE - len(start) % CHUNK_SIZE))
        while piece := b"".join(_pieces(read, CHUNK_SIZE)):
            yield piece

    return _large(stream(), open_pack(), algorithms)


def _pieces(read: Callable[[int], Any], wanted: int) -> Iterator[bytes]:
    """Up to `wanted` bytes; fewer only at the end. A reader may return less than it was asked for."""
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


def _small(data: bytes, algorithms: Collection[str]) -> Taken:
    cid = raw_cid(data)
    digests = {}
    for algorithm in algorithms:
        one = hasher(algorithm)
        one.update(data)
        digests[algorithm] = one.digest()
    # A body of one chunk is its own only block: the block's digest is the digest of the whole body.
    return Taken(cid, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), cid[4:], data, digests)


def _large(stream: Iterator[bytes], pack: Sink, algorithms: Collection[str]) -> Taken:
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
        body = builder.finish()
        for cid, block in body.blocks:
            pack.add(cid, block)
    found = {name: one.digest() for name, one in beside.items()}
    wanted = {algorithm: found[algorithm] for algorithm in algorithms}
    return Taken(body.root, body.size, found["md5"].hex(), found["sha256"], None, wanted)


class _Beside:
    """A digest computed on a thread of its own: hashlib lets go of the interpreter while it works."""

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


@contextmanager
def _beside(hasher: Hasher) -> Iterator[_Beside]:
    beside = _Beside(hasher)
    try:
        yield beside
    finally:
        beside.close()
