"""Sorting records of one size, more than memory should hold: sorted runs in temporary files, merged."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import IO, Final, Self

from mstbucket.spill.scratch import scratch

RUN: Final = 200_000  # records in memory at a time, some 20 MB
_CHUNK: Final = 1000  # records read at once, of each run that is merged


class SortedRecords:
    """Takes records of *size* bytes, and gives them back in the order of their bytes. A context manager.

    Every method raises `StorageError` where the temporary directory is full or fails.
    """

    def __init__(self, size: int, run: int = RUN) -> None:
        self._size = size
        self._run = run
        self._held: list[bytes] = []
        self._files: list[IO[bytes]] = []
        self.count = 0

    def add(self, record: bytes) -> None:
        """Take a record."""
        self._held.append(record)
        self.count += 1
        if len(self._held) >= self._run:
            self._held.sort()
            file = scratch("an index was sorted")
            self._files.append(file)
            file.write(b"".join(self._held))
            file.seek(0)
            self._held.clear()

    def pieces(self) -> Iterator[bytes]:
        """All records in order, some of them joined at a time. Nothing can be added afterwards."""
        self._held.sort()
        held: list[bytes] = []
        for record in heapq.merge(self._held, *map(self._read, self._files)):
            held.append(record)
            if len(held) >= _CHUNK:
                yield b"".join(held)
                held.clear()
        yield b"".join(held)

    def _read(self, file: IO[bytes]) -> Iterator[bytes]:
        size = self._size
        while data := file.read(size * _CHUNK):
            yield from (data[at : at + size] for at in range(0, len(data), size))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
