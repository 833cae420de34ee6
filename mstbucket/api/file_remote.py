"""A plain folder, or a prefix on an S3-compatible service, of exported files, to push to and to pull from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.later import later

if TYPE_CHECKING:
    from mstbucket.model.shared_files import SharedFiles
    from mstbucket.services.remotes import file_places as places
else:
    places = later("mstbucket.services.remotes.file_places")


@verbs
class FileRemote:
    """Files that are no store and need none: exports and deltas, and for each bucket a head that says which give its newest
    commit.

        nightly = mstbucket.FileRemote("/mnt/backup")
        bucket.push(nightly)
        other_store.pull(nightly.bucket("photos"))

    Anybody checks them by `sha256sum -c head`, and restores them by `mstbucket.join_cars` and `Store.import_car`. Several
    stores may push to one place, also at once. Files stay until somebody removes them.

    Args:
        place: a directory, which has to be there when it is used; or `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`.
            `files:///DIRECTORY` is the same as the directory.

    Raises:
        InvalidInput: it is no such place, holds credentials, or is the directory of a store.
        Unsupported: it is on a service, and boto3 is not installed.
    """

    place: str
    _files: SharedFiles

    def __init__(self, place: str | os.PathLike[str]) -> None:
        text = os.fspath(place)
        self.place = places.check_files_place(text) if places.is_files(text) else places.folder_place(text)
        self._files = places.open_files(self.place)

    def __repr__(self) -> str:
        return f"FileRemote({self.place!r})"

    def bucket(self, name: str) -> FileBucket:
        """Return the files of a bucket, for `Store.pull` and `Store.fetch`. Nothing is read.

        A bucket that is in the store already is found by its identity, another one by the name that it was pushed with.
        """
        return FileBucket(self, name)


class FileBucket:
    """The files of one bucket at a `FileRemote`, whose `bucket` gives it."""

    def __init__(self, remote: FileRemote, name: str) -> None:
        self.remote = remote
        self.name = name
