"""What lies below a local directory, one file at a time, in memory that does not grow with the tree."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, Final

from mstbucket.errors import InvalidKey
from mstbucket.files.paths import is_temporary, unescape

_SORTED: Final = 10_000  # names of one directory that are held and sorted at a time
_READ: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Found:
    """A file to copy: where it is, and its components below the directory that is walked, as bytes."""

    path: bytes
    names: tuple[bytes, ...]

    @property
    def key(self) -> str:
        """The key it stands for; what a copy out escaped is restored.

        Raises:
            InvalidKey: its name is not UTF-8, which keys are.
        """
        try:
            return unescape([name.decode() for name in self.names])
        except UnicodeDecodeError:
            # [CLI-17] refused, not guessed at: nobody could copy it out again under the same name
            raise InvalidKey(f"{os.fsdecode(self.path)!r}: the file's name is not UTF-8; rename it") from None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not copied, and why; `failed` if it should have been."""

    path: bytes
    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory on the way down: what is left of it, and its identity, by which a loop is noticed."""

    entries: Iterator[os.DirEntry[bytes]]
    names: tuple[bytes, ...]
    identity: tuple[int, int]


def walk(root: str, *, follow: bool, leave_out: frozenset[bytes] = frozenset()) -> Iterator[Found | Skipped]:
    """Yield every file below *root*, and what was skipped, directory by directory in byte order of the names.

    Directories as such have no objects, so empty ones leave nothing. The order is by runs of 10,000 names.

    Args:
        root: a directory.
        follow: copy what a symbolic link points at; otherwise links are skipped.
        leave_out: names of files and directories that are passed over in silence, anywhere.

    Raises:
        OSError: *root* itself cannot be read.
    """
    start = os.fsencode(root)
    state = os.stat(start)
    levels = [_Level(_entries(start), (), (state.st_dev, state.st_ino))]
    while levels:
        level = levels[-1]
        try:
            entry = next(level.entries, None)
        except OSError as error:
            if len(levels) == 1:
                raise
            yield Skipped(os.path.join(start, *level.names), _why(error), True)
            entry = None
        if entry is None:
            levels.pop()
            continue
        if entry.name in leave_out:
            continue
        if is_temporary(entry.name):
            yield Skipped(entry.path, "half a file that a copy is writing, or left behind when it was killed", False)
            continue
        found = _look(entry, level.names, follow, [above.identity for above in levels])
        if isinstance(found, _Level):
            levels.append(found)
        else:
            yield found


def open_file(path: bytes) -> BinaryIO:
    """Open a regular file for reading; a pipe that has just taken its place is refused, not waited for.

    Raises:
        OSError: it cannot be opened, or is not a regular file any more.
    """
    number = os.open(path, _READ)
    file = os.fdopen(number, "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def _look(
    entry: os.DirEntry[bytes], names: tuple[bytes, ...], follow: bool, above: list[tuple[int, int]]
) -> Found | Skipped | _Level:
    names = (*names, entry.name)
    try:
        if entry.is_symlink() and not follow:
            return Skipped(entry.path, "a symbolic link, not followed", False)
        if entry.is_file():
            return Found(entry.path, names)
        state = entry.stat()
    except OSError as error:
        reason = "a symbolic link to nothing" if error.errno == errno.ENOENT and entry.is_symlink() else _why(error)
        return Skipped(entry.path, reason, True)
    if not stat.S_ISDIR(state.st_mode):
        return Skipped(entry.path, "neither a file nor a directory", False)
    identity = (state.st_dev, state.st_ino)
    if identity in above:  # [CLI-18] it would be walked for ever
        return Skipped(entry.path, "a link to a directory above it", False)
    return _Level(_entries(entry.path), names, identity)


def _entries(path: bytes) -> Iterator[os.DirEntry[bytes]]:
    with os.scandir(path) as entries:
        while run := sorted(islice(entries, _SORTED), key=lambda entry: entry.name):
            yield from run


def _why(error: OSError) -> str:
    return error.strerror or str(error)
