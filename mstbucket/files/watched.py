"""Reading a file as it was at one moment: one that changes while it is read is noticed, and nothing of it is used."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO, Final

from mstbucket.errors import Conflict

READ: Final = 1 << 20  # bytes of one read of a large file
# Two changes within one tick of the kernel's clock (at most 10 ms) give a file the same time. One that was changed that
# recently is left alone until the next change would show.
_TICK: Final = 0.02  # seconds
_WAITS: Final = 10  # for a file to come to rest; one that never rests cannot be read as it was at one moment


class Watched:
    """A file that is read once from its start, and must not change until its end ([PUT-14]).

    What is no regular file (a pipe, a device) has no state to compare, and is read as it comes.

    Attributes:
        size: bytes at the opening; None where only the end can tell.
    """

    def __init__(self, file: BinaryIO, path: str | bytes) -> None:
        """Note the state of *file*, which is open for reading; *path* is for messages, and for `check_by_name`.

        Raises:
            Conflict: it changes all the time.
        """
        self._file = file
        self._path = path
        found = os.fstat(file.fileno())
        self._regular = stat.S_ISREG(found.st_mode)
        if self._regular:
            found = self._at_rest(found)
        self._state = _state(found)
        self.size = found.st_size if self._regular else None

    def _at_rest(self, found: os.stat_result) -> os.stat_result:
        """The state of the file once a tick has passed since its last change."""
        for _ in range(_WAITS):
            age = time.time() - found.st_ctime
            if not 0 <= age < _TICK:
                return found
            time.sleep(_TICK - age)
            found = os.fstat(self._file.fileno())
        raise self._changed()

    def read(self, size: int) -> bytes:
        """Up to that many bytes; b"" at the end, if the file is still what it was.

        Raises:
            Conflict: the file has changed. Use nothing that was read.
        """
        data = self._file.read(size)
        if not data:
            self.check()
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(READ):
            yield data

    def rewind(self) -> None:
        """Back to the start, for another pass over the same bytes."""
        self._file.seek(0)

    def check(self) -> None:
        """Raise `Conflict` if the file has changed since it was opened."""
        if self._regular:
            self._compare(os.fstat(self._file.fileno()))

    def check_by_name(self) -> None:
        """As `check`, also for a file that is closed; and raise where another file has taken the name.

        Raises:
            FileNotFoundError: there is none any more.
        """
        self._compare(os.stat(self._path))

    def _compare(self, state: os.stat_result) -> None:
        if _state(state) != self._state:
            raise self._changed()

    def _changed(self) -> Conflict:
        return Conflict(f"{os.fsdecode(self._path)!r} changed while it was read: repeat the call once it is at rest")


def _state(state: os.stat_result) -> tuple[int, ...]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev
