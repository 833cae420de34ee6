"""The port to a medium of named, immutable files. The contract stands here; `mstbucket.testing` proves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob's name and its size in bytes."""

    name: str
    size: int


class BlobWriter(ABC):
    """One blob being written. Nothing of it is visible before `commit`. For one thread at a time.

    As a context manager it aborts on leaving, unless it was committed.
    """

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`. Raises `StorageError` when the medium fails; then only `abort` is left to do."""

    @abstractmethod
    def commit(self) -> int:
        """Make the blob durable and visible, in that order, and return its size.

        Raises:
            BlobExists: there is one of that name; it is untouched, and this one is gone.
            StorageError: the medium failed; nothing is visible.
        """

    @abstractmethod
    def abort(self) -> None:
        """Forget everything written. Harmless after `commit` and when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class BlobStore(ABC):
    """Named, immutable files on some medium ([BLOB-1] to [BLOB-9]).

    *Atomic*: a blob is there whole or not at all, under any crash of any machine. *Durable*: when a method that writes
    returns, the blob survives the loss of power. *Immutable*: a name, once taken, keeps its bytes until it is deleted;
    callers never use a name twice (`blobs.names`). *Consistent*: what one call wrote, every later call sees.
    Thread-safe and safe between processes, except for one `BlobWriter`, which is one thread's own.

    Every method checks names and raises `InvalidInput` for one that cannot be. A medium that fails raises
    `StorageError` saying what, where and what to do. An ability that a medium cannot offer safely raises `Unsupported`.
    """

    @abstractmethod
    def open_write(self, name: str) -> BlobWriter:
        """Start a blob of any length. Memory held does not grow with it."""

    @abstractmethod
    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start`.

        Raises:
            NoSuchBlob: there is none of that name.
            StorageError: it ends before, or the medium failed.
        """

    @abstractmethod
    def head(self, name: str) -> BlobInfo:
        """Return what is known of a blob, or raise `NoSuchBlob`."""

    @abstractmethod
    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        """Iterate over the blobs whose names start with `prefix` and stand above `after`, by name.

        Foreign files, which have no blob's name, are passed over. A blob that is there all the time is given once.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a blob for good. One that is not there is no error: a delete can always be repeated."""

    def put(self, name: str, data: bytes) -> None:
        """Make a blob of `data`, durable and visible when this returns.

        Raises:
            BlobExists: there is one of that name, which is untouched.
        """
        with self.open_write(name) as writer:
            writer.write(data)
            writer.commit()

    def delete_many(self, names: Iterable[str]) -> None:
        """Remove blobs for good; stops at the first that fails. Repeat it with the same names."""
        for name in names:
            self.delete(name)
