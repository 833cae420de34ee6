"""Writing below one directory and nowhere else, whatever the names are and whoever changes the directory meanwhile.

Every component is opened relative to the directory above it, and never through a symbolic link, so there is no moment
between a check and a use ([CLI-15]). A file is written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO, Final, Self

from mstbucket.errors import StorageError, Unsupported
from mstbucket.files.paths import escape_segment, other_segment, temporary_name

_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
# The name cannot be had here: something of another kind has it, or the system refuses it. Its other form can.
_TAKEN: Final = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.EILSEQ)
# The disk is the trouble, and not this file: going on with the next one cannot help.
_FATAL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Tree:
    """A directory to copy objects into, made if it is not there. Not thread-safe. Close it, or use it with `with`.

    The directory itself may be reached through symbolic links: it is the user who named it. Below it none is followed.

    Attributes:
        root: as given.
        folds: the file system takes names that differ in case for one.

    Raises:
        Unsupported: this system cannot open files relative to a directory (Windows).
        OSError: the directory cannot be made or opened.
    """

    def __init__(self, root: str) -> None:
        if os.open not in os.supports_dir_fd or not _NOFOLLOW:
            raise Unsupported("this system cannot write below a directory safely: use cat, or export the bucket")
        os.makedirs(root, exist_ok=True)
        self.root = root
        self._root = os.open(root, _DIRECTORY)
        self._at: tuple[tuple[str, ...], int, tuple[str, ...]] | None = None
        try:
            self.folds = _folds_case(self._root)
        except BaseException:
            os.close(self._root)
            raise

    def write(self, key: str, chunks: Iterable[bytes], modified: int | None = None) -> str:
        """Write the file of the object *key*, complete or not at all; return its path.

        A file that is there already is replaced, as is a symbolic link (not what it points at).

        Args:
            key: the object's.
            chunks: the bytes.
            modified: the file's time of modification in milliseconds since 1970; by default the present.

        Raises:
            StorageError: the disk failed or is full; the next file would fare no better.
            OSError: this file cannot be written, and the message says why. Others may.
        """
        *folders, name = key.split("/")
        try:
            directory, path = self._enter(tuple(folders))
            with _temporary(directory) as (file, temporary):
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                if modified is not None:
                    os.utime(file.fileno(), ns=(modified * 1_000_000,) * 2)
                return os.path.join(self.root, *path, *self._place(directory, name, temporary))
        except OSError as error:
            if error.errno in _FATAL and not isinstance(error, StorageError):
                raise StorageError(f"{self.root!r} cannot be written: {error.strerror}; repair it first") from error
            raise

    def remove(self, names: Sequence[bytes]) -> None:
        """Remove the file at that relative path, and the directories above it that are empty then.

        Raises:
            OSError: it cannot be removed, or a symbolic link is on the way to it: that leads elsewhere.
        """
        self._leave()  # the directory that is kept open may be one of those
        levels = [os.dup(self._root)]
        try:
            for name in names[:-1]:
                self._refuse_link(levels[-1], name)
                levels.append(os.open(name, _DIRECTORY | _NOFOLLOW, dir_fd=levels[-1]))
            os.unlink(names[-1], dir_fd=levels[-1])
            with suppress(OSError):  # of the first that is not empty, or is in use
                for at in range(len(levels) - 2, -1, -1):
                    os.rmdir(names[at], dir_fd=levels[at])
        finally:
            for directory in levels:
                os.close(directory)

    def _enter(self, folders: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        """The directory for *folders*, opened, and its path. The last one is kept: keys come in order."""
        if self._at is not None:
            if self._at[0] == folders:
                return self._at[1], self._at[2]
            self._leave()
        directory = os.dup(self._root)
        path: list[str] = []
        try:
            for segment in folders:
                below, names = self._descend(directory, segment)
                os.close(directory)
                directory = below
                path += names
        except BaseException:
            os.close(directory)
            raise
        self._at = (folders, directory, tuple(path))
        return directory, self._at[2]

    def _descend(self, directory: int, segment: str) -> tuple[int, tuple[str, ...]]:
        for names in (escape_segment(segment), other_segment(segment)):
            try:
                return self._descend_all(directory, names), names
            except OSError as error:
                # [CLI-13] a file has the name: the directory takes the other form
                if error.errno not in _TAKEN:
                    raise
                taken = error
        raise taken

    def _descend_all(self, directory: int, names: tuple[str, ...]) -> int:
        at = os.dup(directory)
        try:
            for name in names:
                encoded = name.encode()
                with suppress(FileExistsError):
                    os.mkdir(encoded, dir_fd=at)
                self._refuse_link(at, encoded)
                if self.folds and not _has_exactly(at, encoded):
                    raise FileExistsError(errno.EEXIST, "a name that differs only in case or form is there", name)
                # [CLI-15] never through a symbolic link, also if one has just taken the directory's place
                below = os.open(encoded, _DIRECTORY | _NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        return at

    def _place(self, directory: int, segment: str, temporary: bytes) -> tuple[str, ...]:
        """Give the finished file its name; returns the components of it."""
        for names in (escape_segment(segment), other_segment(segment)):
            *folders, name = names
            try:
                at = self._descend_all(directory, tuple(folders))
                try:
                    self._rename(directory, temporary, at, name.encode())
                finally:
                    os.close(at)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                taken = error
            else:
                return names
        raise taken

    def _rename(self, directory: int, temporary: bytes, at: int, name: bytes) -> None:
        if self.folds and _exists(at, name) and not _has_exactly(at, name):
            # [CLI-13] it would replace the file of another key
            raise FileExistsError(errno.EEXIST, "a name that differs only in case or form is there", name)
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=at)

    def _refuse_link(self, at: int, name: bytes) -> None:
        if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "a symbolic link is in the way, and is not followed; remove it", name)

    def _leave(self) -> None:
        if self._at is not None:
            os.close(self._at[1])
            self._at = None

    def close(self) -> None:
        """Let go of the directories."""
        self._leave()
        os.close(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def write_named(path: str, chunks: Iterable[bytes]) -> None:
    """Write the file that the user named, complete or not at all; directories on the way to it are made.

    Symbolic links on the way are followed: it is the user who named them. What is there and is no regular file (a
    device, a pipe) is written to as it is, never replaced.

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as special:
            for chunk in chunks:
                special.write(chunk)
        return
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    directory = os.open(parent, _DIRECTORY)
    try:
        with _temporary(directory) as (file, temporary):
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.replace(temporary, os.fsencode(name), src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        if not isinstance(error, StorageError):
            error.filename, error.filename2 = path, None  # the temporary name means nothing to anybody
        raise
    finally:
        os.close(directory)


@contextmanager
def _temporary(directory: int) -> Iterator[tuple[BinaryIO, bytes]]:
    """A new file in *directory*, and its name. The block gives it another name; if it fails, the file goes ([CLI-16])."""
    name = temporary_name()
    number = os.open(name, _NEW_FILE, 0o666, dir_fd=directory)
    try:
        with open(number, "wb") as file:
            yield file, name
    except BaseException:
        with suppress(OSError):  # what stays has a name that says what it is
            os.unlink(name, dir_fd=directory)
        raise


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _has_exactly(directory: int, name: bytes) -> bool:
    """The directory lists that very name. Asked only where names are folded, since it reads the whole directory."""
    with os.scandir(directory) as entries:
        return any(os.fsencode(entry.name) == name for entry in entries)


def _folds_case(directory: int) -> bool:
    """Whether the file system takes names that differ in case for one."""
    name = temporary_name()
    os.close(os.open(name, _NEW_FILE, 0o600, dir_fd=directory))
    try:
        return _exists(directory, name.upper())
    finally:
        os.unlink(name, dir_fd=directory)
