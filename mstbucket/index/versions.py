"""The versioning of a bucket, the versions it keeps, and their delete markers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.versions import stored_id
from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.tx import Tx
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


# --- the bucket ----------------------------------------------------------------------------------------------------------


def versioning_of(db: Database, bucket: str) -> str | None:
    """The versioning of the bucket: Enabled, Suspended, or None where it was never set.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    with db.reading() as connection:
        row = connection.execute("SELECT versioning FROM buckets WHERE name = %s", (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    (versioning,) = row
    return None if versioning is None else str(versioning)


def set_versioning(db: Database, bucket: str, wanted: str) -> None:
    """Set the versioning of the bucket, durably, after the writers inside it have left.

    Raises:
        NoSuchBucket: there is no such bucket.
        InvalidBucketState: suspended, and the bucket has object lock.
    """
    db.run(lambda connection: connection.execute("SELECT set_versioning(%s, %s)", (bucket, wanted)))


def check_history(connection: Connection, bucket: int) -> str | None:
    """What is not true of the versions of a bucket, or None: every key without an object has a marker on top ([VSN-4])."""
    query = """
        SELECT v.key FROM versions v
        WHERE v.bucket = %(bucket)s AND v.content IS NOT NULL
            AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq)
            AND NOT EXISTS (SELECT FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)
        LIMIT 1
    """
    row = connection.execute(query, {"bucket": bucket}).fetchone()
    if row is None:
        return None
    (key,) = row
    return f"key {key!r} has versions, but neither an object nor a delete marker above them"


# --- one version ---------------------------------------------------------------------------------------------------------


class DeletedVersion(NamedTuple):
    """What became of a version that was to be deleted.

    Attributes:
        marker: whether it was a delete marker; None where there was no such version.
        refused: why its lock keeps it; None where it is gone.
    """

    marker: bool | None
    refused: str | None


def delete_version(tx: Tx, key: str, version_id: str, bypass: bool) -> DeletedVersion:
    """Remove one version for good; its lock may refuse ([VSN-6]). With `bypass`, a governance retention does not."""
    query = "SELECT marker, refused FROM delete_version(%s, %s, %s, %s)"
    return DeletedVersion._make(one_row(tx.connection, query, (tx.bucket, key, stored_id(version_id), bypass)))


def put_marker(tx: Tx, key: str, marker: Manifest, cid: bytes) -> bool:
    """Put a delete marker, whose manifest has this CID, on top of a key; whether the key had an object ([VSN-5])."""
    query = "SELECT put_marker(%s, %s, %s, %s, %s, %s)"
    arguments = (tx.bucket, tx.versioning, key, cid, marker.version_id, marker.modified)
    (existed,) = one_row(tx.connection, query, arguments)
    return bool(existed)
