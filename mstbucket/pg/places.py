"""Directories for a server and its socket, safe from the other users of the machine."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from mstbucket.errors import StorageError

SOCKET_PATH_MAX: Final = 107  # bytes of a unix socket's path: sockaddr_un holds 108 with the NUL
_SOCKET: Final = ".s.PGSQL.5432"


def make_private(place: Path) -> None:
    """Make a directory, and those above it that are missing, for us alone whatever the umask; one that is there stays."""
    if not place.is_dir():
        make_private(place.parent)
        try:
            place.mkdir(0o700)
            place.chmod(0o700)  # the umask may have taken rights of our own
        except FileExistsError:
            if not place.is_dir():
                raise


def for_socket(run: Path) -> str:
    """*run*, or the path of a directory to be made under the temporary one when the path cannot be a socket's.

    Raises:
        StorageError: the temporary directory will not do either; the message says why.
    """
    if _holds_socket(str(run)):
        return str(run)
    temporary = os.path.realpath(tempfile.gettempdir())
    # [PG-9] a name that nobody can guess and take beforehand
    short = os.path.join(temporary, f"mstbucket-{os.urandom(8).hex()}")
    if not _holds_socket(short):
        raise StorageError(f"the path {run} cannot be a socket's, nor can one in {temporary}: set TMPDIR to a shorter one")
    loose = _open_to_others(Path(temporary))
    if loose is not None:
        raise StorageError(f"other users could replace what is in {loose}: run `chmod +t {loose}`, or set TMPDIR")
    return short


def _holds_socket(place: str) -> bool:
    """[PG-9] Whether a socket can be in that directory, and libpq be told so: in UTF-8, and a comma ends a name for it."""
    try:
        return len(place.encode()) + 1 + len(_SOCKET) <= SOCKET_PATH_MAX and "," not in place
    except UnicodeEncodeError:
        return False


def _open_to_others(place: Path) -> Path | None:
    """The directory, of this one and those above it, in which other users may rename what is ours."""
    for folder in (place, *place.parents):
        found = folder.stat()
        others = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()))
        if others and not found.st_mode & stat.S_ISVTX:
            return folder
    return None
