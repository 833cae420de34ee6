"""The verbs of a bucket on copies, tags and attributes, its listing with markers, and what is not offered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from mstbucket.api.arguments import verbs
from mstbucket.api.arguments.plain import bucket_name, wrong
from mstbucket.api.view import BucketView
from mstbucket.core.s3rules.conditions import conditions, expected
from mstbucket.core.s3rules.metadata import STORAGE_CLASS, check_storage_class
from mstbucket.errors import Unsupported
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.listings import MarkerPage
from mstbucket.model.objects import EMPTY, ObjectAttributes, PutRequest, PutResult, Tags
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects import list as listing

if TYPE_CHECKING:
    from mstbucket.services.objects import copy as copying
    from mstbucket.services.objects import tags as attributes
    from mstbucket.services.objects.copy import Directives
    from mstbucket.services.objects.read import Source
    from mstbucket.services.past import copy as copy_of_past
    from mstbucket.services.uploads import copy_between_stores
else:
    copying = later("mstbucket.services.objects.copy")
    attributes = later("mstbucket.services.objects.tags")
    Directives = later("mstbucket.services.objects.copy", "Directives")
    Source = later("mstbucket.services.objects.read", "Source")
    copy_of_past = later("mstbucket.services.past.copy")
    copy_between_stores = later("mstbucket.services.uploads.copy_between_stores")


@verbs
class BucketAttributes:
    """The verbs of a `Bucket` on copies, tags and attributes."""

    _context: Context
    name: str

    # --- copies and markers ---

    def copy_object(
        self,
        source_key: str,
        key: str,
        *,
        source_bucket: str | BucketAttributes | BucketView | None = None,
        source_version_id: str | None = None,
        metadata_directive: str = "COPY",
        tagging_directive: str = "COPY",
        content_type: str | None = None,
        metadata: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        tags: Tags = EMPTY,
        storage_class: str = STORAGE_CLASS,
        if_match: str | None = None,
        if_none_match: str | None = None,
        copy_source_if_match: str | None = None,
        copy_source_if_none_match: str | None = None,
        copy_source_if_modified_since: datetime | None = None,
        copy_source_if_unmodified_since: datetime | None = None,
        object_lock_mode: str | None = None,
        object_lock_retain_until: datetime | None = None,
        object_lock_legal_hold: bool | None = None,
    ) -> PutResult:
        """Store the body of another object under `key`; within a store without moving a byte. Durable when this returns.

        Body, ETag, checksums and part sizes are the source's; `last_modified` is the present. From another store the body
        is read, verified and written, in parts of the same sizes where it came in parts; a source that is overwritten
        meanwhile is `PreconditionFailed`.

        Args:
            source_key: the object to copy.
            key: where to.
            source_bucket: name of its bucket, by default this one; or a `Bucket`, also of another store; or a `BucketView`
                of this store: then the object is the one of that commit.
            source_version_id: one version of it. Copied onto its own key it becomes the current one again.
            metadata_directive: `COPY` takes content type, metadata and headers from the source, all of them; `REPLACE`
                takes them from here, and drops the source's.
            tagging_directive: the same for the tags.
            content_type, metadata, headers, tags: as in `put_object`; only with the directive that asks for them.
            storage_class: `STANDARD`.
            if_match, if_none_match: what must be under `key`, as for `put_object`.
            copy_source_if_match, copy_source_if_none_match, copy_source_if_modified_since,
                copy_source_if_unmodified_since: what the source must be, as for `get_object`.
            object_lock_mode, object_lock_retain_until, object_lock_legal_hold: as in `put_object`; a lock of the source
                is not copied.

        Raises:
            NoSuchKey, NoSuchBucket: the source does not exist, or there is nothing for `if_match` to match.
            PreconditionFailed: the source or what is under `key` is not what the conditions ask for.
            CorruptionError: a block of the source is missing or damaged: from another store always, within a store if
                somebody has met the damage before. Nothing was stored.
            InvalidRequest: onto itself without `metadata_directive="REPLACE"`, the version of a delete marker, or more than
                5 GiB: copy it in parts.
            InvalidInput: a directive that there is not, or something given that the directive does not look at.
            MetadataTooLarge, InvalidTag, InvalidKey, KeyTooLong: as in `put_object`.
            Unsupported: another storage class, or a view of another store.
        """
        check_storage_class(storage_class)
        request = PutRequest(
            key, b"", content_type, metadata, headers, tags, if_match, if_none_match,
            object_lock_mode=object_lock_mode,
            object_lock_retain_until=object_lock_retain_until,
            object_lock_legal_hold=object_lock_legal_hold,
        )  # fmt: skip
        wanted = conditions(
            copy_source_if_match,
            copy_source_if_none_match,
            copy_source_if_modified_since,
            copy_source_if_unmodified_since,
        )
        directives = Directives(metadata_directive, tagging_directive)
        expectation = expected(if_match, if_none_match)
        if isinstance(source_bucket, BucketView):
            place = Source(source_bucket.name, source_key, source_version_id)
            past = source_bucket._view
            return copy_of_past.copy(past, place, self._context, self.name, request, directives, wanted, expectation)
        there, name = self._place_of(source_bucket)
        source = Source(name, source_key, source_version_id)
        if there._context is not self._context:
            return copy_between_stores.copy(there._context, source, self._context, self.name, request, *directives, wanted)
        return copying.copy(self._context, source, self.name, request, directives, wanted, expectation)

    def _place_of(self, bucket: str | BucketAttributes | None) -> tuple[BucketAttributes, str]:
        """A bucket in whose store the source of a copy is, and the name of the source's bucket."""
        if bucket is None or isinstance(bucket, BucketAttributes):
            there = self if bucket is None else bucket
            return there, there.name
        if not isinstance(bucket, str):
            raise wrong("source_bucket", bucket, "the name of a bucket of this store, or a Bucket")
        return self, bucket_name("source_bucket", bucket)

    def list_objects_v1(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        marker: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> MarkerPage:
        """Return one page as S3's first form of the listing does, with a marker in place of a token.

        Args:
            prefix, delimiter, max_keys: as in `list_objects`.
            marker: only keys and common prefixes above it; any text, commonly the `next_marker` of the page before.

        Raises:
            NoSuchBucket: the bucket has gone.
            InvalidInput: a text that no key can hold, or a negative `max_keys`.
        """
        rows = listing.rows_of(self._context.db, self.name)
        return listing.list_marked(rows, prefix, delimiter, marker, max_keys)

    # --- objects ---

    def get_object_tagging(self, key: str, *, version_id: str | None = None) -> dict[str, str]:
        """Return the object's tags; an object without tags has an empty set.

        Raises:
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such object.
            MethodNotAllowed: that version is a delete marker.
        """
        return attributes.object_tags(self._context.db, self.name, key, version_id)

    def put_object_tagging(self, key: str, tags: Tags, *, version_id: str | None = None) -> None:
        """Replace all tags of the object, durably; repeating it is harmless.

        The body, the ETag and `last_modified` stay as they are. The manifest's CID changes, since the tags are in it,
        and the next flush folds it. Of two calls at once the later counts as a whole; a put or copy to the key that
        comes after this one replaces the tags with its own.

        Args:
            key: the object.
            tags: up to 10, as a map, as pairs, or as boto3's `[{"Key": …, "Value": …}]`; keys of 1 to 128 characters,
                values up to 256.

        Raises:
            InvalidTag: the set is outside these limits, or names a key twice.
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such object.
            MethodNotAllowed: that version is a delete marker.
        """
        attributes.tag_object(self._context.db, self.name, key, version_id, tags)

    def delete_object_tagging(self, key: str, *, version_id: str | None = None) -> None:
        """Remove all tags of the object, durably; no error where it has none.

        Raises:
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such object.
            MethodNotAllowed: that version is a delete marker.
        """
        attributes.tag_object(self._context.db, self.name, key, version_id, {})

    def get_object_attributes(self, key: str, *, version_id: str | None = None) -> ObjectAttributes:
        """Return the object's ETag, size, checksums, part sizes and storage class.

        Raises:
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such object.
            MethodNotAllowed: that version is a delete marker.
        """
        return attributes.attributes(self._context.db, self.name, key, version_id)

    # --- the bucket ---

    def get_bucket_tagging(self) -> dict[str, str]:
        """Return the bucket's tags.

        Raises:
            NoSuchTagSet: it has none, as S3 answers.
            NoSuchBucket: the bucket has gone.
        """
        return attributes.bucket_tags(self._context.db, self.name)

    def put_bucket_tagging(self, tags: Tags) -> None:
        """Replace all tags of the bucket, durably; an empty set removes them. Repeating it is harmless.

        The tags are part of the commit: the next flush makes a new one, also when no object has changed. They travel
        with an export, and an import restores them.

        Args:
            tags: up to 50, as a map or as pairs; keys of 1 to 128 characters, values up to 256, and all of them
                together up to 60 KiB of UTF-8, which only sets in scripts outside ASCII can reach.

        Raises:
            InvalidTag: the set is outside these limits, or names a key twice.
            NoSuchBucket: the bucket has gone.
        """
        attributes.tag_bucket(self._context.db, self.name, tags)

    def delete_bucket_tagging(self) -> None:
        """Remove all tags of the bucket, durably; no error where it has none.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        attributes.tag_bucket(self._context.db, self.name, {})

    # --- not offered ---

    def get_object_acl(self, key: str) -> NoReturn:
        """Not offered, always: there are no access control lists on objects, so none can be shown.

        Raises:
            Unsupported: always. Who may read is decided by who can open the database and the blob store.
        """
        raise _no_acl(f"object {key!r} of bucket {self.name!r}")

    def put_object_acl(self, key: str, acl: str) -> NoReturn:
        """Not offered, always: an access control list that nobody enforces would be a false promise.

        Raises:
            Unsupported: always. Who may read is decided by who can open the database and the blob store.
        """
        raise _no_acl(f"object {key!r} of bucket {self.name!r}")

    def get_bucket_acl(self) -> NoReturn:
        """Not offered, always: there are no access control lists on buckets, so none can be shown.

        Raises:
            Unsupported: always. Who may read is decided by who can open the database and the blob store.
        """
        raise _no_acl(f"bucket {self.name!r}")

    def put_bucket_acl(self, acl: str) -> NoReturn:
        """Not offered, always: an access control list that nobody enforces would be a false promise.

        Raises:
            Unsupported: always. Who may read is decided by who can open the database and the blob store.
        """
        raise _no_acl(f"bucket {self.name!r}")


def _no_acl(whose: str) -> Unsupported:
    return Unsupported(  # [ATTR-7]
        f"access control lists are not offered, so {whose} has none: whoever can open the store can read and write it; "
        "restrict the database and the blob store instead"
    )
