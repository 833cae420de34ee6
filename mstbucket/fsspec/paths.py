"""Paths: a bucket, perhaps a commit of it, and a key. Folders are what the slashes of keys suggest."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SCHEME: Final = "mstbucket"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names.

    Attributes:
        bucket: its name; empty for the root, which holds the buckets.
        commit: a name of a commit as `Bucket.at` takes it, or None for what there is now.
        key: a key, or a folder's name without the slash at its end; empty for the bucket itself.
    """

    bucket: str
    commit: str | None
    key: str

    @property
    def root(self) -> str:
        """The first piece of the path: the bucket, and the commit where there is one."""
        return self.bucket if self.commit is None else f"{self.bucket}@{self.commit}"

    @property
    def prefix(self) -> str:
        """What the keys in this folder start with."""
        return f"{self.key}/" if self.key else ""

    def path(self, key: str) -> str:
        """The path of another key of the same bucket."""
        return f"{self.root}/{key}"

    def __str__(self) -> str:
        return self.path(self.key) if self.key else self.root


def strip(path: str) -> str:
    """A path without the scheme, and without slashes at both ends ([FS-1])."""
    for start in (f"{SCHEME}://", f"{SCHEME}::"):
        path = path.removeprefix(start)
    return path.strip("/")


def place_of(path: str) -> Place:
    """What a path names, whether it is there or not."""
    root, _, key = strip(path).partition("/")
    bucket, at, commit = root.partition("@")  # [FS-2] no name of a bucket has an @
    return Place(bucket, commit if at else None, key)


def require_key(path: str) -> Place:
    """The place of an object that may be written: not a bucket, and not in the past ([FS-2])."""
    place = place_of(path)
    if not place.key:
        raise IsADirectoryError(errno.EISDIR, "it is a bucket, and not an object", path)
    require_present(place)
    return place


def require_present(place: Place) -> None:
    """Raise if the place is in the past, which can only be read."""
    if place.commit is not None:
        raise OSError(errno.EROFS, "a commit can only be read: leave out @COMMIT to write", str(place))


def folders_of(key: str, start: int) -> Iterator[str]:
    """The folders that a key is in, from the outside to the inside, behind the first *start* characters.

    [FS-5] Of several slashes in a row the first ends a folder's name, and the others begin the next one. So no name is
    empty, and a folder is never in itself.
    """
    for at in range(max(start, 1), len(key)):
        if key[at] == "/" and key[at - 1] != "/":
            yield key[:at]
