"""What goes with a body, by S3's rules: tag sets, user metadata, system headers; and tags changed after the put.

A change of tags makes another manifest for the same version of the object: its row is locked, made again and its key
marked dirty in one transaction ([TAG-4]). A bucket's tags are in its commit, so they have a mark of their own ([TAG-6]).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.metadata import STORAGE_CLASS
from mstbucket.core.s3rules.tags import bucket_tag_set, tag_set
from mstbucket.errors import MethodNotAllowed, NoSuchTagSet
from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.find import find, find_row
from mstbucket.index.rows import json_of
from mstbucket.limits import OBJECT_TAGS_MAX
from mstbucket.model.objects import EMPTY, ObjectAttributes, Tags
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row

# --- the tags of an object -------------------------------------------------------------------------------------------


def object_tags(db: Database, bucket: str, key: str, version_id: str | None) -> dict[str, str]:
    """The tags of the object or version; see `Bucket.get_object_tagging`."""
    return dict(find(db, bucket, key, version_id).manifest.tags)


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
    manifest = find(db, bucket, key, version_id).manifest
    assert manifest.etag is not None and manifest.size is not None  # `find` finds no delete markers
    return ObjectAttributes(
        etag=manifest.etag,
        size=manifest.size,
        checksums=manifest.checksums or EMPTY,
        parts=tuple(manifest.parts),
        storage_class=STORAGE_CLASS,
    )
