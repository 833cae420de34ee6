"""Files of the user: they appear whole or not at all, and what fails with them says what to do."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mstbucket.errors import StorageError

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


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the name `path`, durably, when the block ends well, and vanishes when it does not."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        file = open(beside, "xb")  # noqa: SIM115 - closed below, before the rename
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
