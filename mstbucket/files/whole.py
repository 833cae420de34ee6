"""Files of the user: they appear whole or not at all, and what fails with them says what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mstbucket.errors import InvalidInput, StorageError
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


def failed(what: str, error: OSError) -> StorageError:
    """The declared error for one of the operating system about a file of the user's: what, why, and what to do."""
    advice = _ADVICE.get(error.errno or 0)
    return StorageError(f"{what}: {error.strerror or error}" + (f"; {advice}" if advice else ""))


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuse what no operating system takes for a path, and the empty one, which mostly is a variable not set."""
    name = os.fsdecode(path)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError as error:  # a lone surrogate that stands for no byte
        raise InvalidInput(f"{name!r} is no path: it has no form in bytes (character {error.start})") from error
    if not encoded or b"\0" in encoded:
        raise InvalidInput(f"{name!r} is no path: it is empty, or holds NUL")


@contextmanager
def reading(path: str | os.PathLike[str], buffering: int = -1) -> Iterator[BinaryIO]:
    """The file `path` to read; errors of the operating system inside the block are declared ones about it."""
    check_path(path)
    try:
        with open(path, "rb", buffering=buffering) as file:
            yield file
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise failed(f"{os.fsdecode(path)} cannot be read", error) from error


class Reading:
    """A stream of somebody else's, to read: what it fails with are declared errors. Closing it is its owner's affair."""

    def __init__(self, stream: Readable) -> None:
        if not hasattr(stream, "read"):
            raise InvalidInput(f"a CAR is read from a path or a file, not from a {type(stream).__name__}")
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        try:
            data = self._stream.read(size)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise failed("the CAR cannot be read", error) from error
        except ValueError as error:  # what Python says of a file that is closed
            raise InvalidInput("the CAR cannot be read: the file is closed, or not open for reading") from error
        if not isinstance(data, bytes):
            raise InvalidInput(f"the CAR is read as {type(data).__name__}: open the file for reading bytes, and blocking")
        return data


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path`, durably, when the block ends well, and vanishes when it does not."""
    check_path(path)
    if not path.name:
        raise InvalidInput(f"{path} names no file")
    # Not made of the name that it will have: that may be as long as a name can be.
    beside = path.with_name(temporary_name().decode())
    try:
        file = open(beside, "x+b")  # noqa: SIM115 - closed below, before the rename
    except OSError as error:
        raise failed(f"{path} cannot be written", error) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise failed(f"{path} cannot be written", error) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside)


@contextmanager
def writing(target: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """The file of a path, as `replacing` makes it; or one that is open already, and stays open."""
    if isinstance(target, (str, os.PathLike)):
        with replacing(Path(target)) as file:
            yield file
    else:
        yield target


@contextmanager
def continuing(path: Path) -> Iterator[BinaryIO]:
    """The file `path`, to read and to write in place; made if it is not there. What was written stays, whatever happens."""
    check_path(path)
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            yield file
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise failed(f"{path} cannot be written", error) from error


def write_all(target: BinaryIO, data: bytes | bytearray) -> int:
    """Write all of *data* and return how much that is. A raw file or a pipe may take less than it is given.

    Raises:
        StorageError: it cannot be written.
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
        view = view[done if done is not None else 0 :]
    return len(data)
