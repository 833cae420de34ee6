"""The stores that file systems of this process have open: one for each place, whatever the number of threads.

fsspec makes a file system for every thread and keeps them all. A store has a pool of connections and a thread of its own:
so these file systems share one.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Final

import mstbucket
from mstbucket.api.bucket import Bucket
from mstbucket.api.store import Store
from mstbucket.api.view import BucketView
from mstbucket.cli.config import StorePlace, find_store, home_directory
from mstbucket.errors import InvalidInput
from mstbucket.files.whole import check_reachable
from mstbucket.fsspec.paths import Place
from mstbucket.limits import FSSPEC_VIEWS_MAX


class OpenStore:
    """An open store, with what it gave: handles of buckets, and views of commits. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._views: dict[tuple[str, str], BucketView] = {}

    def bucket(self, name: str) -> Bucket:
        """The bucket of that name. It is a handle: if the bucket has gone, its use says so."""
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = self.store.bucket(name)
        return found

    def source(self, place: Place) -> Bucket | BucketView:
        """What is read at a place: the bucket, or a view of its commit."""
        if place.commit is None:
            return self.bucket(place.bucket)
        name = (place.bucket, place.commit)
        with self._lock:
            # [FS-3] what a name means is looked up once
            view = self._views.pop(name, None)
            if view is None:
                view = self.bucket(place.bucket).at(place.commit)
            self._views[name] = view
            while len(self._views) > FSSPEC_VIEWS_MAX:
                del self._views[next(iter(self._views))]  # not closed: somebody may be reading
        return view

    def forget(self) -> None:
        """Give back the commits that are held, and forget what their names meant."""
        with self._lock:
            views, self._views = self._views, {}
            self._buckets = {}
        for view in views.values():
            view.close()


class _Process:
    """What this process has open. A child that is forked off has nothing open, and does not touch what its parent has."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened: dict[StorePlace, OpenStore] = {}
        self.inherited: list[dict[StorePlace, OpenStore]] = []  # kept: to let go of them would end the parent's connections

    def forked(self) -> None:
        self.lock = threading.Lock()  # a thread that is not in the child may have held it
        self.inherited.append(self.opened)
        self.opened = {}


_process: Final = _Process()


def find_place(store: str | None) -> StorePlace:
    """Where the store is: the directory that is given, or else where the command line would look ([FS-4]).

    Raises:
        InvalidInput: a source contradicts itself or leaves something out, or the config file cannot be read.
    """
    place = find_store(store, os.environ, home_directory(os.environ))
    if place.path is None:
        return place
    check_reachable(place.path)
    return StorePlace(place.path.absolute(), place.database, place.blobs, place.postgres_bin, place.source)


def open_place(place: StorePlace) -> OpenStore:
    """The store at a place. The first call in this process opens it, and none makes it.

    Raises:
        NotFound: there is no store.
        What `mstbucket.open` raises.
    """
    found = _process.opened.get(place)
    if found is not None:
        return found
    with _process.lock:
        found = _process.opened.get(place)
        if found is None:
            found = _process.opened[place] = OpenStore(
                mstbucket.open(
                    place.path, database=place.database, blobs=place.blobs, postgres_bin=place.postgres_bin, create=False
                )
            )
        return found


def close_stores() -> None:
    """Close every store that file systems of this process have opened; an embedded server ends with its last user.

    A file system that is used afterwards opens its store anew. Stores that were given open are not touched. It is done at
    the end of the process too. Repeatable.
    """
    with _process.lock:
        while _process.opened:
            _, opened = _process.opened.popitem()
            opened.forget()
            opened.store.close()


atexit.register(close_stores)
os.register_at_fork(after_in_child=_process.forked)


def require_store(value: object) -> Store | str | None:
    """What `store=` may be.

    Raises:
        InvalidInput: it is neither a path nor an open store.
    """
    if value is None or isinstance(value, Store):
        return value
    if isinstance(value, (str, os.PathLike)):
        path = os.fsdecode(value)
        if not path or "://" in path:
            raise InvalidInput("store= takes a store's directory, not a URL: for a server of your own give an open Store, "
                               "or set MSTBUCKET_DATABASE and MSTBUCKET_BLOBS")  # fmt: skip
        return path
    raise InvalidInput(f"store is of type {type(value).__name__}; it has to be the directory of a store, or an open Store")
