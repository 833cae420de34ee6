"""A blob store that takes its time, around any other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls take, in seconds.

    Attributes:
        call: each call.
        byte: each byte read or written, in addition; 1e-8 is 100 MB/s.
        jitter: each wait is longer by a share between 0 and this.
        seed: of the jitter.
    """

    call: float = 0.0
    byte: float = 0.0
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.call, self.byte, self.jitter) < 0:
            raise InvalidInput(f"{self} is no latency: no call ends before it began")


class SlowBlobs(BlobStore):
    """The blobs of another store, each call after a wait. Thread-safe if that one is: waits of threads overlap.

    A writer waits for its bytes as they are written, and for a call when it is opened and when it is committed.
    """

    def __init__(self, blobs: BlobStore, latency: Latency) -> None:
        self.reading = blobs.reading
        self._blobs = blobs
        self._latency = latency
        self._random = random.Random(latency.seed)
        self._lock = threading.Lock()
        self._calls = 0
        self._moved = 0
        self._waited = 0.0

    @property
    def calls(self) -> int:
        """Calls that were waited for so far."""
        return self._calls

    @property
    def moved(self) -> int:
        """Bytes that were waited for so far."""
        return self._moved

    @property
    def waited(self) -> float:
        """Seconds of all waits so far; waits at the same time count in full each."""
        return self._waited

    def open_write(self, name: str) -> BlobWriter:
        writer = self._blobs.open_write(name)
        self._wait(1, 0)
        return _Writer(self, writer)

    def put_if_absent(self, name: str, data: bytes) -> None:
        self._wait(1, len(data))
        self._blobs.put_if_absent(name, data)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = self._blobs.get_range(name, start, length)
        self._wait(1, len(data))
        return data

    def head(self, name: str) -> BlobInfo:
        self._wait(1, 0)
        return self._blobs.head(name)

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        self._wait(1, 0)
        return self._blobs.list(prefix, after)

    def delete(self, name: str) -> None:
        self._wait(1, 0)
        self._blobs.delete(name)

    def delete_many(self, names: Iterable[str]) -> None:
        self._wait(1, 0)
        self._blobs.delete_many(names)

    def distrust(self, name: str) -> None:
        self._blobs.distrust(name)

    def release(self) -> None:
        self._blobs.release()

    def _wait(self, calls: int, size: int) -> None:
        latency = self._latency
        with self._lock:
            longer = 1 + self._random.random() * latency.jitter
            seconds = (calls * latency.call + size * latency.byte) * longer
            self._calls += calls
            self._moved += size
            self._waited += seconds
        if seconds > 0:
            time.sleep(seconds)


class _Writer(BlobWriter):
    def __init__(self, store: SlowBlobs, inner: BlobWriter) -> None:
        self._store = store
        self._inner = inner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._inner.write(data)
        self._store._wait(0, memoryview(data).nbytes)

    def commit(self) -> int:
        self._store._wait(1, 0)
        return self._inner.commit()

    def abort(self) -> None:
        self._inner.abort()
