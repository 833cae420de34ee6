"""The tags of objects and buckets, changed after the put; and what S3 calls the attributes of an object.

A change of tags makes another manifest for the same version of the object. One transaction holds the key, makes the row
again and marks the key dirty ([TAG-4]). The tags of a bucket are in its commit, so they have a mark of their own ([TAG-6]).
"""

from __future__ import annotations

from dataclasses import replace

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.metadata import STORAGE_CLASS
from mstbucket.core.s3rules.tags import bucket_tag_set, tag_set
from mstbucket.errors import MethodNotAllowed, NoSuchTagSet
from mstbucket.index import tags as stored
from mstbucket.index.find import find, find_row
from mstbucket.index.tx import Tx, inside
from mstbucket.limits import OBJECT_TAGS_MAX
from mstbucket.model.objects import EMPTY, ObjectAttributes, Tags
from mstbucket.pg.database import Database

# --- the tags of an object -------------------------------------------------------------------------------------------


def object_tags(db: Database, bucket: str, key: str, version_id: str | None) -> dict[str, str]:
    """The tags of the object or version; see `Bucket.get_object_tagging`."""
    return dict(find(db, bucket, key, version_id).manifest.tags)


def tag_object(db: Database, bucket: str, key: str, version_id: str | None, tags: Tags) -> None:
    """Replace the object's tags; see `Bucket.put_object_tagging`."""
    encode_key(key)
    wanted = tag_set(tags, OBJECT_TAGS_MAX, repr(key))

    def work(tx: Tx) -> None:
        tx.hold(key)  # writers of this key wait: the new row is made of the newest one ([TAG-4])
        found = find_row(tx.connection, tx.bucket, bucket, key, version_id)
        if found.manifest.delete_marker:
            raise MethodNotAllowed(f"version {version_id!r} of object {key!r} in bucket {bucket!r} is a delete marker")
        cid = dag_cbor_cid(manifests.encode(replace(found.manifest, tags=wanted)))  # [TAG-3] and nothing else
        stored.retag(tx, key, found, cid, wanted)

    inside(db, bucket, work)


# --- the tags of a bucket --------------------------------------------------------------------------------------------


def bucket_tags(db: Database, bucket: str) -> dict[str, str]:
    """The bucket's tags; see `Bucket.get_bucket_tagging`."""
    found = stored.bucket_tags(db, bucket)
    if found is None:
        raise NoSuchTagSet(f"bucket {bucket!r} has no tags")
    return found


def tag_bucket(db: Database, bucket: str, tags: Tags) -> None:
    """Replace the bucket's tags; see `Bucket.put_bucket_tagging`."""
    stored.tag_bucket(db, bucket, bucket_tag_set(tags, bucket))


# --- everything about an object --------------------------------------------------------------------------------------


def attributes(db: Database, bucket: str, key: str, version_id: str | None) -> ObjectAttributes:
    """What S3's GetObjectAttributes tells; see `Bucket.get_object_attributes`."""
    manifest = find(db, bucket, key, version_id).manifest
    assert manifest.etag is not None and manifest.size is not None  # `find` finds no delete markers
    return ObjectAttributes(
        etag=manifest.etag,
        size=manifest.size,
        checksums=manifest.checksums or EMPTY,
        parts=tuple(manifest.parts),
        storage_class=STORAGE_CLASS,
    )
