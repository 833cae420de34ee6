"""The database of a store: that of an embedded server, or of a server of the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.places import is_url
from mstbucket.errors import InvalidInput, MstBucketError, StorageError
from mstbucket.files.whole import check_path, check_reachable
from mstbucket.pg.database import Database, load_driver
from mstbucket.pg.embedded import EmbeddedPostgres

POSTGRES: Final = "postgres"  # the server's directory in that of an embedded store


def check_places(path: str | os.PathLike[str] | None, *others: str | os.PathLike[str] | BlobStore | None) -> None:
    """Refuse what can be no place: the path of a store, then places of blobs and directories. What is None was left out."""
    for place in (path, *others):
        if isinstance(place, (str, os.PathLike)):
            check_path(place)
            if not is_url(os.fsdecode(place)):
                check_reachable(place)
    if path is not None and is_url(os.fsdecode(path)):  # not shown: it may hold a password
        raise InvalidInput("a store's path is a directory, not a URL: name a server of your own by database= and blobs=")


def is_there(directory: Path) -> bool:
    """Whether an embedded store's directory is there; an error where that cannot be seen."""
    try:
        return directory.is_dir()
    except OSError as error:  # not absent: its name is too long, or somebody else's directory hides it
        raise StorageError(f"cannot look for a store at {directory}: {error.strerror}: use a directory that belongs to user "
                           f"{os.geteuid()}, with a shorter name") from error  # fmt: skip


def database_at(server: EmbeddedPostgres | None, conninfo: str | None) -> Database:
    """The database of an embedded server, which is started, or of the user's own."""
    if server is not None:
        server.begin()
        load_driver()  # takes longer than the server does, which comes up meanwhile
        server.start()
        return Database(server.conninfo)  # asked again for each new connection: a server that was killed comes back
    assert conninfo is not None
    return Database(conninfo)


def begin_server(path: Path, postgres_bin: str | os.PathLike[str] | None) -> EmbeddedPostgres | None:
    """Have the server of the embedded store at *path*, which exists, started while other things are done.

    Nobody waits for it here. Close what is returned when the store is open, or could not be opened. None where it cannot be
    started: whoever opens the store is told why.
    """
    server = EmbeddedPostgres(path / POSTGRES, programs=postgres_bin, top=path)
    try:
        server.begin()
    except MstBucketError:
        return None
    return server


def database_of(
    path: str | os.PathLike[str] | None, database: str | None, postgres_bin: str | os.PathLike[str] | None
) -> tuple[Database, EmbeddedPostgres | None]:
    """The database of a store that is there, and its embedded server, which was started; both are the caller's to close."""
    if path is None:
        return database_at(None, database), None
    server = EmbeddedPostgres(Path(path) / POSTGRES, programs=postgres_bin, top=path)
    return database_at(server, None), server
