"""One URL chooses the blob store ([S3B-15])."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from mstbucket.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from mstbucket.blobs.base import BlobStore

MEMORY: Final = "memory:"
_FILE: Final = "file://"
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|memory:\Z")


def is_url(text: str) -> bool:
    """Whether `text` is a URL rather than a path."""
    return _URL.match(text) is not None


def open_blobs(place: str | os.PathLike[str]) -> BlobStore:
    """Open the blob store at `place`: a directory or `file:///…`, `s3://…`, or `memory:`, gone when it is closed.

    Raises:
        InvalidInput: it is a URL of another form.
        StorageError, Unsupported: the store cannot be used; the message says why.
    """
    text = os.fsdecode(place)
    if not text:
        raise InvalidInput("an empty place of blobs points at nothing; for the current directory say '.'")
    if text == MEMORY:
        from mstbucket.blobs.media.memory import MemoryBlobs

        return MemoryBlobs()
    if text[:5].lower() == "s3://":
        from mstbucket.blobs.media.s3 import S3Blobs

        return S3Blobs(text)
    path = _path(text)
    if path is not None:
        from mstbucket.blobs.media.local import LocalBlobs

        return LocalBlobs(path)
    raise InvalidInput("the blobs are in a directory, at file:///PATH, at s3://BUCKET/PREFIX, or in memory: this URL is "
                       "none of them")  # fmt: skip


def open_existing_blobs(place: str | os.PathLike[str]) -> BlobStore:
    """As `open_blobs`, but nothing is made: no directory, and no mark on a service ([STO-20]).

    Raises:
        NotFound: there is no such directory.
    """
    text = os.fsdecode(place)
    if text[:5].lower() == "s3://":
        from mstbucket.blobs.media.s3 import S3Blobs

        return S3Blobs(text, make=False)
    path = _path(text)
    if path is not None:
        from mstbucket.blobs.media.disk import declared

        with declared("the directory of the blobs cannot be used", path):
            there = path.is_dir()
        if not there and not path.is_symlink() and not path.exists():
            raise NotFound(f"there is no directory {path}: name the one where the blobs are")
    return open_blobs(place)


def shown(place: str | os.PathLike[str] | BlobStore) -> str:
    """A place, which has the form of one, as it may be told to people; a directory from the root on."""
    if not isinstance(place, str | os.PathLike):
        return repr(place)
    text = os.fsdecode(place)
    return os.fsencode(text if is_url(text) else os.path.abspath(text)).decode("utf-8", "backslashreplace")


def directory_at(place: str | os.PathLike[str]) -> Path | None:
    """The directory that a place is, or None where it is none."""
    return _path(os.fsdecode(place))


def _path(text: str) -> Path | None:
    """The directory that a place is, or None where it is none."""
    if is_url(text):
        return Path(unquote(text[len(_FILE) :])) if text.startswith(f"{_FILE}/") else None
    return Path(text)
