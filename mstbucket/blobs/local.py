"""A blob store in a directory of a local disk: the embedded default.

A blob is written under a hidden name beside its own, flushed to disk, linked to its name (which never replaces what is
there), and the folder is flushed. So under its own name a blob is always whole, whatever happened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.blobs.names import check_name, is_name
from mstbucket.errors import BlobExists, InvalidInput, NoSuchBlob, StorageError

OPEN_FILES: Final = 64  # kept open for reading; far below the usual limit of 1,024 a process
_HIDDEN: Final = ".writing-"
_NO_FOLLOW: Final = os.O_NOFOLLOW | os.O_CLOEXEC  # a link planted in the directory must not lead out of it


class LocalBlobs(BlobStore):
    """Blobs as files below `path`, which is made if it is not there. See `BlobStore` for the contract.

    Files that have no blob's name, and symbolic links, are ignored. What a killed writer left is removed when the
    directory is opened the next time: its lock, which went with the process, tells it from a writer at work.

    Raises:
        StorageError: the directory cannot be made or used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._open: OrderedDict[str, _Handle] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise _failed("the directory of the blobs cannot be used", self._path, error) from error

    def open_write(self, name: str) -> BlobWriter:
        path = self._path / check_name(name)
        try:
            self._make_folder(path.parent)
            return _Writer(name, path)
        except OSError as error:
            raise _failed("a blob cannot be started", path, error) from error

    def get_range(self, name: str, start: int, length: int) -> bytes:
        if start < 0 or length < 0:
            raise InvalidInput(f"bytes {start} to {start + length} are no range of a blob")
        handle = self._handle(name)
        parts = []
        try:
            while length > 0:
                part = os.pread(handle.fd, length, start)
                if not part:
                    raise StorageError(f"blob {self._path / name} ends at byte {start}, {length} bytes too early")
                parts.append(part)
                start += len(part)
                length -= len(part)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise _failed("a blob cannot be read", self._path / name, error) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self, name: str) -> BlobInfo:
        return BlobInfo(name, os.fstat(self._handle(name).fd).st_size)

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        return self._list(self._path, "", prefix, after)

    def delete(self, name: str) -> None:
        path = self._path / check_name(name)
        with self._lock:
            self._open.pop(name, None)
        try:
            # Not flushed to disk: a delete that a crash undoes is found and repeated by whoever asked for it.
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _failed("a blob cannot be deleted", path, error) from error

    def _list(self, folder: Path, base: str, prefix: str, after: str) -> Iterator[BlobInfo]:
        """Depth first in the order of whole names: a folder sorts as its name with the '/' behind it."""
        try:
            with os.scandir(folder) as entries:
                found = sorted(
                    base + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
                    for entry in entries
                    if not entry.is_symlink() and is_name(base + entry.name)
                )
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failed("the blobs cannot be listed", folder, error) from error
        for name in found:
            if name.endswith("/"):
                top = name[:-1] + "0"  # '0' follows '/': above every name in the folder
                if (name.startswith(prefix) or prefix.startswith(name)) and top > after:
                    yield from self._list(self._path / name, name, prefix, after)
            elif name.startswith(prefix) and name > after:
                with suppress(FileNotFoundError, NoSuchBlob):  # deleted since it was listed
                    yield BlobInfo(name, os.stat(self._path / name, follow_symlinks=False).st_size)

    def _handle(self, name: str) -> _Handle:
        """An open file for reading, kept for the next time. One in use stays open though it is put out of the cache."""
        with self._lock:
            handle = self._open.get(name)
            if handle is not None:
                self._open.move_to_end(name)
                return handle
        path = self._path / check_name(name)
        try:
            handle = _Handle(os.open(path, os.O_RDONLY | _NO_FOLLOW))
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchBlob(f"there is no blob {path}") from None
        except OSError as error:
            raise _failed("a blob cannot be opened", path, error) from error
        with self._lock:
            self._open[name] = handle
            while len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        return handle

    def _make_folder(self, folder: Path) -> None:
        """Make a folder durably, and what leads to it."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)

    def _sweep(self) -> None:
        for folder, _, files in os.walk(self._path):
            for file in files:
                if not file.startswith(_HIDDEN):
                    continue
                with suppress(FileNotFoundError, BlockingIOError):
                    handle = _Handle(os.open(os.path.join(folder, file), os.O_RDONLY | _NO_FOLLOW))
                    fcntl.flock(handle.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(os.path.join(folder, file))


class _Writer(BlobWriter):
    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        self._hidden = path.with_name(_HIDDEN + secrets.token_hex(8))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
        self._handle: _Handle | None = _Handle(os.open(self._hidden, flags, 0o644))
        self._size = 0
        fcntl.flock(self._handle.fd, fcntl.LOCK_SH)  # says to `_sweep` that somebody is at work here

    def write(self, data: bytes | bytearray | memoryview) -> None:
        handle = self._alive()
        view = memoryview(data).cast("B")
        try:
            while view:
                done = os.write(handle.fd, view)
                self._size += done
                view = view[done:]
        except OSError as error:
            raise _failed("a blob cannot be written", self._path, error) from error

    def commit(self) -> int:
        handle = self._alive()
        try:
            os.fsync(handle.fd)
            os.link(self._hidden, self._path)
            os.unlink(self._hidden)
            _flush_folder(self._path.parent)
        except FileExistsError:
            raise BlobExists(f"blob {self._path} exists already; names are never reused") from None
        except OSError as error:
            raise _failed("a blob cannot be made durable", self._path, error) from error
        finally:
            self.abort()
        return self._size

    def abort(self) -> None:
        if self._handle is None:
            return
        with suppress(FileNotFoundError):
            os.unlink(self._hidden)
        self._handle = None

    def _alive(self) -> _Handle:
        if self._handle is None:
            raise InvalidInput(f"blob {self._name} was committed or aborted: nothing can be done with it any more")
        return self._handle


class _Handle:
    """A file descriptor that is closed when nobody refers to it any more."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def _flush_folder(folder: Path) -> None:
    handle = _Handle(os.open(folder, os.O_RDONLY | os.O_CLOEXEC))
    os.fsync(handle.fd)


def _failed(what: str, path: Path, error: OSError) -> StorageError:
    advice = {
        errno.ENOSPC: "the disk is full: free some space and repeat the call",
        errno.EDQUOT: "the quota is used up: free some space and repeat the call",
        errno.EROFS: "the file system is read-only: mount it for writing",
        errno.EACCES: "permission denied: check who owns the directory",
        errno.EMFILE: "too many open files: raise the limit of the process",
    }.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"{what} at {path}: {advice}")
