"""Where another store is, as it can be kept: no credentials are in it ([RMT-11])."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, urlsplit

from mstbucket.errors import InvalidInput
from mstbucket.files.whole import check_path
from mstbucket.services.remotes.file_places import check_files_place, is_files

_DATABASES = ("postgresql://", "postgres://")
_SECRET = frozenset({"password", "passfile", "sslpassword", "access_key", "secret_key", "secret", "token"})


def check_place(place: str, blobs: str | None) -> tuple[str, str | None]:
    """The place and that of the blobs, in the form in which they are kept: a directory is absolute.

    Raises:
        InvalidInput: it is no place of a store, or holds a password.
    """
    if place.startswith(_DATABASES):
        if blobs is None:
            raise InvalidInput("a database needs blobs=…, the place of its packs")
        return _without_secrets(place), _kept(blobs)
    if blobs is not None:
        raise InvalidInput("blobs=… is for a database: a directory holds its packs")
    if is_files(place):  # [RMT-20]
        return check_files_place(place), None
    if "://" in place:
        scheme = place.partition("://")[0]
        raise InvalidInput(f"{scheme}:// is no place of a store here: give a directory or a postgresql:// URL, or for a "
                           "folder of files files:///DIRECTORY or an s3:// URL")  # fmt: skip
    return _kept(place), None


def is_database(place: str) -> bool:
    """Whether a place is the URL of a database."""
    return place.startswith(_DATABASES)


def _kept(place: str) -> str:
    if "://" in place:
        return _without_secrets(place)
    check_path(place)
    return os.path.abspath(place)


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
        secret = parts.password is not None or any(name.lower() in _SECRET for name, _ in parse_qsl(parts.query))
    except ValueError as error:
        raise InvalidInput(f"the place is no URL: {error}") from None  # not shown: it may hold a password
    if secret:
        raise InvalidInput("the place holds a password, which is not kept: leave it out, and give it by PGPASSWORD, a "
                           "password file, or the AWS variables")  # fmt: skip
    return url
