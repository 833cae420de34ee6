"""The verbs of multipart uploads, which `Bucket` inherits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.core.s3rules.conditions import expected
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.objects import EMPTY, Body, PutRequest, PutResult, Tags
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.arguments.shapes import named_parts
    from mstbucket.core.s3rules.part_checksums import upload_checksum
    from mstbucket.model.uploads import Part, PartNames, PartsPage, Upload, UploadsPage
    from mstbucket.services.objects.read import Source
    from mstbucket.services.uploads import complete as completing
    from mstbucket.services.uploads import parts as uploading
    from mstbucket.services.uploads import uploads
else:
    named_parts = later("mstbucket.api.arguments.shapes", "named_parts")
    upload_checksum = later("mstbucket.core.s3rules.part_checksums", "upload_checksum")
    Source = later("mstbucket.services.objects.read", "Source")
    completing = later("mstbucket.services.uploads.complete")
    uploading = later("mstbucket.services.uploads.parts")
    uploads = later("mstbucket.services.uploads.uploads")


@verbs
class MultipartUploads:
    """A large object in parts: any order, any number of threads, processes and days, each part repeatable by itself.

    The object that results has the CID of the same bytes put in one go. Nothing of an upload is visible as an object,
    in the tree or in an export before it is completed; open uploads are in the database and the store's packs only.
    """

    _context: Context
    name: str

    def create_multipart_upload(
        self,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        tags: Tags = EMPTY,
        checksum_algorithm: str | None = None,
        checksum_type: str | None = None,
        object_lock_mode: str | None = None,
        object_lock_retain_until: datetime | None = None,
        object_lock_legal_hold: bool | None = None,
    ) -> Upload:
        """Begin an upload to `key`, durably, and return it; the object there stays until the upload is completed.

        A key may have many open uploads. The arguments are those of `put_object`; the object will have them.

        Args:
            key, content_type, metadata, headers, tags: as for `put_object`.
            object_lock_mode, object_lock_retain_until, object_lock_legal_hold: as for `put_object`.
            checksum_algorithm: one that every part and the object will have. It is computed of parts that come without.
            checksum_type: `COMPOSITE`, the checksum of the parts' checksums (`crc32`, `crc32c`, `sha1`, `sha256`; the
                default of these), or `FULL_OBJECT`, that of all bytes (`crc32`, `crc32c`, `crc64nvme`).

        Raises:
            InvalidKey, KeyTooLong, MetadataTooLarge, InvalidTag, InvalidInput: an argument is outside its limits.
            InvalidRequest: the algorithm has no checksum of that type; a lock, and the bucket has no object lock.
            NoSuchBucket: the bucket has gone.
        """
        request = PutRequest(
            key, b"", content_type, metadata, headers, tags,
            object_lock_mode=object_lock_mode,
            object_lock_retain_until=object_lock_retain_until,
            object_lock_legal_hold=object_lock_legal_hold,
        )  # fmt: skip
        return uploads.create(self._context, self.name, request, upload_checksum(checksum_algorithm, checksum_type))

    def upload_part(
        self,
        key: str,
        upload_id: str,
        part_number: int,
        body: Body,
        *,
        content_md5: str | None = None,
        checksums: Mapping[str, str] = EMPTY,
        checksum_algorithm: str | None = None,
        checksums_behind: Callable[[], Mapping[str, str]] | None = None,
    ) -> Part:
        """Store one part, replacing the one of that number; durable when this returns.

        Parts may come in any order and from anywhere at once. A part that fails leaves the one before as it was.

        Args:
            key, upload_id: of the upload.
            part_number: 1 to 10,000; the object has the parts in order of their numbers, which may have gaps.
            body: as for `put_object`; up to 5 GiB. Less than 5 MiB is taken, but completes as the last part only.
            content_md5, checksums, checksum_algorithm: of the part, as for `put_object`; of an upload that was begun with
                an algorithm, by that one only. Those kept are in the result and in `list_parts`.
            checksums_behind: as for `put_object`.

        Raises:
            BadDigest: the body is not the one that `content_md5` or `checksums` speak of; nothing was stored.
            InvalidDigest: one of those is not base64 of the right length.
            InvalidRequest: a checksum by another algorithm than the upload's.
            NoSuchUpload: there is no such upload that is open; also when it ended while the part was on its way.
            EntityTooLarge: the part has more than 5 GiB.
            InvalidInput: the number or the body is none.
            StorageError: the disk or the database failed; nothing was stored. Repeat the part.
        """
        target = uploading.Target(self.name, key, upload_id, part_number)
        return uploading.upload_part(
            self._context, target, body, content_md5, checksums, checksum_algorithm, checksums_behind
        )

    def upload_part_copy(
        self,
        key: str,
        upload_id: str,
        part_number: int,
        source_key: str,
        *,
        source_bucket: str | None = None,
        source_version_id: str | None = None,
        range: str | None = None,
    ) -> Part:
        """Store bytes of an object of this store as a part; as `upload_part` in everything else.

        The bytes are read, for the part's ETag. Chunks that the store has are not written again, which is all of them
        where the range starts at a multiple of 1 MiB.

        Args:
            key, upload_id, part_number: where to.
            source_key, source_bucket: the object; by default of this bucket.
            source_version_id: one version of it.
            range: `bytes=FIRST-LAST`, both inside the object; all of it by default.

        Raises:
            NoSuchUpload, NoSuchKey, NoSuchBucket: the upload or the source does not exist.
            InvalidRange: the range ends outside the source.
            InvalidRequest: `source_version_id` is that of a delete marker.
            EntityTooLarge: more than 5 GiB; copy a range.
            CorruptionError: a block of the source is missing or damaged.
        """
        source = Source(self.name if source_bucket is None else source_bucket, source_key, source_version_id)
        target = uploading.Target(self.name, key, upload_id, part_number)
        return uploading.copy_part(self._context, target, source, range)

    def list_parts(
        self, key: str, upload_id: str, *, part_number_marker: int = 0, max_parts: int = LIST_KEYS_MAX
    ) -> PartsPage:
        """Return one page of an open upload's parts, by number.

        Args:
            key, upload_id: of the upload.
            part_number_marker: only parts above this number; `next_part_number_marker` of the page before.
            max_parts: 0 to 1000; more means 1000.

        Raises:
            NoSuchUpload: there is no such upload that is open.
        """
        return uploads.list_parts(self._context, self.name, key, upload_id, part_number_marker, max_parts)

    def list_multipart_uploads(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        key_marker: str | None = None,
        upload_id_marker: str | None = None,
        max_uploads: int = LIST_KEYS_MAX,
    ) -> UploadsPage:
        """Return one page of the open uploads, by key in UTF-8 byte order; those of one key as they were initiated.

        Args:
            prefix: only keys that start with it.
            delimiter: keys that hold it behind the prefix are rolled up into one common prefix, which ends with it.
            key_marker: only keys above it, and of this key the uploads above `upload_id_marker`, where that is given.
                Both come from the page before.
            upload_id_marker: not looked at without `key_marker`.
            max_uploads: 0 to 1000; more means 1000. Common prefixes count as uploads.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return uploads.list_uploads(
            self._context,
            self.name,
            prefix=prefix,
            delimiter=delimiter,
            key_marker=key_marker,
            upload_id_marker=upload_id_marker,
            max_uploads=max_uploads,
        )

    def complete_multipart_upload(
        self,
        key: str,
        upload_id: str,
        parts: PartNames,
        *,
        checksums: Mapping[str, str] = EMPTY,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> PutResult:
        """Make the object of the parts named, and end the upload; durable and visible when this returns.

        The ETag is the MD5 of the parts' MD5s, `-`, and their number. No byte is moved where the parts are multiples of
        1 MiB; otherwise bytes are read and cut anew from the first boundary that is not. Parts that are not named are
        dropped. Repeated with the same list within 7 days it returns the same answer, whatever became of the object.

        Args:
            key, upload_id: of the upload.
            parts: (number, ETag) of each part, numbers ascending; the ETag with or without quotes. A third item, the
                part's checksums by algorithm, is compared too. The `Part`s themselves are taken as well, and boto3's
                `{"PartNumber": …, "ETag": …}`, also as `{"Parts": […]}`.
            checksums: what the object's checksum has to be, by the upload's algorithm; `-N` may be left out.
            if_match, if_none_match: what must be under `key`, as for `put_object`. Not looked at by a repetition.

        Raises:
            PreconditionFailed, NoSuchKey: what is under `key` is not what the conditions ask for.
            BadDigest: the parts do not give the checksum in `checksums`.
            InvalidRequest: a checksum by an algorithm that the upload was not begun with.
            NoSuchUpload: there is no such upload; or it was completed with other parts.
            InvalidPart: a part was not uploaded, or has another ETag or checksum.
            InvalidPartOrder: the numbers do not ascend.
            EntityTooSmall: a part but the last has less than 5 MiB.
            EntityTooLarge: all parts together have more than 48.8 TiB; or more than 5 TiB of them would have to be cut
                anew, since parts are no multiples of 1 MiB.
            CorruptionError: a part's bytes are missing or damaged, and it was noticed: upload the part again.
            Conflict: a part was uploaded again and again meanwhile (`ConditionalRequestConflict`, where there is a
                condition). Repeat the call when the uploads have ended. After every error the upload is open as before.
        """
        expectation = expected(if_match, if_none_match)
        return completing.complete(
            self._context, self.name, key, upload_id, named_parts(parts), checksums, expectation
        )

    def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        """End an upload and drop its parts, durably. Of an abort and a completion at once exactly one succeeds.

        Raises:
            NoSuchUpload: there is no such upload that is open.
        """
        uploads.abort(self._context, self.name, key, upload_id)
