"""The bytes of one object, as a file to read."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from mstbucket.errors import InvalidInput, StorageError
from mstbucket.model.objects import ObjectInfo


class ObjectReader(io.RawIOBase):
    """The bytes of one object, as a file to read. Every chunk is checked against its CID before any of it is handed out.

    It can be sought in, so `zipfile`, `io.TextIOWrapper` and others that take a file open for reading take it; what is
    passed over is not fetched. Reading past damage raises `CorruptionError` (`HashMismatch`, `MissingBlock`) and never
    yields a wrong or shortened body. After an error every further read raises the same error: open the object anew to
    read on. The reader holds at most 2 MiB ahead. It gives the object that it was opened for, also when the key is
    overwritten meanwhile. Not thread-safe: give each thread its own.

    Attributes:
        start, stop: the half-open range of the object's bytes that this reader gives. Positions count from `start`.
    """

    def __init__(
        self, describe: Callable[[], ObjectInfo], start: int, stop: int, chunks: Callable[[int], Iterator[bytes]]
    ) -> None:
        """*chunks* gives the bytes from a place in the object, up to `stop`."""
        self._describe = describe
        self.start = start
        self.stop = stop
        self._from = chunks
        self._chunks = chunks(start)
        self._rest = memoryview(b"")
        self._at = start  # in the object, of the next byte
        self._failed: Exception | None = None

    @cached_property
    def info(self) -> ObjectInfo:
        """What `head_object` would have said. It is made when it is first asked for: that takes a fifth of a small read."""
        return self._describe()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes, or all that are left; fewer only at the end, b"" when there are none left."""
        wanted = self.stop - self.start if size is None or size < 0 else size
        if self._failed is not None:
            raise self._failed
        parts: list[bytes | memoryview] = []
        while wanted > 0:
            if not self._rest:
                chunk = self._next()
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            part = self._rest[:wanted]
            self._rest = self._rest[len(part) :]
            wanted -= len(part)
            self._at += len(part)
            parts.append(part)
        return b"".join(parts)

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        """Fill *buffer*, a writable one of bytes, and return how many there were; fewer than it takes only at the end."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        """Return the position of the next byte, from `start`."""
        self._check_open()
        return self._at - self.start

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position, and return it. Nothing is fetched until the next read; behind the end that gives b"".

        Raises:
            InvalidInput: the position is negative, or *whence* is none of 0, 1 and 2.
        """
        self._check_open()
        bases = {os.SEEK_SET: self.start, os.SEEK_CUR: self._at, os.SEEK_END: self.stop}
        if whence not in bases:
            raise InvalidInput("whence is another number: it has to be 0 (start), 1 (here) or 2 (end)")
        at = bases[whence] + offset
        if at < self.start:
            raise InvalidInput("the position lies before the start of what is read")
        ahead = at - self._at
        if 0 <= ahead <= len(self._rest):
            self._rest = self._rest[ahead:]
        else:
            self._rest = memoryview(b"")
            self._chunks = self._from(at) if at < self.stop else iter(())
        self._at = at
        return at - self.start

    def __iter__(self) -> Iterator[bytes]:
        """The bytes not read yet, in chunks of at most 1 MiB; for lines, put an `io.TextIOWrapper` around the reader."""
        if self._rest:
            rest, self._rest = bytes(self._rest), memoryview(b"")
            self._at += len(rest)
            yield rest
        while (chunk := self._next()) is not None:
            self._at += len(chunk)
            yield chunk

    def _next(self) -> bytes | None:
        if self._failed is not None:
            raise self._failed  # [GET-1] the generator has ended, which would look like the end of the bytes
        try:
            return next(self._chunks, None)
        except BaseException as error:
            interrupted = StorageError("the reading was interrupted: open the object again")
            self._failed = error if isinstance(error, Exception) else interrupted
            raise

    def _check_open(self) -> None:
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Let go of what is held. Reading afterwards raises `InvalidInput`, a `ValueError` as with files. Repeatable."""
        self._rest = memoryview(b"")
        self._chunks = iter(())
        self._failed = InvalidInput("the body was closed: open the object again")  # [GET-1]
        super().close()
