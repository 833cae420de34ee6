"""Opening the store that a command works on. A mistyped path is an error, not a new store: few commands make one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mstbucket.cli.config import StorePlace, find_store, home_directory
from mstbucket.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketView, Store
    from mstbucket.cli.address import Address

# An embedded store is known by this file: it is made before anything else, and no other server's directory has it.
_MARK: Final = Path("postgres", "run", "clients.lock")


def place_of(arguments: argparse.Namespace) -> StorePlace:
    """Where the store of this command is; see `find_store`."""
    return find_store(arguments.store, os.environ, home_directory(os.environ))


def open_store(arguments: argparse.Namespace, **settings: str | None) -> Store:
    """Open the store, which has to exist; `settings` are those of `mstbucket.open`.

    Raises:
        NotFound: there is none; the message says where it was looked for, and who said so.
    """
    place = place_of(arguments)
    require(place)
    return _open(place, create=False, **settings)


@contextmanager
def opened(store: Store, address: Address) -> Iterator[Bucket | BucketView]:
    """What to read an address from: its bucket, or the view that it names, which is open in the block ([CLI-55])."""
    bucket = store.bucket(address.bucket)
    if address.commit is None:
        yield bucket
        return
    with bucket.at(address.commit) as view:
        yield view


def open_or_make_store(arguments: argparse.Namespace) -> Store:
    """Open the store, and make it if it is not there.

    Raises:
        InvalidInput: its directory holds something else; nothing is put beside that.
    """
    place = place_of(arguments)
    refuse_other_things(place)
    return _open(place, create=True)


def refuse_other_things(place: StorePlace) -> None:
    """Raise `InvalidInput` if the directory of an embedded store holds something else."""
    path = place.path
    if path is not None and not is_store(path) and path.is_dir() and any(path.iterdir()):
        how = _lost(path)
        raise InvalidInput(f"{path} is not empty and is no store ({place.source} names it): {how}name another directory")


def is_store(path: Path) -> bool:
    """Whether there is an embedded store at *path*."""
    return (path / _MARK).is_file()


def require(place: StorePlace) -> None:
    """Raise `NotFound` if an embedded store is named that does not exist."""
    # [CLI-9] only mb and import make a store
    if place.path is not None and not is_store(place.path):
        how = _lost(place.path) or "make one with 'mstbucket mb mst://BUCKET', or "
        raise NotFound(f"there is no store at {place.path} ({place.source} names it): {how}name another with --store")


def _lost(path: Path) -> str:
    """What to do where blobs are without a database: after a loss it is the first message that anybody sees."""
    blobs = path / "blobs"
    there = "there are blobs, and no database: 'mstbucket rebuild' makes it again from them; or "
    return there if blobs.is_dir() and any(blobs.iterdir()) else ""


def _open(place: StorePlace, create: bool, compression: str | None = None, encryption: str | None = None) -> Store:
    with _begun(place):
        import mstbucket

        # No background flush: a command's own end is no reason for a commit, and `flush` is a command.
        return mstbucket.open(
            place.path,
            database=place.database,
            blobs=place.blobs,
            postgres_bin=place.postgres_bin,
            background=False,
            compression=compression,
            encryption=encryption,
            signing_key=os.environ.get("MSTBUCKET_SIGNING_KEY") or None,  # [CLI-47]
            create=create,
        )


@contextmanager
def _begun(place: StorePlace) -> Iterator[None]:
    """Start the server of an existing store before the block: it comes up while the block imports what opens the store."""
    if place.path is None or not is_store(place.path):
        yield
        return
    from mstbucket.api.servers import begin_server

    server = begin_server(place.path, place.postgres_bin)
    try:
        yield
    finally:
        if server is not None:
            server.close()
