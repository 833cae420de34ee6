"""A directory of files that several processes write to, on one machine or on several that mount it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mstbucket.errors import NoSuchKey, StorageError
from mstbucket.files.paths import is_temporary
from mstbucket.files.whole import declared, failed, locked_directory, reading, replacing, sync
from mstbucket.model.shared_files import Seen


class SharedFolder:
    """`SharedFiles` in the directory *root*, which has to be there."""

    def __init__(self, root: str) -> None:
        self.where = root
        self._root = Path(root)

    def folders(self) -> Iterator[str]:
        self._require()
        with declared(f"{self._root} cannot be listed"):
            yield from sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir())

    def read(self, path: str, most: int) -> Seen | None:
        self._require()
        try:
            with reading(self._root / path) as file:
                data = file.read(most)
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return Seen(data, "")

    def swap(self, path: str, old: Seen | None, new: bytes) -> bool:
        self._make(path)
        parent = (self._root / path).parent
        with locked_directory(parent, f"{parent} cannot be locked", "two who push at once could both win"):
            # [FOLD-9] who holds the lock is alone; who died gave it back
            seen = self.read(path, len(b"" if old is None else old.data) + 1)
            if (None if seen is None else seen.data) != (None if old is None else old.data):
                return False
            with replacing(self._root / path) as file:
                file.write(new)
        return True

    def size(self, path: str) -> int | None:
        try:
            return os.stat(self._root / path).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failed(f"{self._root / path} cannot be read", error) from error

    @contextmanager
    def stream(self, path: str) -> Iterator[BinaryIO]:
        if self.size(path) is None:
            raise NoSuchKey(f"there is no file {self._root / path}")
        with reading(self._root / path) as file:
            yield file

    def local(self, path: str, alive: Callable[[], object]) -> AbstractContextManager[BinaryIO]:
        return self.stream(path)

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        self._make(path)
        with replacing(self._root / path) as file:
            yield file

    def clean(self, folder: str, seconds: int) -> None:
        with declared(f"{self._root / folder} cannot be listed"):
            for entry in os.scandir(self._root / folder):
                with suppress(FileNotFoundError):
                    if is_temporary(os.fsencode(entry.name)) and time.time() - entry.stat().st_mtime > seconds:
                        os.unlink(entry.path)

    def _require(self) -> None:
        if not self._root.is_dir():  # a disk that is not mounted, or a mistyped name
            raise StorageError(f"there is no directory {self._root}: make it, or mount the disk that it is on")

    def _make(self, path: str) -> None:
        self._require()
        parent = (self._root / path).parent
        with declared(f"{parent} cannot be made"):
            with suppress(FileExistsError):
                os.mkdir(parent)
            sync(self._root)  # who made it may have died before this
