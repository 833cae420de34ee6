"""What who knows boto3 looks for: objects from and to files, whether a bucket is there, and iterators that page alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mstbucket.api.arguments import verbs
from mstbucket.core.s3rules.conditions import UNCONDITIONAL
from mstbucket.files.whole import replacing, write_all
from mstbucket.index import buckets
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.buckets import BucketInfo
from mstbucket.model.listings import ObjectVersion
from mstbucket.model.objects import EMPTY, ObjectInfo, PutRequest, PutResult, Tags
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.model.uploads import Part, Upload
    from mstbucket.services.objects import list_versions as listing_versions
    from mstbucket.services.objects import put as putting
    from mstbucket.services.objects import read as reading
    from mstbucket.services.objects.list_versions import Asked
    from mstbucket.services.objects.reader import ObjectReader
    from mstbucket.services.uploads import uploads
else:
    listing_versions = later("mstbucket.services.objects.list_versions")
    putting = later("mstbucket.services.objects.put")
    reading = later("mstbucket.services.objects.read")
    Asked = later("mstbucket.services.objects.list_versions", "Asked")
    uploads = later("mstbucket.services.uploads.uploads")


@verbs
class BotoVerbs:
    """boto3's `Bucket` has the first five by the same names and in the same order of arguments."""

    _context: Context
    name: str

    def head_bucket(self) -> BucketInfo:
        """Return what `Store.list_buckets` says of this bucket.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return buckets.find(self._context.db, self.name)

    # --- files ---

    def upload_file(
        self,
        filename: str | os.PathLike[str],
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        tags: Tags = EMPTY,
    ) -> PutResult:
        """Store a file under `key`: `put_object` with the file as its body. No parts are needed, however large it is.

        Args:
            filename: of a file.
            key, content_type, metadata, headers, tags: as for `put_object`, which has more.

        Raises:
            StorageError: the file cannot be read.
            What `put_object` raises.
        """
        request = PutRequest(key, Path(filename), content_type, metadata, headers, tags)
        return putting.put_one(self._context, self.name, request)

    def upload_fileobj(
        self,
        fileobj: Readable,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        tags: Tags = EMPTY,
    ) -> PutResult:
        """Store what is left in an open file under `key`; as `upload_file`. The file stays open.

        Args:
            fileobj: an object whose `read(n)` returns bytes.
            key, content_type, metadata, headers, tags: as for `put_object`, which has more.

        Raises:
            What `put_object` raises.
        """
        return putting.put_one(self._context, self.name, PutRequest(key, fileobj, content_type, metadata, headers, tags))

    def download_file(
        self, key: str, filename: str | os.PathLike[str], *, version_id: str | None = None
    ) -> ObjectInfo:
        """Write an object to a file, which appears whole and durable or not at all, and replaces what was there.

        Args:
            key, version_id: as for `get_object`.
            filename: of the file.

        Raises:
            StorageError: the file cannot be written.
            What `get_object` raises, and its reader. The file is not made, and one that was there is left.
        """
        with self._open(key, version_id) as reader, replacing(Path(filename)) as file:
            for chunk in reader:
                write_all(file, chunk)
            return reader.info

    def download_fileobj(self, key: str, fileobj: BinaryIO, *, version_id: str | None = None) -> ObjectInfo:
        """Write an object to an open file, which stays open.

        Args:
            key, version_id: as for `get_object`.
            fileobj: open for writing bytes. After an error the verified bytes before the damage are in it.

        Raises:
            StorageError: the file cannot be written.
            What `get_object` raises, and its reader.
        """
        with self._open(key, version_id) as reader:
            for chunk in reader:
                write_all(fileobj, chunk)
            return reader.info

    def _open(self, key: str, version_id: str | None) -> ObjectReader:
        wanted = reading.Wanted(key, version_id)
        return reading.open_object(self._context.db, self._context.blocks, self.name, wanted, UNCONDITIONAL)

    # --- iterators ---

    def versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """Iterate over all versions and delete markers of the keys that start with `prefix`, a page at a time.

        Raises:
            NoSuchBucket: the bucket has gone (also in the middle).
        """
        after: tuple[str | None, str | None] = None, None
        while True:
            page = listing_versions.list_versions(self._context.db, self.name, Asked(prefix, None, *after, LIST_KEYS_MAX))
            yield from page.versions
            if not page.is_truncated:
                return
            after = page.next_key_marker, page.next_version_id_marker

    def uploads(self, prefix: str = "") -> Iterator[Upload]:
        """Iterate over all open uploads to keys that start with `prefix`, a page at a time.

        Raises:
            NoSuchBucket: the bucket has gone (also in the middle).
        """
        after: tuple[str | None, str | None] = None, None
        while True:
            page = uploads.list_uploads(
                self._context,
                self.name,
                prefix=prefix,
                delimiter=None,
                key_marker=after[0],
                upload_id_marker=after[1],
                max_uploads=LIST_KEYS_MAX,
            )
            yield from page.uploads
            if not page.is_truncated:
                return
            after = page.next_key_marker, page.next_upload_id_marker

    def parts(self, key: str, upload_id: str) -> Iterator[Part]:
        """Iterate over all parts of an open upload, by number, a page at a time.

        Raises:
            NoSuchUpload: there is no such upload that is open (also in the middle).
        """
        after: int | None = 0
        while after is not None:
            page = uploads.list_parts(self._context, self.name, key, upload_id, after, LIST_KEYS_MAX)
            yield from page.parts
            after = page.next_part_number_marker
