"""The errors of the library as the ones that programs expect of a file system ([FS-20])."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mstbucket.errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketNotEmpty,
    MstBucketError,
    NotFound,
    PreconditionFailed,
)

# The first that fits counts. What is not here is a ValueError or an OSError by itself, or says more than either could.
_KINDS: Final[tuple[tuple[type[MstBucketError], type[OSError], int], ...]] = (
    (NotFound, FileNotFoundError, errno.ENOENT),
    (BucketAlreadyExists, FileExistsError, errno.EEXIST),
    (PreconditionFailed, FileExistsError, errno.EEXIST),
    (BucketNotEmpty, OSError, errno.ENOTEMPTY),
    (AccessDenied, PermissionError, errno.EACCES),
)


@contextmanager
def telling(path: str) -> Iterator[None]:
    """Raise the file system's error for one of the library, which stays its cause."""
    try:
        yield
    except MstBucketError as error:
        told = translated(error, path)
        if told is error:
            raise
        raise told from error


def translated(error: MstBucketError, path: str) -> Exception:
    """The error that a file system has for it, or the same error."""
    for kind, meant, number in _KINDS:
        if isinstance(error, kind):
            return meant(number, str(error), path)
    return error
