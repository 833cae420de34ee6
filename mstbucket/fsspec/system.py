"""The file system: what fsspec asks for, in verbs of a store."""

from __future__ import annotations

import errno
import os
from io import UnsupportedOperation
from pathlib import Path
from typing import Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.compression import compr
from fsspec.core import get_compression

from mstbucket.api.bucket import Bucket
from mstbucket.errors import BucketAlreadyExists, InvalidInput, InvalidRequest, NoSuchKey, PreconditionFailed
from mstbucket.files.watched import Watched
from mstbucket.fsspec import listing
from mstbucket.fsspec.failures import telling
from mstbucket.fsspec.fetching import ReadableFileSystem
from mstbucket.fsspec.files import ANY, PackedFile, ReadFile, WrittenFile
from mstbucket.fsspec.paths import Place, place_of, require_key, require_present, strip
from mstbucket.fsspec.removing import delete_all, keys_of_tree
from mstbucket.sync.single import copy_object

_MODES: Final = ("rb", "wb", "xb")


class MstBucketFileSystem(ReadableFileSystem):
    """A store as a file system: `bucket/key`, and `bucket@COMMIT/key` for what a commit holds, which can only be read.

    Buckets are the folders at the top. Below them a folder is there as long as a key is in it. Nothing is cached but what
    the name of a commit means: listings and reads show what there is, whoever wrote it. Thread-safe but for transactions.

    Args:
        store: the directory of a store, or an open `Store`, which stays the caller's to close. By default it is
            where the command line looks: MSTBUCKET_STORE, MSTBUCKET_DATABASE with MSTBUCKET_BLOBS, the config file. It is
            opened at the first use, for all file systems of the process; `close_stores` closes it.
        options: those of every file system of fsspec, such as `skip_instance_cache`.

    Raises:
        InvalidInput: `store` is neither, or the environment contradicts itself.
    """

    # --- writing ---

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """Open an object: to read it, to write it whole (`w`), or to write one that is not there yet (`x`).

        Args:
            path: the object.
            mode: `r`, `w` or `x`, with `b` for bytes, else for text.
            block_size: bytes to read at once, or to hold while writing.
            cache_options, options: of fsspec, such as `cache_type`; for text `encoding`, `errors` and `newline`.
            compression: of the stored bytes: a name that fsspec knows, or `infer` for what the path's ending says.

        Raises:
            FileNotFoundError: there is no such object to read; no such bucket to write to.
            FileExistsError: `x`, and there is one. If one comes meanwhile, `close` raises it.
            IsADirectoryError: it is a folder or a bucket.
            io.UnsupportedOperation: another mode.
            OSError: `bucket@COMMIT` can only be read (EROFS).
        """
        codec = get_compression(path, compression)
        if codec is None or "b" not in mode or "r" in mode:
            return super().open(path, mode, block_size, cache_options, codec, **options)
        file = super().open(path, mode, block_size, cache_options, None, **options)
        return PackedFile(compr[codec](file, mode="w"), file)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        cache_type: str = "readahead",
        size: int | None = None,
    ) -> ReadFile | WrittenFile:
        if mode not in _MODES:
            raise UnsupportedOperation(f"mode {mode!r} of {path!r}: an object is read, or written as a whole, by r, w or x; "
                                       "to append, read the object and write all of it")  # fmt: skip
        if mode == "rb":
            entry = self._object(path)
            file = ReadFile(self, path, "rb", block_size or "default", True, cache_type, cache_options, entry["size"])
            file.details = entry
            return file
        with telling(path):
            bucket, place = self._target(path)
            if mode == "xb" and self.isfile(path):
                raise FileExistsError(errno.EEXIST, "there is an object of that name", path)
            return WrittenFile(self, place, bucket, block_size, mode == "xb", autocommit)

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        """Make an object of bytes; durable when this returns, unless a transaction is open.

        Args:
            path: where to.
            value: the bytes.
            mode: `create` for an object that must not be there yet. The database decides: of several writers one wins.
        """
        if self._intrans:
            with self.open(path, _mode_of(mode)) as file:
                file.write(value)
            return
        with telling(path):
            bucket, place = self._target(path)
            bucket.put_object(place.key, value, if_none_match=_condition_of(mode))

    def put_file(
        self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, mode: str = "overwrite", **_: Any
    ) -> None:
        """Make an object of a file. A directory makes nothing: folders are there by what is in them."""
        if os.path.isdir(lpath):
            return
        size = os.stat(lpath).st_size
        callback.set_size(size)
        if self._intrans:
            with telling(rpath), Path(lpath).open("rb") as source, self.open(rpath, _mode_of(mode)) as target:
                for data in Watched(source, lpath):  # [FS-14]
                    target.write(data)
        else:
            with telling(rpath):
                bucket, place = self._target(rpath)
                bucket.put_object(place.key, Path(lpath), if_none_match=_condition_of(mode))
        callback.relative_update(size)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a bucket. In a bucket nothing is made: a folder is there when something is in it ([FS-7])."""
        place = place_of(path)
        require_present(place)
        if not place.bucket:
            raise FileExistsError(errno.EEXIST, "it is the root, which holds the buckets", path)
        with telling(path):
            if place.key and not create_parents:
                self._opened.store.bucket(place.bucket)
                return
            try:
                self._opened.store.create_bucket(place.bucket)
            except BucketAlreadyExists:
                if not place.key:
                    raise

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """As `mkdir`."""
        try:
            self.mkdir(path)
        except FileExistsError:
            if not exist_ok:
                raise

    # --- copying and moving ---

    def cp_file(
        self, path1: str, path2: str, copied: list[Place] | None = None, with_folder: bool = False, **_: Any
    ) -> None:
        """Copy an object, also out of a commit; no byte of it is written again.

        Args:
            path1, path2: from where, and where to.
            copied: gets the keys that were copied.
            with_folder: also copy the keys that make the folder of that name exist ([FS-7]).
        """
        with telling(path1):
            source, place = self._source(path1)
            target = place_of(path2)
            require_present(target)
            bucket = self._opened.bucket(target.bucket)

            def copy(old: str, new: str) -> None:
                try:
                    bucket.copy_object(old, new, source_bucket=source)
                except InvalidRequest:  # it may be too large for one copy: too seldom to ask for its size first
                    try:
                        copy_object(source, old, bucket, new, source.head_object(old).size)
                    except PreconditionFailed as error:
                        raise OSError(errno.ESTALE, str(error), path1) from error
                if copied is not None:
                    copied.append(Place(place.bucket, place.commit, old))

            if place.key and target.key:
                try:
                    copy(place.key, target.key)
                except NoSuchKey:
                    if not listing.is_folder(source, place):
                        raise
            elif not listing.is_folder(source, place):
                require_key(path2)
            if with_folder:
                for slashes in listing.slashes_in(source, place):
                    copy(place.prefix + slashes, target.prefix + slashes)

    def copy(self, path1: Any, path2: Any, recursive: bool = False, **options: Any) -> None:
        """Copy objects, or with `recursive` folders; not into themselves."""
        for path in path2 if isinstance(path2, list) else [path2]:
            require_present(place_of(path))  # [FS-2] before anything is copied
        if recursive and isinstance(path1, str) and isinstance(path2, str):
            source, target = strip(path1), strip(path2)
            if source and f"{target}/".startswith(f"{source}/") and target != source:
                raise InvalidInput(f"{source!r} cannot be copied into itself, to {target!r}")
        super().copy(path1=path1, path2=path2, recursive=recursive, with_folder=recursive, **options)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **_: Any) -> None:
        """Copy, and then remove exactly what was copied ([FS-15])."""
        several = isinstance(path1, list)
        for path in path1 if several else [path1]:
            require_present(place_of(path))
        if not several and isinstance(path2, str) and strip(path1) == strip(path2):
            return
        copied: list[Place] = []
        self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise", copied=copied)
        if not copied:
            raise IsADirectoryError(errno.EISDIR, "there is no object to move: recursive=True moves folders", str(path1))
        self._delete(copied)

    # --- removing ---

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove objects, or with `recursive` folders, and buckets with all that is in them; 1,000 keys at a time.

        Raises:
            FileNotFoundError: one of the paths is not there; nothing was removed.
            IsADirectoryError: one is a folder, and it is not `recursive`; nothing was removed.
            PermissionError: locks protect some objects; all others are gone.
        """
        if recursive and maxdepth is None:
            roots = self.expand_path(path)
            for root in roots:  # [FS-16] all are looked at before one is removed
                require_present(place_of(root))
                if not root:
                    raise InvalidInput("the root holds all buckets: name those that are to be removed")
                self.info(root)
            for root in roots:
                self._remove_tree(place_of(root))
            return
        paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        entries = {one: self.info(one) for one in paths}
        folders = [one for one, entry in entries.items() if entry["type"] == "directory"]
        if folders and not recursive:
            raise IsADirectoryError(errno.EISDIR, "it is a folder: recursive=True removes it", folders[0])
        self._delete([place_of(one) for one in paths if one not in folders])

    def _remove_tree(self, place: Place) -> None:
        with telling(str(place)):
            bucket = self._opened.bucket(place.bucket)
            delete_all(bucket, keys_of_tree(bucket, place))
            if not place.key:
                self._opened.store.delete_bucket(place.bucket)

    def _delete(self, places: list[Place]) -> None:
        by_bucket: dict[str, list[str]] = {}
        for place in places:
            require_present(place)
            by_bucket.setdefault(place.bucket, []).append(place.key)
        for name, keys in by_bucket.items():
            with telling(name):
                delete_all(self._opened.bucket(name), keys)

    def rm_file(self, path: str) -> None:
        """Remove one object."""
        with telling(path):
            bucket, place = self._target(path)
            if not bucket.delete_object(place.key).existed:
                self._object(path)  # raises, and says what is not there

    def _rm(self, path: str) -> None:
        self.rm_file(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty bucket, or the key that makes an empty folder exist."""
        place = place_of(path)
        require_present(place)
        with telling(path):
            if not place.key:
                self._opened.store.delete_bucket(place.bucket)
                return
            bucket: Bucket = self._opened.bucket(place.bucket)
            page = bucket.list_objects(place.prefix, max_keys=2)
            if [item.key for item in page.contents] == [place.prefix]:
                bucket.delete_object(place.prefix)
            elif page.contents:
                raise OSError(errno.ENOTEMPTY, "the folder is not empty", path)
            else:
                bucket.head_object(place.key)
                raise NotADirectoryError(errno.ENOTDIR, "it is an object, and not a folder", path)


def _mode_of(mode: str) -> str:
    return "xb" if mode == "create" else "wb"


def _condition_of(mode: str) -> str | None:
    return ANY if mode == "create" else None
