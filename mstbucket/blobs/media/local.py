"""A blob store in a directory of a local disk: the embedded default.

A blob is written under a hidden name, flushed to disk, linked to its own name (which never replaces what is there), and
the folder is flushed. So under its own name a blob is always whole, whatever happened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.blobs.media.disk import Folders, Handle, OpenFiles, declared, failed, open_file, sync
from mstbucket.blobs.names import check_name, is_name
from mstbucket.errors import BlobExists, InvalidInput, MstBucketError, NoSuchBlob, OutcomeUnknown, StorageError
from mstbucket.limits import MIB

#: Where blobs are written. One folder for all, so that looking for what dead writers left costs nothing ([BLOB-11]).
START_WRITING: Final = 8 * MIB  # written to a blob before the disk is set to work on it
WRITING: Final = ".writing"
#: What is the matter with one file, not with the directory or the process: its blocks have to come again.
OF_ONE_FILE: Final = frozenset({errno.ELOOP, errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.EINVAL, errno.ENXIO})

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalBlobs(BlobStore):
    """Blobs as files below `path`, which is made if it is not there. See `BlobStore` for the contract.

    Files that have no blob's name, and symbolic links below `path`, are no blobs and left alone. What a killed writer
    left is removed when the directory is opened the next time: its lock, which went with the process, tells it from a
    writer at work. The file system must be a local one with hard links and locks.

    Raises:
        StorageError: the directory cannot be made or used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._files = OpenFiles()
        with declared("the directory of the blobs cannot be used", self._path):
            self._folders = Folders(self._path)
            self._sweep()

    def __repr__(self) -> str:
        return f"LocalBlobs({str(self._path)!r})"

    def open_write(self, name: str) -> BlobWriter:
        *parts, last = check_name(name).split("/")
        with declared("a blob cannot be started", self._path / name):
            self._folders.check_there()
            folder = self._folders.make(tuple(parts))
            return _Writer(self._path / name, folder, last, self._folders.make((WRITING,)))

    def put_if_absent(self, name: str, data: bytes) -> None:
        with self.open_write(name) as writer:
            writer.write(data)
            writer.commit()

    def get_range(self, name: str, start: int, length: int) -> bytes:
        if start < 0 or length < 0:
            raise InvalidInput(f"{length} bytes from byte {start} are no range of a blob")
        handle, size = self._files.get(name) or self._open(name)
        # [BLOB-7] before anything is allocated for it
        if length and start + length > size:
            raise StorageError(f"blob {self._path / name} ends at byte {size}; {length} from {start} were asked for")
        parts = []
        while length > 0:
            try:
                part = os.pread(handle.fd, length, start)
            except OSError as error:
                raise _unreadable("a blob cannot be read", self._path / name, name, error) from error
            if not part:
                raise StorageError(f"blob {self._path / name} was cut to {start} bytes while it was read")
            parts.append(part)
            start += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self, name: str) -> BlobInfo:
        # By name, not from an open file: this is what a checker asks.
        return BlobInfo(name, self._open(name)[1])

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        return self._list((), prefix, after)

    def delete(self, name: str) -> None:
        self.delete_many((name,))

    def delete_many(self, names: Iterable[str]) -> None:
        folders: set[tuple[str, ...]] = set()
        for name in [check_name(name) for name in names]:
            *parts, last = name.split("/")
            self._files.drop(name)
            with declared("a blob cannot be deleted", self._path / name):
                # [BLOB-9] a folder is no blob either
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    folder = self._folders.find(tuple(parts))
                    folders.add(tuple(parts))  # flushed also if the file is gone: an earlier try may have died here
                    os.unlink(last, dir_fd=folder.fd)
                self._folders.check_there()
        for touched in folders:
            with declared("a deletion cannot be made durable", self._path.joinpath(*touched)):
                sync(self._folders.find(touched))  # [BLOB-6]

    def _open(self, name: str) -> tuple[Handle, int]:
        """Open a blob for reading and keep it open; also its size."""
        *parts, last = check_name(name).split("/")
        with declared("a blob cannot be opened", self._path / name):
            try:
                folder = self._folders.find(tuple(parts))
                try:
                    handle = open_file(folder, last)
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise _unreadable("a blob cannot be opened", self._path / name, name, error) from error
                size = os.fstat(handle.fd).st_size
            except (FileNotFoundError, NotADirectoryError):
                self._folders.check_there()
                raise NoSuchBlob(f"there is no blob {self._path / name}").about(pack=name) from None
        self._files.keep(name, handle)
        return handle, size

    def release(self) -> None:
        self._files.clear()

    def _list(self, parts: tuple[str, ...], prefix: str, after: str) -> Iterator[BlobInfo]:
        """Depth first in the order of whole names: a folder sorts as its name with the '/' behind it."""
        base = "".join(part + "/" for part in parts)
        with declared("the blobs cannot be listed", self._path / base):
            self._folders.check_there()
            try:
                folder = self._folders.find(parts)
            except (FileNotFoundError, NotADirectoryError):
                return  # removed since the folder above was listed
            with os.scandir(folder.fd) as entries:
                found = sorted(
                    base + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
                    for entry in entries
                    if is_name(base + entry.name)  # [BLOB-8] foreign files are passed over
                )
            for name in found:
                if name.endswith("/"):
                    above = name[:-1] + "0"  # '0' follows '/': above every name in the folder
                    if (name.startswith(prefix) or prefix.startswith(name)) and above > after:
                        yield from self._list((*parts, name[len(base) : -1]), prefix, after)
                elif name.startswith(prefix) and name > after:
                    with suppress(FileNotFoundError):  # deleted since
                        state = os.stat(name[len(base) :], dir_fd=folder.fd, follow_symlinks=False)
                        if stat.S_ISREG(state.st_mode):  # [BLOB-12] no link, pipe or device
                            yield BlobInfo(name, state.st_size)

    def _sweep(self) -> None:
        """Remove what dead writers left. Where that is not allowed it stays: it is invisible, and only takes room."""
        try:
            folder = self._folders.find((WRITING,))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return
        for file in os.listdir(folder.fd):
            with suppress(FileNotFoundError, BlockingIOError, PermissionError):
                handle = open_file(folder, file)
                fcntl.flock(handle.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    os.unlink(file, dir_fd=folder.fd)
                except OSError as error:
                    if error.errno != errno.EROFS:
                        raise


def _unreadable(what: str, path: Path, name: str, error: OSError) -> MstBucketError:
    """The declared error for a blob that the system does not give; it names the blob if that file alone is in the way."""
    told = failed(what, path, error)
    return told.about(pack=name) if error.errno in OF_ONE_FILE else told  # [PUT-13]


class _Writer(BlobWriter):
    def __init__(self, path: Path, folder: Handle, last: str, writing: Handle) -> None:
        self._path = path
        self._folder = folder
        self._last = last
        self._writing = writing
        self._size = self._started = 0
        self._handle: Handle | None = None
        while self._handle is None:
            self._hidden = secrets.token_hex(16)
            self._handle = Handle(os.open(self._hidden, _CREATE, 0o600, dir_fd=writing.fd))
            self._lock()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        handle = self._alive()
        view = memoryview(data).cast("B")
        try:
            while view:  # [BLOB-10] nothing is held here
                done = os.write(handle.fd, view)
                self._size += done
                view = view[done:]
            if self._size - self._started >= START_WRITING:
                self._start_writing(handle)
        except OSError as error:
            # [BLOB-4] with a hole in it, it must not be committed
            self.abort()
            raise failed("a blob cannot be written", self._path, error) from error

    def _start_writing(self, handle: Handle) -> None:
        """Have the kernel start on what was written since, so that the disk works while the caller hashes.

        Otherwise it would start at the sync. Advice about pages that are dirty makes Linux write them and keep them;
        elsewhere nothing happens, and the sync takes longer. What is durable is decided by the sync alone.
        """
        if sys.platform == "linux":
            os.posix_fadvise(handle.fd, self._started, self._size - self._started, os.POSIX_FADV_DONTNEED)
        self._started = self._size

    def commit(self) -> int:
        handle = self._alive()
        try:
            with declared("a blob cannot be made durable", self._path):
                # [BLOB-4] [BLOB-6] the bytes before the name, and the name before the caller goes on
                sync(handle)
                self._link()
        finally:
            self.abort()
        return self._size

    def abort(self) -> None:
        if self._handle is None:
            return
        with suppress(OSError):  # what stays is invisible, and swept
            os.unlink(self._hidden, dir_fd=self._writing.fd)
        self._handle = None
        del self._folder, self._writing  # who keeps the writer longer does not keep their descriptors

    def _link(self) -> None:
        taken = False
        try:
            os.link(self._hidden, self._last, src_dir_fd=self._writing.fd, dst_dir_fd=self._folder.fd)
        except FileExistsError:
            taken = True
            if stat.S_ISDIR(os.stat(self._last, dir_fd=self._folder.fd, follow_symlinks=False).st_mode):
                raise IsADirectoryError(errno.EISDIR, "a folder has the name") from None
        try:
            sync(self._folder)  # also the name that somebody else took: who hears of it relies on it
        except OSError as error:
            reason = failed("the name of a blob cannot be made durable", self._path, error)
            raise OutcomeUnknown(f"{reason}; read it before you write it again") from error
        if taken:
            # [BLOB-2]
            raise BlobExists(f"blob {self._path} exists already; names are never reused")

    def _lock(self) -> None:
        """Say to `_sweep` that somebody is at work here; give the file up if it was swept before it was locked."""
        assert self._handle is not None
        try:
            fcntl.flock(self._handle.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._handle = None
            return
        except OSError:
            self.abort()
            raise
        if os.fstat(self._handle.fd).st_nlink == 0:
            self._handle = None

    def _alive(self) -> Handle:
        if self._handle is None:
            raise InvalidInput(f"the writing of blob {self._path} has ended: begin it again with open_write")
        return self._handle
