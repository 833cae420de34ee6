"""The half of the file system that reads the bytes of objects, in verbs of a store."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.utils import isfilelike

from mstbucket.errors import InvalidInput, NotFound
from mstbucket.files.paths import temporary_name
from mstbucket.fsspec import listing
from mstbucket.fsspec.failures import telling
from mstbucket.fsspec.looking import LookingFileSystem, not_an_object
from mstbucket.fsspec.paths import strip
from mstbucket.fsspec.reading import read_slice
from mstbucket.limits import FSSPEC_RANGES_AT_ONCE


class ReadableFileSystem(LookingFileSystem):
    """What can be done with a file system that changes nothing; `MstBucketFileSystem` adds the rest."""

    def get_file(
        self, rpath: str, lpath: Any, callback: Callback = DEFAULT_CALLBACK, outfile: Any = None, **options: Any
    ) -> None:
        """Copy an object to a file. The file appears whole or not at all; until then an older one stays ([FS-21])."""
        if outfile is not None or isfilelike(lpath) or self.isdir(rpath):
            super().get_file(rpath, lpath, callback, outfile, **options)
            return
        target = Path(os.path.realpath(lpath))
        if target.exists() and not target.is_file():  # a pipe or a device; a folder is refused by the system
            super().get_file(rpath, lpath, callback, **options)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(temporary_name().decode())
        try:
            with beside.open("xb") as file:
                super().get_file(rpath, file, callback, **options)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The bytes of an object, or a slice of them, each checked against its hash."""
        with telling(path):
            source, place = self._source(path)
            if not place.key:
                raise not_an_object(path)
            try:
                return read_slice(source, place.key, start, end)
            except NotFound:
                if listing.is_folder(source, place):
                    raise not_an_object(path) from None
                raise

    def read_again(self, path: str, start: int, end: int, etag: str) -> bytes:
        """Bytes of an object that was opened.

        Raises:
            OSError: it was overwritten since: open it again ([FS-10]).
        """
        try:
            with telling(path):
                source, place = self._source(path)
                return read_slice(source, place.key, start, end, etag)
        except FileExistsError as error:
            raise OSError(errno.ESTALE, "the object was overwritten since it was opened: open it again", path) from error

    def cat(self, path: str | list[str], recursive: bool = False, on_error: str = "raise", **_: Any) -> Any:
        """The bytes of an object. For several, or with `recursive` for all in folders, a dict of bytes by path.

        Args:
            path: one or several, also patterns.
            recursive: read what is in folders.
            on_error: `raise`, `omit`, or `return` the error in place of the bytes.
        """
        paths = self.expand_path(path)
        if recursive:
            paths = sorted({below for root in paths for below in self.find(root)})
        if not isinstance(path, list) and paths == [strip(path)]:
            return self.cat_file(paths[0])
        got = self.cat_ranges(paths, None, None, on_error="raise" if on_error == "raise" else "return")
        both = zip(paths, got, strict=True)
        return {one: value for one, value in both if on_error != "omit" or not isinstance(value, Exception)}

    def cat_ranges(
        self,
        paths: list[str],
        starts: int | list[int | None] | None,
        ends: int | list[int | None] | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Slices of objects, in the order of *paths*, several read at once ([FS-9])."""
        if max_gap is not None:
            raise NotImplementedError("max_gap: ranges are not merged")
        if not isinstance(paths, list):
            raise TypeError("paths has to be a list")
        first = starts if isinstance(starts, list) else [starts] * len(paths)
        last = ends if isinstance(ends, list) else [ends] * len(paths)
        if len(first) != len(paths) or len(last) != len(paths):
            raise InvalidInput(f"there are {len(paths)} paths, {len(first)} starts and {len(last)} ends")

        def read(path: str, start: int | None, end: int | None) -> bytes | Exception:
            try:
                return self.cat_file(path, start, end)
            except Exception as error:
                if on_error == "return":
                    return error
                raise

        with ThreadPoolExecutor(FSSPEC_RANGES_AT_ONCE) as threads:
            return list(threads.map(read, paths, first, last))
