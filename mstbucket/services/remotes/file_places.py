"""Where a folder of files is: a directory, or a prefix on an S3-compatible service ([RMT-20])."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mstbucket.errors import InvalidInput
from mstbucket.files.shared_folder import SharedFolder
from mstbucket.files.whole import check_path
from mstbucket.model.shared_files import SharedFiles

FILES: Final = "files://"
S3: Final = "s3://"
_STORE: Final = Path("postgres", "run", "clients.lock")  # what an embedded store has


def is_files(place: str) -> bool:
    """Whether a place of a remote is one of files, and not a store."""
    return place.startswith((FILES, S3))


def folder_place(path: str) -> str:
    """The place of a directory of files, in the form in which it is kept."""
    check_path(path)
    return FILES + os.path.abspath(path)


def check_files_place(place: str) -> str:
    """The place in the form in which it is kept.

    Raises:
        InvalidInput: it is no such place, or holds credentials.
    """
    if place.startswith(S3):
        from mstbucket.remote.place import parse_place

        return str(parse_place(place))
    path = place.removeprefix(FILES)
    if not path.startswith("/"):
        raise InvalidInput("files:// is followed by an absolute path: write files:///mnt/backup")
    return folder_place(path)


def open_files(place: str) -> SharedFiles:
    """The files at a place that `check_files_place` gave.

    Raises:
        InvalidInput: a store is there.
        Unsupported: it is on a service, and the library for that is not installed.
    """
    if place.startswith(S3):
        from mstbucket.remote import parse_place
        from mstbucket.remote.shared_prefix import SharedPrefix

        return SharedPrefix(parse_place(place))
    path = place.removeprefix(FILES)
    if (Path(path) / _STORE).exists():  # [RMT-20]
        raise InvalidInput(f"{path} is a store, and no folder of files: name it without files://, or another directory")
    return SharedFolder(path)
