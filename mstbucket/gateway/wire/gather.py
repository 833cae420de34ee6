"""Gathers bytes into whole chunks before the library sees them: no buffer of the library waits for a slow client.

All requests of a process share one room in memory. A request that finds it full gathers in a file without a name ([GW-6]).
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final

from mstbucket.errors import StorageError
from mstbucket.limits import KIB, MIB
from mstbucket.model.streams import Readable

ROOM: Final = 16 * MIB  # for the unfinished chunks of all requests together; those of 16 fast ones find place
_PIECE: Final = 256 * KIB  # asked for at a time


class Room:
    """A number of bytes to be shared; thread-safe."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self.left = size

    def take(self, size: int) -> bool:
        """Take `size` bytes, if so many are left."""
        with self._lock:
            if size > self.left:
                return False
            self.left -= size
            return True

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self.left += size


SHARED: Final = Room(ROOM)


class Gathered:
    """A reader that returns as many bytes as are asked for, and fewer only at the end. One thread reads."""

    def __init__(self, source: Readable, room: Room = SHARED) -> None:
        self._source = source
        self._room = room

    def read(self, size: int) -> bytes:
        """`size` bytes; fewer only at the end of the source. Errors of the source go through."""
        with _gathering(self._room) as gathering:
            while (left := size - gathering.size) > 0 and (piece := self._source.read(min(left, _PIECE))):
                gathering.add(piece)
                del piece
            return gathering.whole()


class _Gathering:
    """The bytes so far: pieces, or a file that has all of them."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, piece: bytes) -> None:
        if self._file is None and self._room.take(len(piece)):
            self._pieces.append(piece)
        else:
            self._spill().write(piece)
        self.size += len(piece)

    def _spill(self) -> IO[bytes]:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` ends it
            for piece in self._pieces:
                self._file.write(piece)
            self._drop()
        return self._file

    def whole(self) -> bytes:
        if self._file is None:
            return b"".join(self._pieces)
        self._file.seek(0)
        return self._file.read()

    def _drop(self) -> None:
        self._room.give(sum(map(len, self._pieces)))
        self._pieces.clear()

    def close(self) -> None:
        self._drop()
        if self._file is not None:
            with suppress(OSError):  # on a full disk it fails once more, and nobody needs the bytes now
                self._file.close()


@contextmanager
def _gathering(room: Room) -> Iterator[_Gathering]:
    gathering = _Gathering(room)
    try:
        yield gathering
    except OSError as error:
        raise StorageError(f"a body that waits for its client finds no place in {tempfile.gettempdir()}: {error}") from error
    finally:
        gathering.close()
