"""What the contract of blob stores works with: a medium with raw access, and threads that may fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from mstbucket.blobs.base import BlobStore


class BlobMedium(Protocol):
    """What is under a blob store: the way to open it, and raw access that bypasses it."""

    def open(self) -> BlobStore:
        """Open a store on this medium; every call gives another one that shows the same blobs."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes of a file on the medium; `KeyError` or `FileNotFoundError` if there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put a file on the medium; its name may be one that no blob can have."""
        ...

    def remove(self, name: str) -> None:
        """Take a file off the medium."""
        ...


def streaming(blobs: BlobStore) -> Callable[[str, bytes], object]:
    """A put by way of a stream."""

    def write(name: str, data: bytes) -> None:
        with blobs.open_write(name) as writer:
            writer.write(data)
            writer.commit()

    return write


def in_threads(work: Callable[[int], object], numbers: Iterable[int]) -> None:
    """Run `work` for every number at once; what one of them raises is raised here."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
