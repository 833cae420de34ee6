"""The half of the file system that tells what there is: what fsspec asks for, in verbs of a store."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, cast

from fsspec.spec import AbstractFileSystem

from mstbucket.api.bucket import Bucket
from mstbucket.api.store import Store
from mstbucket.errors import InvalidInput, NotFound, Unsupported
from mstbucket.fsspec import listing
from mstbucket.fsspec.failures import telling
from mstbucket.fsspec.listing import Entry, Source
from mstbucket.fsspec.paths import SCHEME, Place, place_of, require_key, strip
from mstbucket.fsspec.stores import OpenStore, find_place, open_place, require_store

#: fsspec's options for every file system. Any other is a mistake: it may name another store than the one found.
_OPTIONS: Final = frozenset(
    ("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "asynchronous", "loop", "batch_size")
)
_KINDS: Final = ("directory", "file")


class LookingFileSystem(AbstractFileSystem):
    """What tells which objects and folders there are; `ReadableFileSystem` adds their bytes."""

    protocol = SCHEME
    root_marker = ""

    def __init__(self, store: str | os.PathLike[str] | Store | None = None, **options: Any) -> None:
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:  # [FS-4]
            raise InvalidInput(f"a file system of a store has no {', '.join(unknown)[:200]}: the store is named by store=")
        super().__init__(**options)
        given = require_store(store)
        self._given = OpenStore(given) if isinstance(given, Store) else None
        self._place = None if isinstance(given, Store) else find_place(given)

    def __reduce__(self) -> Any:
        if self._given is not None:
            raise Unsupported("the file system of an open store cannot go to another process: make it by a directory")
        return super().__reduce__()

    @property
    def fsid(self) -> str:
        """Which store it is; the same for every process and every copy of the store."""
        return f"{SCHEME}_{self._opened.store.identity}"

    @property
    def _opened(self) -> OpenStore:
        if self._given is not None:
            return self._given
        assert self._place is not None
        try:
            return open_place(self._place)
        except NotFound as error:  # [FS-4] not a FileNotFoundError: that would say that a path is not in the store
            raise OSError(errno.ENODEV, str(error), self._place.shown) from error

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return strip(os.fspath(path))

    def invalidate_cache(self, path: str | None = None) -> None:
        """Unless a path is given, forget what the names of commits meant, and give the commits back ([FS-3])."""
        if path is None:
            self._opened.forget()
        super().invalidate_cache(path)

    def _source(self, path: str) -> tuple[Source, Place]:
        place = place_of(path)
        return self._opened.source(place), place

    def _target(self, path: str) -> tuple[Bucket, Place]:
        place = require_key(path)
        return self._opened.bucket(place.bucket), place

    def info(self, path: str, **_: Any) -> Entry:
        """What is known of an object, a folder or a bucket; of an object also `cid`, which names its bytes."""
        if not strip(path):
            return listing.folder("")
        with telling(path):
            return listing.look(*self._source(path))

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is an object, a folder or a bucket. A store that cannot be read is an error, and not False."""
        try:
            self.info(path)
        except (FileNotFoundError, ValueError):
            return False
        return True

    def isfile(self, path: str) -> bool:
        """Whether there is an object of that name."""
        return self.exists(path) and self.info(path)["type"] == "file"

    def isdir(self, path: str) -> bool:
        """Whether it is a folder or a bucket, and no object."""
        return self.exists(path) and self.info(path)["type"] == "directory"

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What is in a folder or a bucket. For the root the buckets, for an object the object itself."""
        if strip(path):
            with telling(path):
                found = listing.children(*self._source(path))
        else:
            found = [listing.bucket_entry(info) for info in self._opened.store.list_buckets()]
        return found if detail else [entry["name"] for entry in found]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> list[str] | dict[str, Entry]:
        """All objects below a folder, in order; one listing, unless `maxdepth` says how many levels are enough."""
        if maxdepth is not None and maxdepth < 1:
            raise InvalidInput("maxdepth must be at least 1")
        path = strip(path)
        found: dict[str, Entry] = {}
        if path:
            found = self._below(path, maxdepth, withdirs)
        else:
            for bucket in self.ls(""):
                if withdirs:
                    found[bucket["name"]] = bucket
                if maxdepth is None or maxdepth > 1:
                    found |= self._below(bucket["name"], None if maxdepth is None else maxdepth - 1, withdirs)
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def _below(self, path: str, maxdepth: int | None, withdirs: bool) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        try:
            entry = self.info(path)
        except FileNotFoundError:
            return found
        if entry["type"] == "file" or withdirs:
            found[path] = entry
        with telling(path):
            source, place = self._source(path)
            if maxdepth is None:
                entries: Iterable[Entry] = listing.everything(source, place, withdirs)
            elif listing.is_folder(source, place):
                entries = listing.down_to(source, place, maxdepth, withdirs)
            else:
                entries = ()
            for below in entries:
                found.setdefault(below["name"], below)
        return found

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = "omit",
        detail: bool = False,
        **_: Any,
    ) -> Iterator[Any]:
        """Folder after folder: its path, its folders, its files. Only a folder that has gone is left out ([FS-20]).

        A name joined to the path by a slash is the path of what it names: the object `a//b` is `/b` of `a` ([FS-5]).

        Args:
            path: where to begin.
            maxdepth: how many levels, at least 1; None for all.
            topdown: a folder comes before those in it, and is not entered if it is taken out of the list.
            on_error: `omit` or `raise` if a folder has gone, or a function to call with the error.
            detail: maps of names to entries, not lists of names.
        """
        if maxdepth is not None and maxdepth < 1:
            raise InvalidInput("maxdepth must be at least 1")
        path = strip(path)
        try:
            entries = self.ls(path)
        except FileNotFoundError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)
            return
        start = len(path) + 1 if path else 0
        both = {kind: {entry["name"][start:]: entry for entry in entries if entry["type"] == kind} for kind in _KINDS}
        folders, files = both.values() if detail else map(list, both.values())
        if topdown:
            yield path, folders, files
        if maxdepth is None or maxdepth > 1:
            for name in folders:
                inner = f"{path}/{name}" if path else name
                yield from self.walk(inner, maxdepth and maxdepth - 1, topdown, on_error, detail)
        if not topdown:
            yield path, folders, files

    def checksum(self, path: str) -> str:
        """The CID of an object's bytes: equal bytes have an equal CID, in every store ([FS-8])."""
        return cast("str", self._object(path)["cid"])

    def ukey(self, path: str) -> str:
        """As `checksum`: it changes when the bytes do."""
        return self.checksum(path)

    def modified(self, path: str) -> datetime:
        """When an object was written, UTC."""
        return cast("datetime", self._object(path)["mtime"])

    def created(self, path: str) -> datetime:
        """When a bucket was made, or an object was written: once, as a whole ([FS-8])."""
        place = place_of(path)
        if place.key or place.commit is not None:
            return self.modified(path)
        found = [info.created for info in self._opened.store.list_buckets() if info.name == place.bucket]
        if not found:
            raise FileNotFoundError(errno.ENOENT, "there is no such bucket", path)
        return found[0]

    def _object(self, path: str) -> Entry:
        entry = self.info(path)
        if entry["type"] != "file":
            raise not_an_object(path)
        return entry


def not_an_object(path: str) -> OSError:
    return IsADirectoryError(errno.EISDIR, "it is a folder, and not an object", path)
