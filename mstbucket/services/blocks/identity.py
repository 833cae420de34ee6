"""Which store this is: the database and the place of the blobs say the same, or the store is not opened ([STO-18])."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.identity import holds_blobs, identity_line, new_identity, put_identity, read_identity
from mstbucket.blobs.media.places import open_blobs, open_existing_blobs, shown
from mstbucket.blobs.names import STORE
from mstbucket.errors import BlobExists, Conflict, NotFound, WrongPlace
from mstbucket.index import store
from mstbucket.index.store import StoreRow
from mstbucket.pg.database import Database

#: Where blobs are, as `mstbucket.open` takes it.
Place = str | os.PathLike[str] | BlobStore


def require_store(db: Database) -> None:
    """Raise `NotFound` where the database has none of a store's tables."""
    name, there = store.database_of(db)
    if not there:
        raise _no_store(name)


def open_place(db: Database, place: Place, create: bool) -> tuple[BlobStore, str]:
    """Open the blobs of the database's store and return them with its identity; *create* the store if there is none.

    Raises:
        NotFound: the database has no store, and it is not to be made.
        WrongPlace: the blobs there are of another store, or there are none. Nothing was made or changed.
        FormatError, HashMismatch: the identity beside the blobs cannot be read.
        StorageError: the database or the place cannot be used.
    """
    known = store.read(db)
    if known.identity is None:
        _refuse_rebuilt(known)
        if not create:
            raise _no_store(known.database)
        return _make(db, place)
    blobs = _open_existing(place)
    found = None if blobs is None else read_identity(blobs)
    if blobs is not None and found is None and holds_blobs(blobs):
        _release(blobs, place)
        line = identity_line(known.identity)
        raise WrongPlace(
            f"the blob {STORE} is missing at {shown(place)}, where there are other blobs of a store"
            f"{_last_place(known, place)}. If they are those of store {known.identity}, to which {_database(known)} "
            f"belongs, put it back, from a copy or as a file of this one line: {line!r}. Otherwise name the right place"
        )
    if blobs is None or found is None:
        _release(blobs, place)
        # [STO-20] only making a store makes a place
        raise WrongPlace(
            f"the blobs of store {known.identity}, to which {_database(known)} belongs, are not at {shown(place)}"
            f"{_last_place(known, place)}: nothing was made there. Name the right place, mount it, or restore the blobs"
        )
    if found != known.identity:
        _release(blobs, place)
        raise WrongPlace(
            f"the blobs at {shown(place)} are those of store {found}, and {_database(known)} belongs to store "
            f"{known.identity}{_last_place(known, place)}: name the place and the database of one store"
        )
    _note_place(db, place, known.last)
    return blobs, found


def require_vacant(db: Database, place: Place) -> None:
    """Refuse a place with the blobs of some store, for a database that has none: before anything is made in it.

    Raises:
        WrongPlace: the place is taken.
        FormatError, HashMismatch, StorageError: as of `open_place`.
    """
    name, _ = store.database_of(db)
    # [STO-19] one who makes the same store at the same time may be done by now
    _require_vacant(place, f"the database {name!r}", lambda: store.database_of(db)[1])


def require_vacant_for_new(directory: Path, place: Place, is_made: Callable[[], bool]) -> None:
    """As `require_vacant`, for an embedded store whose database is yet to be made below *directory*."""
    _require_vacant(place, f"the database to be made in {directory}", is_made)


def _require_vacant(place: Place, database: str, is_made: Callable[[], bool]) -> None:
    blobs = _open_existing(place)
    if blobs is None:
        return
    try:
        found = read_identity(blobs)
        taken = found is not None or holds_blobs(blobs)
    finally:
        _release(blobs, place)
    if taken and not is_made():
        raise _foreign(place, database, found)


def _make(db: Database, place: Place) -> tuple[BlobStore, str]:
    """Make the store. Of all processes that try at once, one makes it, and the others find it made ([STO-19])."""
    with db.transaction() as connection:
        known = store.read_alone(connection)
        if known.identity is None:
            _refuse_rebuilt(known)
            blobs, identity = _claim_place(db, place, known)
            store.set_identity(connection, identity)
            made = blobs
        else:
            made = None
    if made is None:
        return open_place(db, place, create=False)
    _note_place(db, place, known.last)
    return made, identity


def _claim_place(db: Database, place: Place, known: StoreRow) -> tuple[BlobStore, str]:
    """Write the identity of a new store to the place; go on where an earlier attempt was interrupted."""
    blobs = _open_existing(place)
    found = None if blobs is None else read_identity(blobs)
    if blobs is not None and found is not None and found == known.begun:
        return blobs, found
    if blobs is not None and (found is not None or (not known.has_packs and holds_blobs(blobs))):
        _release(blobs, place)
        raise _foreign(place, _database(known), found)
    identity = new_identity()
    store.set_begun(db, identity)  # recorded before it is written: so no other store's can be taken for it
    blobs = open_blobs(place) if isinstance(place, str | os.PathLike) else place
    try:
        put_identity(blobs, identity)
    except BlobExists:
        found = read_identity(blobs)
        if found != identity:  # another database was faster by an instant
            _release(blobs, place)
            raise _foreign(place, _database(known), found) from None
    return blobs, identity


def place_to_rebuild(place: Place) -> tuple[BlobStore, str]:
    """Open the blobs of a store whose database is lost, and return them with its identity. Nothing is made ([REB-1]).

    Raises:
        NotFound: there are no blobs of a store.
        FormatError, HashMismatch: the identity beside the blobs cannot be read.
        StorageError: the place cannot be used.
    """
    blobs = _open_existing(place)
    found = None if blobs is None else read_identity(blobs)
    if blobs is None or found is None:
        _release(blobs, place)
        raise NotFound(f"at {shown(place)} are no blobs that say whose they are: name the place of the store's blobs")
    return blobs, found


def _refuse_rebuilt(known: StoreRow) -> None:
    # [REB-2]
    if known.rebuilt is not None:
        raise Conflict(f"store {known.rebuilt} is being rebuilt in {_database(known)}, and is not whole yet: let it end, or "
                       "repeat 'mstbucket rebuild', which goes on")  # fmt: skip


def _no_store(name: str) -> NotFound:
    return NotFound(f"the database {name!r} has no store in it: correct its name, or make one ('mstbucket mb mst://BUCKET')")


def _foreign(place: Place, database: str, found: str | None) -> WrongPlace:
    whose = "a store that does not say which" if found is None else f"store {found}"
    return WrongPlace(
        f"at {shown(place)} are the blobs of {whose}, and {database} has no store in it. If its name is wrong, "
        "correct it. If the database of these blobs is lost, 'mstbucket rebuild' makes it again from them. "
        "For a new store, name an empty place"
    )


def _open_existing(place: Place) -> BlobStore | None:
    """The place as it is; None where there is none."""
    if not isinstance(place, str | os.PathLike):
        return place
    try:
        return open_existing_blobs(place)
    except NotFound:
        return None


def _release(blobs: BlobStore | None, place: Place) -> None:
    if blobs is not None and blobs is not place:  # what the caller opened stays open
        blobs.release()


def _database(known: StoreRow) -> str:
    return f"the database {known.database!r}"


def _last_place(known: StoreRow, place: Place) -> str:
    return "" if known.last is None or known.last == shown(place) else f" (at the last opening they were at {known.last})"


def _note_place(db: Database, place: Place, last: str | None) -> None:
    """Note where the blobs are, for the message of a later failure."""
    here = shown(place) if isinstance(place, str | os.PathLike) else None
    if here is not None and here != last:
        store.set_last(db, here)


def ping(db: Database, blobs: BlobStore, identity: str) -> None:
    """Ask both for the identity of the store; see `Store.ping`."""
    require_store(db)
    if read_identity(blobs) != identity:
        raise WrongPlace("the blobs are not this store's any more: somebody has changed them")
