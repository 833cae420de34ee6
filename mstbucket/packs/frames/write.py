"""Writing a CAR as frames: a `BlobWriter` in front of another, with a thread beside the one that hashes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from mstbucket.blobs.base import BlobWriter
from mstbucket.errors import InvalidInput
from mstbucket.packs.frames.codec import Encoder
from mstbucket.packs.frames.cutting import Cutter
from mstbucket.packs.frames.format import Entry

_AHEAD: Final = 4  # frames waiting to be encoded: at most 8 MiB


class FrameWriter(BlobWriter):
    """Takes a CAR and writes its frames, and the trailer behind them, to `blob`.

    Compressing, encrypting and writing happen on a thread of its own from the second frame on, beside the hashing of
    what comes next: zstd, AES and the system's write all let go of the interpreter. So a failure of one frame may be
    raised by a later call, and `commit` is the last that can.
    """

    def __init__(self, blob: BlobWriter, encoder: Encoder) -> None:
        self._blob = blob
        self._encoder = encoder
        self._cutter = Cutter()
        self._first: bytes | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._ended = False

    @property
    def plain_size(self) -> int:
        """Bytes of the CAR. For after `commit`."""
        return self._encoder.plain_size

    @property
    def entries(self) -> list[Entry]:
        """The frames. For after `commit`."""
        return self._encoder.entries

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._alive()
        try:
            for frame in self._cutter.feed(data):
                self._give(frame)
        except BaseException:
            self.abort()
            raise

    def commit(self) -> int:
        """As the contract says; `InvalidCar` where what was written is no whole CAR."""
        self._alive()
        try:
            for frame in self._cutter.finish():
                self._give(frame)
            if self._pool is None and self._first is not None:
                self._put(self._first)
            while self._waiting:
                self._waiting.popleft().result()
            self._blob.write(self._encoder.trailer())
            size = self._blob.commit()
        finally:
            self.abort()
        return size

    def abort(self) -> None:
        self._ended = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._waiting.clear()
        self._blob.abort()

    def _alive(self) -> None:
        if self._ended:
            raise InvalidInput("the writing of this pack has ended: begin another one")

    def _give(self, frame: bytes) -> None:
        if self._pool is None:
            if self._first is None:
                self._first = frame  # of most flushes the only one: no thread for it
                return
            self._pool = ThreadPoolExecutor(1, "mstbucket-frames")
            self._waiting.append(self._pool.submit(self._put, self._first))
        while len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._put, frame))

    def _put(self, plain: bytes) -> None:
        self._blob.write(self._encoder.encode(plain))
