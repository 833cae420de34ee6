"""What goes with a body, by S3's rules: tag sets, user metadata, system headers; and tags changed after the put.

A change of tags makes another manifest for the same version of the object: its row is locked, made again and its key
marked dirty in one transaction ([TAG-4]). A bucket's tags are in its commit, so they have a mark of their own ([TAG-6]).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.commit import tags_size
from mstbucket.core.keys import encode_key
from mstbucket.errors import InvalidInput, InvalidTag, MetadataTooLarge, MethodNotAllowed, NoSuchTagSet, Unsupported
from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.rows import json_of
from mstbucket.limits import (
    BUCKET_TAGS_MAX,
    BUCKET_TAGS_SIZE_MAX,
    METADATA_MAX,
    OBJECT_TAGS_MAX,
    TAG_KEY_MAX,
    TAG_VALUE_MAX,
)
from mstbucket.model.objects import EMPTY, ObjectAttributes, ObjectInfo, PlainTags, PutRequest, Tags
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row
from mstbucket.services.objects.read import find, find_row

#: The headers that a read may ask for in place of those kept.
RESPONSE_HEADERS: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
#: No override: none of the content type, none of these headers.
NO_OVERRIDES: Final = (None,) * (1 + len(RESPONSE_HEADERS))

STORAGE_CLASS: Final = "STANDARD"  # the only one there is ([ATTR-7])


# --- rules -----------------------------------------------------------------------------------------------------------


def tag_set(tags: Tags, most: int, whose: str) -> dict[str, str]:
    """*tags*, in one of the shapes of `PlainTags`, as a map, or `InvalidTag` with the rule broken ([TAG-1], [TAG-2])."""
    plain = cast("PlainTags", tags)
    pairs = list(plain.items() if isinstance(plain, Mapping) else plain)
    if len(pairs) > most:  # [TAG-1]
        raise InvalidTag(f"{whose} would have {len(pairs)} tags; at most {most} are allowed")
    found: dict[str, str] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidTag(f"tag {name!r} of {whose}: key and value have to be texts")
        if not 1 <= len(name) <= TAG_KEY_MAX or len(value) > TAG_VALUE_MAX:  # [TAG-1]
            raise InvalidTag(
                f"tag {name!r} of {whose}: a key has 1 to {TAG_KEY_MAX} characters, a value up to {TAG_VALUE_MAX}"
            )
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in name + value):
            raise InvalidTag(f"tag {name!r} of {whose} holds NUL or a lone surrogate, which no UTF-8 text here can hold")
        if name in found:  # [TAG-2]
            raise InvalidTag(f"tag {name!r} of {whose} is there twice; a key may have one value")
        found[name] = value
    return found


def tags_of(request: PutRequest) -> dict[str, str]:
    """The tags of a request, or `InvalidTag`."""
    return tag_set(request.tags, OBJECT_TAGS_MAX, repr(request.key))


def bucket_tag_set(tags: Tags, bucket: str) -> dict[str, str]:
    """*tags* as a map that a commit of *bucket* has room for, or `InvalidTag`."""
    found = tag_set(tags, BUCKET_TAGS_MAX, f"bucket {bucket!r}")
    size = tags_size(found)
    if size > BUCKET_TAGS_SIZE_MAX:  # [TAG-7] a commit that could not be written would stop every later flush
        raise InvalidTag(f"the tags of bucket {bucket!r} have {size} bytes of UTF-8; at most {BUCKET_TAGS_SIZE_MAX} fit")
    return found


def folded(pairs: Mapping[str, str], what: str, key: str) -> dict[str, str]:
    """A map of metadata or headers with its names in lower case ([ATTR-1]).

    Raises:
        InvalidInput: two names differ in case only, or a header would hold a line break, NUL or a lone surrogate ([ATTR-2]).
    """
    lower = {name.lower(): value for name, value in pairs.items()}
    if len(lower) < len(pairs):
        raise InvalidInput(f"the {what} of {key!r} hold a name twice, in upper and lower case: {sorted(pairs)}")
    for name, value in lower.items():
        if any(c in "\r\n\0" or "\ud800" <= c <= "\udfff" for c in name + value):
            raise InvalidInput(f"{what} {name!r} of {key!r} hold a line break, NUL or a lone surrogate")
    return lower


def overridden(info: ObjectInfo, content_type: str | None, *headers: str | None) -> ObjectInfo:
    """What is known of an object with S3's response overrides in place of what is kept ([ATTR-9]).

    *headers* are in the order of RESPONSE_HEADERS; None leaves what there is.
    """
    if (content_type, *headers) == NO_OVERRIDES:
        return info
    said = {name: value for name, value in zip(RESPONSE_HEADERS, headers, strict=True) if value is not None}
    kind = info.content_type if content_type is None else content_type
    folded({**said, "content-type": kind or ""}, "response headers", info.key)
    return replace(info, content_type=kind, headers={**info.headers, **said})


def user_metadata(metadata: Mapping[str, str], key: str) -> dict[str, str]:
    """User metadata as it is kept, or `MetadataTooLarge` ([ATTR-3])."""
    kept = folded(metadata, "metadata", key)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for pair in kept.items() for text in pair)
    if size > METADATA_MAX:
        raise MetadataTooLarge(f"the metadata of {key!r} has {size} bytes; at most {METADATA_MAX} are allowed")
    return kept


def check_storage_class(name: str) -> None:
    """Raise `Unsupported` for a storage class other than the one there is ([ATTR-7])."""
    if name != STORAGE_CLASS:
        raise Unsupported(
            f"storage class {name!r} is not offered: every object is {STORAGE_CLASS}; where its bytes are kept is the "
            "business of the blob store"
        )


# --- the tags of an object -------------------------------------------------------------------------------------------


def object_tags(db: Database, bucket: str, key: str, version_id: str | None) -> dict[str, str]:
    """The tags of the object or version; see `Bucket.get_object_tagging`."""
    return dict(find(db, bucket, key, version_id)[3].tags)


def tag_object(db: Database, bucket: str, key: str, version_id: str | None, tags: Tags) -> None:
    """Replace the object's tags; see `Bucket.put_object_tagging`."""
    encode_key(key)
    wanted = tag_set(tags, OBJECT_TAGS_MAX, repr(key))

    def work(connection: Any) -> None:
        number, _, _ = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
        # The lock makes writers of this key wait: what is written below was made of the newest row ([TAG-4]).
        connection.execute("SELECT hold(%s, %s)", (number, key))
        found = find_row(connection, number, bucket, key, version_id)
        if found.manifest.delete_marker:
            raise MethodNotAllowed(f"version {version_id!r} of object {key!r} in bucket {bucket!r} is a delete marker")
        cid = dag_cbor_cid(manifests.encode(replace(found.manifest, tags=wanted)))  # [TAG-3] and nothing else
        if found.seq is None:
            connection.execute("SELECT retag(%s, %s, %s, %s)", (number, key, cid, json_of(wanted)))
        else:
            connection.execute("SELECT retag_version(%s, %s, %s, %s, %s)", (number, key, found.seq, cid, json_of(wanted)))

    db.run(work)


# --- the tags of a bucket --------------------------------------------------------------------------------------------


def bucket_tags(db: Database, bucket: str) -> dict[str, str]:
    """The bucket's tags; see `Bucket.get_bucket_tagging`."""
    with db.reading() as connection:
        row = connection.execute("SELECT tags FROM buckets WHERE name = %s", (bucket,), binary=True).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    if row[0] is None:
        raise NoSuchTagSet(f"bucket {bucket!r} has no tags")
    return dict(row[0])


def tag_bucket(db: Database, bucket: str, tags: Tags) -> None:
    """Replace the bucket's tags; see `Bucket.put_bucket_tagging`."""
    wanted = bucket_tag_set(tags, bucket)
    with db.connection() as connection:
        connection.execute("SELECT tag_bucket(%s, %s)", (bucket, json_of(wanted)))


# --- everything about an object --------------------------------------------------------------------------------------


def attributes(db: Database, bucket: str, key: str, version_id: str | None) -> ObjectAttributes:
    """What S3's GetObjectAttributes tells; see `Bucket.get_object_attributes`."""
    manifest = find(db, bucket, key, version_id)[3]
    assert manifest.etag is not None and manifest.size is not None  # `find` finds no delete markers
    return ObjectAttributes(
        etag=manifest.etag,
        size=manifest.size,
        checksums=manifest.checksums or EMPTY,
        parts=tuple(manifest.parts),
        storage_class=STORAGE_CLASS,
    )
