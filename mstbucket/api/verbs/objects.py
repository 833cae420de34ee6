"""The verbs of a bucket on objects: put, get, head and list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.core.s3rules.conditions import conditions
from mstbucket.core.s3rules.metadata import NO_OVERRIDES, STORAGE_CLASS, check_storage_class, overridden
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.listings import ObjectSummary, Page
from mstbucket.model.objects import EMPTY, Body, ObjectInfo, PutRequest, PutResult, Tags
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects import list as listing

if TYPE_CHECKING:
    from mstbucket.services.objects import put as putting
    from mstbucket.services.objects import read as reading
    from mstbucket.services.objects.read import Wanted
    from mstbucket.services.objects.reader import ObjectReader
else:
    putting = later("mstbucket.services.objects.put")
    reading = later("mstbucket.services.objects.read")
    Wanted = later("mstbucket.services.objects.read", "Wanted")


@verbs
class BucketObjects:
    """The verbs of a `Bucket` on objects: put, get, head and list."""

    _context: Context
    name: str

    # --- writing ---

    def put_object(
        self,
        key: str,
        body: Body,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        tags: Tags = EMPTY,
        if_match: str | None = None,
        if_none_match: str | None = None,
        content_md5: str | None = None,
        checksums: Mapping[str, str] = EMPTY,
        checksum_algorithm: str | None = None,
        storage_class: str = STORAGE_CLASS,
        object_lock_mode: str | None = None,
        object_lock_retain_until: datetime | None = None,
        object_lock_legal_hold: bool | None = None,
        checksums_behind: Callable[[], Mapping[str, str]] | None = None,
    ) -> PutResult:
        """Store an object under `key`, replacing what was there; durable and visible when this returns.

        Where versioning is enabled, what was there stays as a noncurrent version, and the result names the new one. A body
        that fails half way, or any error, leaves the key as it was. Repeating a put is harmless. The object is
        in the index at once, and in the tree with the next flush. Bodies are streamed: memory stays below 16 MiB.

        Args:
            key: 1 to 1024 bytes of UTF-8 without NUL, kept exactly; `a/../b`, `//` and line breaks are keys like any.
            body: bytes, a path object (a `str` is not taken for a path), or an object whose `read(n)` returns bytes.
            content_type: kept and returned; `binary/octet-stream` by default, as in S3.
            metadata: names and values together up to 2,048 bytes; names are kept in lower case.
            headers: any of cache-control, content-disposition, content-encoding, content-language, expires.
            tags: up to 10, as a map, as pairs, or as boto3's `[{"Key": …, "Value": …}]`; keys up to 128 characters,
                values up to 256.
            if_match: store only if the object there now has this ETag (or one of these, with commas between; quotes
                may be left out). `*` is any ETag. Decided in the commit: two writers cannot both be right.
            if_none_match: store only if there is no object with this ETag; `*`, if there is none at all.
            content_md5: the MD5 that the body has to have, base64.
            checksums: checksums that the body has to have: base64, by algorithm (`crc32`, `crc32c`, `crc64nvme`, `sha1`,
                `sha256`). They are kept, and returned by `head_object`.
            checksum_algorithm: one to compute and keep.
            storage_class: `STANDARD`; there is no other.
            object_lock_mode, object_lock_retain_until: a retention in place of the bucket's default: `GOVERNANCE` or
                `COMPLIANCE`, and an aware datetime in the future. Both or neither.
            object_lock_legal_hold: True puts the version under a legal hold.
            checksums_behind: gives further `checksums`, which come behind the body; called when that was read to its end.
                Each is of `checksum_algorithm`.

        Raises:
            BadDigest: the body is not the one that `content_md5` or `checksums` speak of; nothing was stored.
            InvalidDigest: one of those is not base64 of the right length.
            PreconditionFailed: the object there is not what the conditions ask for; nothing was stored.
            NoSuchKey: `if_match`, and there is no object.
            InvalidKey, KeyTooLong, MetadataTooLarge, InvalidTag, InvalidInput: an argument is outside these limits.
            EntityTooLarge: the body has more than 5 TiB: send it in parts.
            Conflict: the file that `body` names changed while it was read; nothing was stored. Repeat the call.
            BlocksMoved: what the store had was lost while a stream came that cannot be read again; nothing was stored.
            Unsupported: another storage class.
            InvalidRequest: a lock, and the bucket has no object lock.
            NoSuchBucket: the bucket has gone.
            StorageError: the disk or the database failed; nothing was stored. Repeat the call when it is repaired.
            OutcomeUnknown: the connection died during the commit. Read the key, or repeat the put.
        """
        check_storage_class(storage_class)
        request = PutRequest(
            key,
            body,
            content_type=content_type,
            metadata=metadata,
            headers=headers,
            tags=tags,
            if_match=if_match,
            if_none_match=if_none_match,
            content_md5=content_md5,
            checksums=checksums,
            checksum_algorithm=checksum_algorithm,
            object_lock_mode=object_lock_mode,
            object_lock_retain_until=object_lock_retain_until,
            object_lock_legal_hold=object_lock_legal_hold,
            checksums_behind=checksums_behind,
        )
        return putting.put_one(self._context, self.name, request)

    def put(self, request: PutRequest) -> PutResult:
        """Store the object that `request` describes: `put_object` with its arguments in one value.

        For programs that make requests in one place and send them in another, one at a time; `put_objects` takes many.

        Raises:
            What `put_object` raises.
        """
        return putting.put_one(self._context, self.name, request)

    def put_objects(
        self, requests: Iterable[PutRequest], *, stored: Callable[[PutResult], object] | None = None
    ) -> int:
        """Store many objects in batches and return how many; the fast way in (one commit per 4,000 objects or 64 MiB).

        Each batch becomes durable and visible as a whole. If a request fails, its batch is not stored and the error is
        raised; the batches before it stay, as `stored` was told. Of two requests for one key the later counts.

        Args:
            requests: read as they are needed, so that a generator over a million files takes no memory.
            stored: called with the result of every object, once it is durable.

        Raises:
            What `put_object` raises.
        """
        return putting.put_many(self._context, self.name, requests, stored)

    # --- reading ---

    def get_object(
        self,
        key: str,
        *,
        version_id: str | None = None,
        range: str | None = None,
        part_number: int | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        if_modified_since: datetime | None = None,
        if_unmodified_since: datetime | None = None,
        response_content_type: str | None = None,
        response_cache_control: str | None = None,
        response_content_disposition: str | None = None,
        response_content_encoding: str | None = None,
        response_content_language: str | None = None,
        response_expires: str | None = None,
    ) -> ObjectReader:
        """Return a reader of the object's bytes, or of a range of them; every chunk is verified before it is given.

        Args:
            key: the object.
            version_id: one version of it, current or not; "null" is the null version.
            range: `bytes=0-9`, `bytes=10-` or `bytes=-10`; several ranges give the whole object, as in S3.
            part_number: the part at this place, from 1, of an object that was uploaded in parts; any other has one.
            if_match: only if the object has this ETag, or one of these; quotes may be left out, `*` is any.
            if_none_match: only if it does not have this ETag: the one of the copy that the caller has.
            if_modified_since: only if it is newer; looked at without `if_none_match` only. Compared in whole
                seconds, as HTTP does. An aware datetime.
            if_unmodified_since: only if it is not newer; looked at without `if_match` only.
            response_content_type, response_cache_control, response_content_disposition, response_content_encoding,
                response_content_language, response_expires: taken for the kept ones in the `info` of this reader.

        Raises:
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such object, or its newest version is a delete marker.
            MethodNotAllowed: `version_id` is that of a delete marker.
            PreconditionFailed: `if_match` or `if_unmodified_since` says that it is another one.
            NotModified: `if_none_match` or `if_modified_since` says that the caller has it.
            InvalidRange: no byte of the object lies in the range.
            InvalidPartNumber: the object has fewer parts.
            CorruptionError: (also from the reader) a block is missing or damaged; the message names object and block.
        """
        expect = conditions(if_match, if_none_match, if_modified_since, if_unmodified_since)
        wanted = Wanted(key, version_id, range, part_number)
        reader = reading.open_object(self._context.db, self._context.blocks, self.name, wanted, expect)
        overrides = (
            response_content_type,
            response_cache_control,
            response_content_disposition,
            response_content_encoding,
            response_content_language,
            response_expires,
        )
        if overrides != NO_OVERRIDES:
            reader.info = overridden(reader.info, *overrides)
        return reader

    def head_object(
        self,
        key: str,
        *,
        version_id: str | None = None,
        part_number: int | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        if_modified_since: datetime | None = None,
        if_unmodified_since: datetime | None = None,
        response_content_type: str | None = None,
        response_cache_control: str | None = None,
        response_content_disposition: str | None = None,
        response_content_encoding: str | None = None,
        response_content_language: str | None = None,
        response_expires: str | None = None,
    ) -> ObjectInfo:
        """Return everything about the object but its bytes. Arguments and errors are those of `get_object`.

        It is the `info` of the reader that `get_object` gives for the same arguments. With `part_number`, `part_range`
        says where the part lies; size, ETag and checksums are the whole object's.
        """
        expect = conditions(if_match, if_none_match, if_modified_since, if_unmodified_since)
        return overridden(
            reading.head(self._context.db, self.name, Wanted(key, version_id, None, part_number), expect),
            response_content_type,
            response_cache_control,
            response_content_disposition,
            response_content_encoding,
            response_content_language,
            response_expires,
        )

    def list_objects(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        start_after: str | None = None,
        continuation_token: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> Page:
        """Return one page of the keys in UTF-8 byte order, and of the common prefixes if there is a delimiter.

        A key that is there during a whole listing is listed exactly once, whatever is written meanwhile.

        Args:
            prefix: only keys that start with it.
            delimiter: keys that hold it behind the prefix are rolled up into one common prefix, which ends with it.
            start_after: only keys above it; not looked at when there is a token.
            continuation_token: `next_continuation_token` of the page before.
            max_keys: 0 to 1000; more means 1000. Common prefixes count as keys.

        Raises:
            NoSuchBucket: the bucket has gone.
            InvalidToken: no listing gave out that token.
        """
        return listing.list_page(
            listing.rows_of(self._context.db, self.name),
            prefix=prefix,
            delimiter=delimiter,
            start_after=start_after,
            continuation_token=continuation_token,
            max_keys=max_keys,
        )

    list_objects_v2 = list_objects  # boto3's name of it

    def objects(self, prefix: str = "") -> Iterator[ObjectSummary]:
        """Iterate over all keys that start with `prefix`, in order, a page at a time.

        Raises:
            NoSuchBucket: the bucket has gone (also in the middle).
        """
        return listing.iterate(listing.rows_of(self._context.db, self.name), prefix)
