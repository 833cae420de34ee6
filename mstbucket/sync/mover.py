"""What carries steps out: the contract of a mover, and the outcomes it reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from typing import Final

from mstbucket.core.body_builder import BodyBuilder
from mstbucket.errors import StorageError
from mstbucket.limits import DELETE_KEYS_MAX
from mstbucket.model.objects import ObjectInfo, PutRequest, PutResult
from mstbucket.model.streams import Readable
from mstbucket.sync.entry import Compare, Copy, Entry, Same

WHOLE: Final = 1 << 20  # bytes; what has up to this joins a batch, larger bodies are streamed one by one


@dataclass(frozen=True, slots=True)
class Moved:
    """The target has the source's bytes now, durably as far as the target goes.

    Attributes:
        step: what was done.
        made: what is known of the object that was put, or read, where there is one of ours; None in a rehearsal.
        path: of the file that was written.
    """

    step: Copy
    made: PutResult | ObjectInfo | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Read, and to be put into the bucket with a batch, if `check` still passes then."""

    step: Copy
    request: PutRequest
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Failed:
    """This one could not be done, and the reason; others may."""

    step: Copy | Compare
    error: Exception


Outcome = Moved | Ready | Failed | Same


class Alone(Exception):
    """A `StorageError` that is about one object only: a thread makes an outcome of it, so that it ends nothing."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(str(error))
        self.error = error


class _Stopped(BaseException):
    """The sync ends: somebody interrupted it, or it failed elsewhere. Raised inside the threads that move."""


class Meter:
    """How many bytes were moved or compared so far; any thread adds to it, and notices there that the sync ends."""

    def __init__(self, tick: Callable[[int], None] = lambda _: None) -> None:
        """Start at nothing; *tick* is called with the bytes so far by whichever thread adds to them."""
        self.bytes = 0
        self._tick = tick
        self._lock = Lock()
        self._stop = Event()

    def add(self, count: int) -> None:
        """Count bytes.

        Raises:
            BaseException: `stop` was called. It is of a kind that nothing handles.
        """
        if self._stop.is_set():
            raise _Stopped
        with self._lock:
            self.bytes += count
        self._tick(self.bytes)

    def stop(self) -> None:
        """Have every `add` raise from now on."""
        self._stop.set()

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, counted."""
        for chunk in chunks:
            self.add(len(chunk))
            yield chunk


class Metered:
    """A reader whose bytes are counted."""

    def __init__(self, reader: Readable, meter: Meter) -> None:
        self._reader = reader
        self._meter = meter

    def read(self, size: int) -> bytes:
        """What the reader gives."""
        data = self._reader.read(size)
        self._meter.add(len(data))
        return data


class Mover(ABC):
    """Copies, compares and deletes for one direction. `move` and `probe` are called by many threads at once."""

    #: How many steps are given to a thread at a time: many where one takes microseconds.
    together: int = 1
    #: How many entries are deleted at a time.
    deleted_together: int = DELETE_KEYS_MAX
    meter: Meter

    @abstractmethod
    def move(self, step: Copy | Compare) -> Outcome:
        """Do the step; of a `Compare`, copy only where the bytes differ.

        Raises:
            StorageError: going on with other steps cannot help.
            MstBucketError, OSError, Alone: only this step cannot be done.
        """

    @abstractmethod
    def probe(self, step: Copy | Compare) -> Outcome:
        """What `move` would do, as far as that can be known without writing; raises the same."""

    @abstractmethod
    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove these from the target; yields each with the reason where it could not be removed."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to make
        """Make the place for the first object. Raise if every object would fail."""

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what is held; nothing is moved any more."""


def always(target: Entry) -> bool:
    """Every object is taken for what its row says."""
    return True


def as_copy(step: Copy | Compare) -> Copy:
    """The copy that a comparison ends in when the bytes differ."""
    return step if isinstance(step, Copy) else Copy(step.source, step.target, "content")


def content_of(chunks: Iterable[bytes]) -> bytes:
    """The CID that these bytes have as a body."""
    builder = BodyBuilder()
    for chunk in chunks:
        for _ in builder.feed(chunk):
            pass
    return builder.finish().root
