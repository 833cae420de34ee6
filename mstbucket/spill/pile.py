"""Bytes that are piled up, and looked at by their place: in memory up to a bound, in a temporary file past it."""

from __future__ import annotations

from typing import Final, Self

from mstbucket.limits import MIB
from mstbucket.spill.scratch import Spooled

MEMORY_MAX: Final = 8 * MIB  # bytes held before there is a file


class Pile:
    """Bytes with a top that grows, and can be cut back. A context manager; not for several threads at once.

    Every method raises `StorageError` where the temporary directory is full or fails.

    Attributes:
        top: how many bytes there are.
    """

    def __init__(self, memory_max: int = MEMORY_MAX) -> None:
        self._file = Spooled(memory_max, "folders were made")
        self._at_top = True
        self.top = 0

    def add(self, data: bytes) -> int:
        """Put *data* on top; return its place."""
        place = self.top
        if not self._at_top:
            self._file.seek(place)
            self._at_top = True
        self._file.write(data)
        self.top += len(data)
        return place

    def read(self, place: int, size: int) -> bytes:
        """The *size* bytes at *place*; fewer where the pile ends."""
        self._at_top = False
        self._file.seek(place)
        return self._file.read(max(0, min(size, self.top - place)))

    def cut(self, top: int) -> None:
        """Forget all bytes from *top* on."""
        self._at_top = False
        self._file.seek(top)
        self._file.truncate()
        self.top = top

    def close(self) -> None:
        """Give the memory and the file back. Closing again does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
