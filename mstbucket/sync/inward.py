"""From a directory into a bucket."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final

from mstbucket.core.cid import raw_cid
from mstbucket.core.keys import encode_key
from mstbucket.files.types import guess_type
from mstbucket.files.walk import open_file
from mstbucket.model import PutRequest
from mstbucket.sync.entry import Compare, Copy, Entry, Same
from mstbucket.sync.mover import WHOLE, Meter, Moved, Mover, Outcome, Ready, always, as_copy, content_of
from mstbucket.sync.objects import Objects

_READ: Final = 1 << 20  # bytes of one read of a large file


class Inward(Mover):
    """Files become objects: small ones by the batch, large ones streamed. One that changes meanwhile is not stored."""

    together = 64

    def __init__(self, target: Objects, meter: Meter, trusted: Callable[[Entry], bool] = always) -> None:
        """*trusted* says of an object whose CID is that of the file whether nothing has to be sent."""
        self._target = target
        self.meter = meter
        self._trusted = trusted

    def move(self, step: Copy | Compare) -> Outcome:
        """Read the file; a small one is returned to be put, a large one is put."""
        return self._do(step, write=True)

    def probe(self, step: Copy | Compare) -> Outcome:
        """Open the file, and read it where it has to be compared."""
        return self._do(step, write=False)

    def _do(self, step: Copy | Compare, *, write: bool) -> Outcome:
        entry, key = step.source, self._target.key(step.source)
        assert entry.path is not None
        encode_key(key)
        with open_file(entry.path) as opened:
            file = _Watched(opened, entry.path, self.meter)
            if file.size > WHOLE:
                return self._large(step, key, file, write=write)
            if not write and isinstance(step, Copy):
                return Moved(step)
            data = b"".join(file)
        if isinstance(step, Compare) and raw_cid(data) == step.target.content and self._trusted(step.target):
            return Same(step.target)
        if not write:
            return Moved(as_copy(step))
        return Ready(as_copy(step), PutRequest(key, data, guess_type(key)), file.check_by_name)

    def _large(self, step: Copy | Compare, key: str, file: _Watched, *, write: bool) -> Outcome:
        if isinstance(step, Compare):
            if content_of(file) == step.target.content and self._trusted(step.target):
                return Same(step.target)
            file.rewind()
        if write:
            self._target.bucket.put_object(key, file, content_type=guess_type(key))  # type: ignore[arg-type]
        return Moved(as_copy(step))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects."""
        return self._target.delete(targets)


class _Watched:
    """A file that is read once, and must not change from its opening to its end.

    [SYNC-12] What was read then is what the file was at one moment, and a change after that moment gives it times at
    which the next sync sees it.
    """

    def __init__(self, file: BinaryIO, path: bytes, meter: Meter) -> None:
        self._file = file
        self._path = path
        self._meter = meter
        self._state = _state(os.fstat(file.fileno()))
        self.size = self._state[0]

    def read(self, size: int) -> bytes:
        """Up to that many bytes.

        Raises:
            OSError: the file has changed since it was opened.
        """
        data = self._file.read(size)
        self._meter.add(len(data))
        if not data:
            self._check(os.fstat(self._file.fileno()))
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_READ):
            yield data

    def rewind(self) -> None:
        """Back to the start, for another pass over the same bytes."""
        self._file.seek(0)

    def check_by_name(self) -> None:
        """Raise as `read` does; also where another file has taken the name."""
        self._check(os.stat(self._path))

    def _check(self, state: os.stat_result) -> None:
        if _state(state) != self._state:
            raise OSError(errno.EBUSY, "it changed while it was read: run the command again", self._path)


def _state(state: os.stat_result) -> tuple[int, int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
