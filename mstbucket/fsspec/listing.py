"""What is in a folder, and what is below it: entries as fsspec has them, read from pages of keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mstbucket.api.bucket import Bucket
from mstbucket.api.view import BucketView
from mstbucket.errors import NotFound
from mstbucket.fsspec.paths import Place, folders_of
from mstbucket.model.buckets import BucketInfo
from mstbucket.model.listings import ObjectSummary
from mstbucket.model.objects import ObjectInfo

#: What is known of a file or a folder: `name`, `size` in bytes, `type`, and more.
Entry = dict[str, Any]
Source = Bucket | BucketView


def folder(path: str) -> Entry:
    """A folder, or a bucket."""
    return {"name": path, "size": 0, "type": "directory"}


def bucket_entry(info: BucketInfo) -> Entry:
    """A bucket of the store."""
    return {**folder(info.name), "created": info.created, "commit": info.commit}


def summary(place: Place, item: ObjectSummary) -> Entry:
    """An object of a listing."""
    return {
        "name": place.path(item.key),
        "size": item.size,
        "type": "file",
        "etag": item.etag,
        "mtime": item.last_modified,
    }


def description(place: Place, info: ObjectInfo) -> Entry:
    """One object: what a listing says of it, and what only its manifest says."""
    listed = summary(place, ObjectSummary(info.key, info.size, info.etag, info.last_modified))
    return {
        **listed,
        "cid": info.content,
        "manifest": info.manifest,
        "content_type": info.content_type,
        "metadata": dict(info.metadata),
        "version_id": info.version_id,
    }


def is_folder(source: Source, place: Place) -> bool:
    """Whether some key is in the folder. A bucket is always a folder."""
    if not place.key:
        return True
    page = source.list_objects(place.prefix, max_keys=1)
    return bool(page.contents)


def look(source: Source, place: Place) -> Entry:
    """The entry of one path. An object counts before the folder of the same name ([FS-6]).

    Raises:
        NotFound: there is neither.
    """
    if not place.key:
        source.list_objects(max_keys=1)  # the bucket may have gone
        return folder(str(place))
    try:
        return description(place, source.head_object(place.key))
    except NotFound:
        if is_folder(source, place):
            return folder(str(place))
        raise


def children(source: Source, place: Place) -> list[Entry]:
    """What is directly in a folder; if there is no such folder, the object of that name.

    Raises:
        NotFound: there is neither.
    """
    found, is_there = [], not place.key
    for prefix in _with_more_slashes(place.prefix):
        contents, prefixes = _page_through(source, prefix)
        is_there = is_there or bool(contents or prefixes)
        # [FS-7] a key that ends in a slash makes its folder exist, and is no file
        found += [summary(place, item) for item in contents if not item.key.endswith("/")]
        found += [folder(place.path(name[:-1])) for name in prefixes if name != f"{prefix}/"]
        if f"{prefix}/" not in prefixes:
            break
    if not is_there:
        return [description(place, source.head_object(place.key))]
    return sorted(found, key=lambda entry: str(entry["name"]))


def slashes_in(source: Source, place: Place) -> Iterator[str]:
    """What follows the folder's prefix in the keys that only make it exist: nothing, `/`, `//` and so on."""
    for prefix in _with_more_slashes(place.prefix):
        first = source.list_objects(prefix, max_keys=1).contents
        if not first:
            return
        if prefix and first[0].key == prefix:  # no key with this prefix comes before it
            yield prefix.removeprefix(place.prefix)


def _with_more_slashes(prefix: str) -> Iterator[str]:
    """The prefix, then with one more slash each time: a key behind several slashes in a row is in this folder ([FS-5])."""
    while True:
        yield prefix
        prefix += "/"


def _page_through(source: Source, prefix: str) -> tuple[list[ObjectSummary], list[str]]:
    contents: list[ObjectSummary] = []
    prefixes: list[str] = []
    token = None
    while True:
        page = source.list_objects(prefix, delimiter="/", continuation_token=token)
        contents += page.contents
        prefixes += page.common_prefixes
        token = page.next_continuation_token
        if token is None:
            return contents, prefixes


def everything(source: Source, place: Place, with_folders: bool) -> Iterator[Entry]:
    """All that is below a folder, at any depth, by one listing without a delimiter."""
    seen: set[str] = set()
    for item in source.objects(place.prefix):
        if with_folders:
            for name in folders_of(item.key, len(place.prefix)):
                if name not in seen:
                    seen.add(name)
                    yield folder(place.path(name))
        if not item.key.endswith("/"):
            yield summary(place, item)


def down_to(source: Source, place: Place, depth: int, with_folders: bool) -> Iterator[Entry]:
    """What is below a folder, at most so many levels deep; what is deeper is not read."""
    for entry in children(source, place):
        if entry["type"] != "directory":
            yield entry
            continue
        if with_folders:
            yield entry
        if depth > 1:
            inner = Place(place.bucket, place.commit, entry["name"].partition("/")[2])
            yield from down_to(source, inner, depth - 1, with_folders)
