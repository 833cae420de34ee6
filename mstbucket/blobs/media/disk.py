"""Files and folders of one directory tree: entered without following links, made durable, kept open for a while."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mstbucket.errors import StorageError, Unsupported

if sys.platform == "darwin":
    from fcntl import F_FULLFSYNC, fcntl

OPEN_FILES: Final = 64  # kept open for reading; far below the usual limit of 1,024 a process
FOLDERS: Final = 4096  # remembered as durable; the packs have 256, every bucket one for its refs

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: a pipe planted under a blob's name must not hang the reader. Regular files do not know the difference.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

_ADVICE: Final = {
    errno.ENOSPC: "the disk is full: free some space and repeat the call",
    errno.EDQUOT: "the quota is used up: free some space or raise it, and repeat the call",
    errno.EFBIG: "the file is larger than the file system or the process's limit (ulimit -f) allows: raise it",
    errno.EROFS: "the file system is read-only: mount it for writing",
    errno.EACCES: "permission denied: check who owns the directory",
    errno.EPERM: "not permitted: check the attributes and the owner of the directory",
    errno.EMFILE: "too many open files: raise the limit of the process (ulimit -n)",
    errno.ENFILE: "too many open files on this machine: raise its limit",
    errno.ENOENT: "the directory is gone: mount or restore it, and open the store again",
    errno.ENOTDIR: "a file stands where a directory should be: move it away",
    errno.ELOOP: "a symbolic link, which is not followed: put the file itself there",
    errno.EISDIR: "a directory stands where a blob should be: move it away",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ENOLCK: "the file system has no locks: use a local one",
    errno.EIO: "the disk reports a failure: check it before anything else",
}


class Handle:
    """A file descriptor that is closed when nobody refers to it any more, so that a reader never loses it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)  # bound early: the last handles go when the interpreter has taken its modules apart


def failed(what: str, path: Path, error: OSError) -> StorageError | Unsupported:
    """The declared error for one of the operating system: what failed, where, why, and what to do ([BLOB-13])."""
    if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
        return Unsupported(f"{what} at {path}: the file system has no hard links or no locks: use a local one")
    return StorageError(f"{what} at {path}: {_ADVICE.get(error.errno or 0, error.strerror or str(error))}")


@contextmanager
def declared(what: str, path: Path) -> Iterator[None]:
    """Turn the operating system's errors inside the block into the declared ones."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise failed(what, path, error) from error


def sync(handle: Handle) -> None:
    """Return when what was written to the file, or the names of the folder, survive the loss of power."""
    if sys.platform == "darwin":
        fcntl(handle.fd, F_FULLFSYNC)  # there, fsync leaves the data in the drive's cache
    else:
        os.fsync(handle.fd)


class Folders:
    """The folders below `path`, which is made if it is not there. No link inside is ever followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._durable: set[tuple[str, ...]] = set()
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir(0o700)
            sync(Handle(os.open(folder.parent, os.O_RDONLY | os.O_CLOEXEC)))
        # The top may be a link: it is the caller's own choice.
        self._top = Handle(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def find(self, parts: tuple[str, ...]) -> Handle:
        """Open a folder, or raise `FileNotFoundError` or `NotADirectoryError`; `StorageError` for a link."""
        handle = self._top
        for part in parts:
            handle = self._enter(handle, part)
        return handle

    def make(self, parts: tuple[str, ...]) -> Handle:
        """Open a folder, which is made if it is not there; its name is durable when this returns."""
        handle = self._top
        for depth, part in enumerate(parts, 1):
            here = parts[:depth]
            try:
                child = self._enter(handle, part)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=handle.fd)
                child = self._enter(handle, part)
                self._durable.discard(here)
            # [BLOB-6] somebody else may have made it an instant ago, and not got to flushing its name
            if here not in self._durable:
                sync(handle)
                if len(self._durable) >= FOLDERS:
                    self._durable.clear()
                self._durable.add(here)
            handle = child
        return handle

    def check_there(self) -> None:
        """Raise `FileNotFoundError` if the directory itself was removed: then nothing can be said of any blob."""
        if os.fstat(self._top.fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "the directory was removed")

    def _enter(self, handle: Handle, part: str) -> Handle:
        try:
            return Handle(os.open(part, _FOLDER, dir_fd=handle.fd))
        except NotADirectoryError:
            # [BLOB-12] a link is told apart from a file, for it may be somebody's attempt to move a part away
            if stat.S_ISLNK(os.stat(part, dir_fd=handle.fd, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, f"{part} is a symbolic link") from None
            raise


def open_file(folder: Handle, name: str) -> Handle:
    """Open a regular file for reading; `FileNotFoundError` if there is none or a folder, `OSError` for all else."""
    handle = Handle(os.open(name, _FILE, dir_fd=folder.fd))
    mode = os.fstat(handle.fd).st_mode
    if stat.S_ISDIR(mode):
        raise FileNotFoundError(errno.ENOENT, "a folder is no file")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe, device or socket, where only files can be blobs: remove it")
    return handle


class OpenFiles:
    """The files read last, kept open by name. One in use stays open though it is put out of here. Thread-safe."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Handle] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> tuple[Handle, int] | None:
        """The file and its size in bytes, unless it is not open or was deleted, by whomever, since it was opened."""
        with self._lock:
            handle = self._files.get(name)
            if handle is None:
                return None
            self._files.move_to_end(name)
        state = os.fstat(handle.fd)
        # [BLOB-5] a deleted file has no name left: one system call says so, and the space is given back
        if state.st_nlink == 0:
            self.drop(name)
            return None
        return handle, state.st_size

    def keep(self, name: str, handle: Handle) -> None:
        """Keep `handle` for the next reader, and close what was not read for longest."""
        with self._lock:
            self._files[name] = handle
            while len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)

    def clear(self) -> None:
        """Close all that nobody reads from."""
        with self._lock:
            self._files.clear()

    def drop(self, name: str) -> None:
        """Forget a file."""
        with self._lock:
            self._files.pop(name, None)
