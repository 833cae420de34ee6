"""Sorting byte strings of any length, more than memory should hold: sorted runs in temporary files, merged."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from struct import Struct
from typing import IO, Final, Self

from mstbucket.limits import KIB, MIB
from mstbucket.spill.scratch import scratch

RUN: Final = 16 * MIB  # bytes of records in memory at a time
_OVERHEAD: Final = 64  # bytes that each takes beside its own
_BUFFER: Final = 64 * KIB  # read at once, of each run that is merged
_LENGTH: Final = Struct("<I")


class SortedBytes:
    """Takes byte strings, and gives them back in order. A context manager.

    Every method raises `StorageError` where the temporary directory is full or fails.
    """

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._held: list[bytes] = []
        self._size = 0
        self._files: list[IO[bytes]] = []

    def add(self, record: bytes) -> None:
        """Take a record."""
        self._held.append(record)
        self._size += len(record) + _OVERHEAD
        if self._size >= self._run:
            self._held.sort()
            file = scratch("names were sorted", buffer=_BUFFER)
            self._files.append(file)
            for one in self._held:
                file.write(_LENGTH.pack(len(one)))
                file.write(one)
            file.seek(0)
            self._held.clear()
            self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        """All records in order. Nothing can be added afterwards."""
        self._held.sort()
        return heapq.merge(self._held, *map(_read, self._files)) if self._files else iter(self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while head := file.read(_LENGTH.size):
        yield file.read(_LENGTH.unpack(head)[0])
