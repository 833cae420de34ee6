"""A place of files that several programs write to: what it has to offer, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from mstbucket.model.streams import Readable


@dataclass(frozen=True, slots=True)
class Seen:
    """A small file as it was read; `tag` is what the place tells its states apart by."""

    data: bytes
    tag: str


class SharedFiles(Protocol):
    """Files in folders of one depth. A path is `FOLDER/NAME`; both are lower-case ASCII letters, digits, '-' and '.'.

    A file is written whole, or not at all. What fails is a `StorageError` that says what, where and what to do.

    Attributes:
        where: how messages call it.
    """

    where: str

    def folders(self) -> Iterator[str]:
        """The names of the folders."""
        ...

    def read(self, path: str, most: int) -> Seen | None:
        """Up to `most` bytes of a small file, and its state; None if it is not there."""
        ...

    def swap(self, path: str, old: Seen | None, new: bytes) -> bool:
        """Replace a small file, durably, if it is as it was read; where that was None, make it. Whether it was done.

        Raises:
            Unsupported: the place offers no such thing.
        """
        ...

    def size(self, path: str) -> int | None:
        """The bytes of a file; None if it is not there."""
        ...

    def stream(self, path: str) -> AbstractContextManager[Readable]:
        """A file, to be read from its beginning. Raises `NoSuchKey` if it is not there."""
        ...

    def local(self, path: str, alive: Callable[[], object]) -> AbstractContextManager[BinaryIO]:
        """A file of its bytes on this machine, to be read anywhere; while it comes, *alive* is called now and then.

        Raises `NoSuchKey` if it is not there.
        """
        ...

    def write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file to write, which appears, durably, when the block ends well, in place of one that was there."""
        ...

    def clean(self, folder: str, seconds: int) -> None:
        """Remove what writers who died that long ago left unfinished."""
        ...
