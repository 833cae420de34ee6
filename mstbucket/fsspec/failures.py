"""Turns the library's errors into those that programs expect of a file system ([FS-20])."""

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

# The first that fits counts. Any other error is a ValueError or an OSError already, or says more than either could.
_KINDS: Final[tuple[tuple[type[MstBucketError], type[OSError], int], ...]] = (
    (NotFound, FileNotFoundError, errno.ENOENT),
    (BucketAlreadyExists, FileExistsError, errno.EEXIST),
    (PreconditionFailed, FileExistsError, errno.EEXIST),
    (BucketNotEmpty, OSError, errno.ENOTEMPTY),
    (AccessDenied, PermissionError, errno.EACCES),
)


@contextmanager
def telling(path: str) -> Iterator[None]:
    """Turn an error of the library into a file system's. The first stays the cause of the second."""
    try:
        yield
    except MstBucketError as error:
        told = translated(error, path)
        if told is error:
            raise
        raise told from error


def translated(error: MstBucketError, path: str) -> Exception:
    """The error that a file system has for *error*, or *error* itself."""
    for kind, meant, number in _KINDS:
        if isinstance(error, kind):
            return meant(number, str(error), path)
    return error
