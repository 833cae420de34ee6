"""Files of the user: they appear whole or not at all, and their errors say what to do."""

from __future__ import annotations

import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mstbucket.errors import (
    FileNotPermitted,
    InvalidInput,
    MstBucketError,
    NoSuchFile,
    NotAFile,
    OutcomeUnknown,
    StorageError,
    Unsupported,
)
from mstbucket.files.paths import temporary_name
from mstbucket.model.streams import Readable

_ADVICE: Final = {
    errno.ENOSPC: "free some space and repeat the call",
    errno.EDQUOT: "free some space or raise the quota, and repeat the call",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "choose another place",
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "check the name: a file is in the way",
    errno.EISDIR: "name a file",
    errno.EIO: "the medium reports a failure: check it",
}


# [ARG-12] Whoever opens files in Python knows these by the classes of the built-in errors: each is one of them, too.
_KINDS: Final[dict[int, type[MstBucketError]]] = {
    errno.ENOENT: NoSuchFile,
    errno.ENOTDIR: NoSuchFile,
    errno.EISDIR: NotAFile,
    errno.EACCES: FileNotPermitted,
    errno.EPERM: FileNotPermitted,
}


def failed(what: str, error: OSError) -> StorageError:
    """The declared error for an error of the operating system about a user's file: what, why, and what to do."""
    return StorageError(_said(what, error))


def _said(what: str, error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0)
    return f"{what}: {error.strerror or error}" + (f"; {advice}" if advice else "")


@contextmanager
def named(what: str) -> Iterator[None]:
    """As `declared`, around the opening of a file that the caller has named: the class of the error says why."""
    try:
        yield
    except OSError as error:
        kind = _KINDS.get(error.errno or 0, StorageError)
        raise kind(_said(what, error)) from error


@contextmanager
def declared(what: str) -> Iterator[None]:
    """Turn errors of the operating system in the block into declared ones, which say *what* failed. Declared ones stay."""
    try:
        yield
    except OSError as error:
        if isinstance(error, MstBucketError):
            raise
        raise failed(what, error) from error


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuse a path that no operating system takes, and the empty path: mostly a variable is not set."""
    name = os.fsdecode(path)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError as error:  # a lone surrogate that stands for no byte
        raise InvalidInput(f"{name!r} is no path: it has no form in bytes (character {error.start})") from error
    if not encoded or b"\0" in encoded:
        raise InvalidInput(f"{name!r} is no path: it is empty, or holds NUL")


def check_reachable(path: str | os.PathLike[str]) -> None:
    """Refuse a relative path where there is nothing that it is relative to.

    Raises:
        StorageError: the working directory was removed.
    """
    if not os.path.isabs(path):
        try:
            os.getcwd()
        except OSError as error:
            raise failed(f"{os.fspath(path)!r} leads nowhere: the working directory was removed", error) from error


@contextmanager
def reading(path: str | os.PathLike[str], buffering: int = -1) -> Iterator[BinaryIO]:
    """The file `path` to read; errors of the operating system inside the block are declared ones about it."""
    check_path(path)
    what = f"{os.fsdecode(path)} cannot be read"
    with named(what):
        file = open(path, "rb", buffering=buffering)  # noqa: SIM115 - its errors alone are about the name
    with declared(what), file:
        yield file


@contextmanager
def opened(source: str | os.PathLike[str] | Readable) -> Iterator[Readable]:
    """What a user names to be read: the file at a path, or an open file, which stays open. Failures are declared errors."""
    if isinstance(source, (str, os.PathLike)):
        with reading(source) as file:
            yield file
    else:
        yield Reading(source)


class Reading:
    """A user's stream, to read. Its failures become declared errors. Its owner closes it."""

    def __init__(self, stream: Readable) -> None:
        if not hasattr(stream, "read"):
            raise InvalidInput(f"a CAR is read from a path or a file, not from a {type(stream).__name__}")
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        try:
            with declared("the CAR cannot be read"):
                data = self._stream.read(size)
        except ValueError as error:  # what Python says of a file that is closed
            raise InvalidInput("the CAR cannot be read: the file is closed, or not open for reading") from error
        if not isinstance(data, bytes):
            raise InvalidInput(f"the CAR is read as {type(data).__name__}: open the file for reading bytes, and blocking")
        return data


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write. If the block ends well, the file takes the name `path`, durably; else it vanishes.

    What is there and is no regular file (a device, a pipe) is written to as it is, and never replaced ([ARG-10]).
    """
    check_path(path)
    if not path.name:
        raise InvalidInput(f"{path} names no file")
    if os.path.exists(path) and not os.path.isfile(path):
        with _special(path) as file:
            yield file
        return
    with _whole(path, 0o666, os.replace) as file:
        yield file


@contextmanager
def creating(path: Path) -> Iterator[BinaryIO]:
    """A new file for its owner alone. If the block ends well, the file takes the name `path`, durably; else nothing stays.

    Raises:
        StorageError: the name is taken, or the file cannot be written.
        OutcomeUnknown: the file is there and whole; whether its name outlives a loss of power is not known.
        Unsupported: the file system has no hard links.
    """
    check_path(path)
    with declared(f"{path} cannot be written"):
        if os.path.lexists(path):  # before anything is written; the link asks again
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    with _whole(path, 0o600, _link) as file:
        yield file


def _link(beside: Path, path: Path) -> None:
    """Give a file another name; unlike a rename, this replaces nothing."""
    try:
        os.link(beside, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        raise Unsupported(f"{path} is on a file system without hard links: make it elsewhere, and copy it") from error
    with suppress(OSError):
        os.unlink(beside)


@contextmanager
def _whole(path: Path, mode: int, place: Callable[[Path, Path], object]) -> Iterator[BinaryIO]:
    """A file beside `path`. If the block ends well, *place* gives it that name, durably; else it vanishes."""
    # The name that it will have is no part of this one: that may be as long as a name can be.
    beside = path.with_name(temporary_name().decode())
    what = f"{path} cannot be written"
    with named(what):
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with declared(what):
        try:
            with open(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            place(beside, path)
        except BaseException:
            with suppress(OSError):  # what stays has a name that says what it is
                os.unlink(beside)
            raise
        _sync_name(path)


def _sync_name(path: Path) -> None:
    """Make durable the name that a file has just got. If that fails, say that nobody knows whether it is."""
    try:
        sync(path.parent)
    except OSError as error:
        raise OutcomeUnknown(f"{failed(f'the name {path} cannot be made durable', error)}; the file is there and whole, "
                             "but a loss of power may undo that: repeat the call") from error  # fmt: skip


@contextmanager
def locked_directory(directory: Path, what: str, hazard: str) -> Iterator[None]:
    """Keep other processes away from what is in a directory; the lock goes with the process, however that ends.

    Args:
        what: says what cannot be done where there is no such directory.
        hazard: what could happen without a lock.

    Raises:
        StorageError: the directory cannot be opened.
        Unsupported: its file system has no locks.
    """
    with _locked(directory, declared(what), hazard):
        yield


@contextmanager
def _locked(directory: Path, telling: AbstractContextManager[None], hazard: str) -> Iterator[None]:
    with telling:
        handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise Unsupported(f"{directory} is on a file system without locks ({error.strerror}), so that {hazard}: choose "
                              "another place") from error  # fmt: skip
        yield
    finally:
        os.close(handle)


def locked_beside(path: str | os.PathLike[str], what: str) -> AbstractContextManager[None]:
    """As `locked_directory`, for a file that the caller has named: its directory, which may not be there.

    Raises:
        InvalidInput: it is no path.
        NoSuchFile, FileNotPermitted: the directory cannot be opened ([ARG-12]).
        StorageError: so, for another reason.
        Unsupported: its file system has no locks.
    """
    check_path(path)
    check_reachable(path)
    # `Path.resolve` raises what is no error of the system for a link that leads to itself; opening says what is wrong there.
    directory = Path(os.path.realpath(path)).parent
    return _locked(directory, named(what), "two programs at once could each lose what the other wrote")


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, durable: both are opened to be read."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(path: Path) -> None:
    """Make the directory *path*, for its owner alone, and those above it that are not there; their names are durable.

    The name of the last one is, whoever made it: somebody may have made it an instant ago, and not got to that.
    """
    missing = [path]
    while not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    with declared(f"{path} cannot be made"):
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir(0o700)
            sync(folder.parent)


@contextmanager
def written(target: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """What a user names to be written: the file at a path, as `replacing` makes it, or an open file, which stays open."""
    if isinstance(target, (str, os.PathLike)):
        with replacing(Path(target)) as file:
            yield file
    else:
        yield target


@contextmanager
def _special(path: Path) -> Iterator[BinaryIO]:
    """The device or pipe of that name, to write; the system refuses a folder."""
    what = f"{path} cannot be written"
    with named(what):
        file = open(path, "wb")  # noqa: SIM115 - its errors alone are about the name
    with declared(what):
        try:
            with file:
                yield file
        except io.UnsupportedOperation as error:
            raise StorageError(
                f"{path} is a device or a pipe, and what is written has to be read again: name a file"
            ) from error


@contextmanager
def continuing(path: Path) -> Iterator[BinaryIO]:
    """The file `path`, to read and to write in place; made if it is not there. What was written stays, whatever happens."""
    check_path(path)
    what = f"{path} cannot be written"
    with named(what):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with declared(what), open(handle, "r+b") as file:
        yield file


def write_all(target: BinaryIO, data: bytes | bytearray) -> int:
    """Write all of *data* and return how much that is. A raw file or a pipe may take less than it is given.

    If the `write` of a user's own file returns None, it has taken all: whoever ignores what it returns assumes that.

    Raises:
        StorageError: it cannot be written; or it takes nothing, as a raw one does that nobody waits for.
        InvalidInput: what its `write` returns is no number of bytes that it can have taken.
        BrokenPipeError: its reader has gone.
    """
    view = memoryview(data)
    while view:
        try:
            done = target.write(view)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise failed("the file cannot be written", error) from error
        view = view[_taken(target, done, len(view)) :]
    return len(data)


def _taken(target: BinaryIO, done: object, offered: int) -> int:
    """How many of the offered bytes a file has taken, by what its `write` returned."""
    if done is None and not isinstance(target, io.RawIOBase):
        return offered
    if done is None or done == 0:  # else this could go on for ever
        raise StorageError("the file takes no bytes now, and cannot be waited for: give one that blocks")
    if not isinstance(done, int) or not 0 < done <= offered:
        raise InvalidInput(f"write() of a {type(target).__name__} has to return how many of {offered} bytes it took")
    return done
