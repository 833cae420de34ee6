"""Temporary files whose every failure is a declared error, also where bytes leave a buffer only later."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Self, cast

from mstbucket.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


def temporary_failed(doing: str, error: OSError, again: str = "the call") -> StorageError:
    """The declared error of a temporary directory that is full, or fails, while *doing*."""
    return StorageError(
        f"the temporary directory failed while {doing} ({error}): free space there, or set TMPDIR to another directory, "
        f"and repeat {again}"
    )


def scratch(doing: str, again: str = "the call", buffer: int = io.DEFAULT_BUFFER_SIZE) -> IO[bytes]:
    """A new temporary file without a name, to be written and read. It is gone when it is closed.

    Every method raises `StorageError` where the temporary directory is full or fails. Closing raises nothing: nobody wants
    what has not been written by then.

    Args:
        doing: what it is for, as in "while the names were sorted"; the error says it.
        again: what to repeat then.
        buffer: bytes that are held before they are written, and read at once.
    """
    with declared(doing, again), TemporaryFile(buffering=0) as file:
        return cast("IO[bytes]", _Scratch(_Raw(os.dup(file.fileno()), doing, again), buffer))


@contextmanager
def declared(doing: str, again: str = "the call") -> Iterator[None]:
    """Make the errors of a temporary file in the block declared ones; declared ones stay."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise temporary_failed(doing, error, again) from error


class _Raw(io.FileIO):
    """The calls that reach the operating system. A buffer makes them, whenever it wants."""

    def __init__(self, number: int, doing: str, again: str) -> None:
        super().__init__(number, "rb+")
        self._said = doing, again

    def write(self, data: ReadableBuffer, /) -> int:
        with declared(*self._said):
            return super().write(data)

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        with declared(*self._said):
            return cast("int | None", super().readinto(buffer))

    def readall(self) -> bytes:
        with declared(*self._said):
            return super().readall()

    def truncate(self, size: int | None = None, /) -> int:
        with declared(*self._said):
            return super().truncate(size)


class _Scratch(io.BufferedRandom):
    def close(self) -> None:
        with suppress(OSError):
            super().close()


class Spooled:
    """Bytes that are written and read as in a file: in memory up to a bound, past it in a temporary file.

    A context manager. Every method raises `StorageError` where the temporary directory is full or fails; closing does not.

    Attributes:
        file: what holds the bytes now. Another one does after a write that goes past the bound.
    """

    def __init__(self, memory_max: int, doing: str, again: str = "the call") -> None:
        self.file: IO[bytes] = io.BytesIO()
        self._memory_max = memory_max
        self._said = doing, again
        self._in_memory = True

    def write(self, data: ReadableBuffer) -> int:
        """As that of a file."""
        written = self.file.write(data)
        if self._in_memory and self.file.tell() > self._memory_max:
            self._leave_memory()
        return written

    def _leave_memory(self) -> None:
        memory = cast("io.BytesIO", self.file)
        file = scratch(*self._said)
        try:
            file.write(memory.getvalue())
            file.seek(memory.tell())
        except StorageError:
            file.close()
            raise
        self.file, self._in_memory = file, False

    def read(self, size: int = -1) -> bytes:
        """As that of a file."""
        return self.file.read(size)

    def seek(self, place: int) -> int:
        """As that of a file, from its start."""
        return self.file.seek(place)

    def truncate(self) -> int:
        """As that of a file."""
        return self.file.truncate()

    def close(self) -> None:
        """Forget the bytes. Closing again does nothing."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
