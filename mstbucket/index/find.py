"""One object or version: its row, its lock, and where the first block of its body is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.retention import UNLOCKED, Lock
from mstbucket.core.s3rules.versions import stored_id
from mstbucket.errors import MethodNotAllowed, NoSuchKey, NoSuchVersion
from mstbucket.index.blocks import LOCATION_COLUMNS, Place
from mstbucket.index.buckets import bucket_id, no_such_bucket
from mstbucket.index.rows import MANIFEST_COLUMNS, manifest_of
from mstbucket.pg.queries import Lookup

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_COLUMNS: Final = ", ".join(f"o.{column}" for column in MANIFEST_COLUMNS.split(", "))
_FIELDS: Final = MANIFEST_COLUMNS.count(",") + 1
# The lock of the current object, in a CASE, so that only buckets with object lock pay for it.
_LOCK: Final = """CASE WHEN t.object_lock THEN (
        SELECT jsonb_build_array(l.mode, l.until, l.hold) FROM locks l
        WHERE l.bucket = t.id AND l.key = o.key AND l.version = coalesce(o.version_id, '')) END"""
_HEAD: Final = Lookup(
    "mstbucket_head",
    f"""
    SELECT t.versioning, {_LOCK}, o.manifest, {_COLUMNS} FROM buckets t JOIN objects o ON o.bucket = t.id
    WHERE t.name = $1 AND o.key = $2
    """,
    2,
)
_GET: Final = Lookup(
    "mstbucket_get",
    f"""
    SELECT t.versioning, {_LOCK}, o.manifest, {_COLUMNS}, {LOCATION_COLUMNS}
    FROM buckets t JOIN objects o ON o.bucket = t.id
         LEFT JOIN blocks b ON b.cid = o.content LEFT JOIN packs p ON p.id = b.pack
    WHERE t.name = $1 AND o.key = $2
    """,
    2,
)
_CURRENT: Final = f"SELECT NULL::bigint, o.manifest, {_COLUMNS} FROM objects o WHERE o.bucket = %s AND o.key = %s"
_VERSION: Final = f"""
    {_CURRENT} AND o.version_id IS NOT DISTINCT FROM %s
    UNION ALL
    SELECT o.seq, o.manifest, {_COLUMNS} FROM versions o
    WHERE version_place(o.bucket, o.key, o.version_id) = version_place(%s, %s, %s)
"""
_PLACE: Final = f"SELECT {LOCATION_COLUMNS} FROM blocks b LEFT JOIN packs p ON p.id = b.pack WHERE b.cid = %s"
_NOWHERE: Final = Place(None, None, None, None)


class Found(NamedTuple):
    """The row of an object or version.

    Attributes:
        seq: its place among the noncurrent versions of its key; None for the current object.
        cid: of its manifest.
        manifest: made of the other columns; it may be that of a delete marker.
    """

    seq: int | None
    cid: bytes
    manifest: Manifest


class Described(NamedTuple):
    """All that is known of an object or version; never of a delete marker.

    Attributes:
        versioning: the state of its bucket.
        lock: `UNLOCKED` where there is none.
        cid: of its manifest.
        manifest: what the columns of its row say.
    """

    versioning: str | None
    lock: Lock
    cid: bytes
    manifest: Manifest


def find(db: Database, bucket: str, key: str, version_id: str | None) -> Described:
    """The current object of a key, or one of its versions.

    Raises:
        NoSuchKey, NoSuchVersion, NoSuchBucket: it is not there.
        MethodNotAllowed: that version is a delete marker.
    """
    encode_key(key)
    if version_id is not None:
        return _version(db, bucket, key, version_id)
    row = db.find(_HEAD, bucket, key)
    if row is None:
        raise _missing(db, bucket, key)
    versioning, lock, cid, *columns = row
    return Described(versioning, _lock_of(lock), cid, manifest_of(columns))


def find_with_place(db: Database, bucket: str, key: str, version_id: str | None) -> tuple[Described, Place]:
    """As `find`, and where the root block of the body is. For the current object that is one question."""
    encode_key(key)
    if version_id is not None:
        found = _version(db, bucket, key, version_id)
        with db.reading() as connection:
            place = connection.execute(_PLACE, (found.manifest.content,), binary=True).fetchone()
        return found, _NOWHERE if place is None else Place._make(place)
    row = db.find(_GET, bucket, key)
    if row is None:
        raise _missing(db, bucket, key)
    versioning, lock, cid, *columns = row
    found = Described(versioning, _lock_of(lock), cid, manifest_of(columns[:_FIELDS]))
    return found, Place._make(columns[_FIELDS:])


def find_row(connection: Connection, number: int, bucket: str, key: str, version_id: str | None) -> Found:
    """The row of the current object of a key, or of one of its versions, which may be a delete marker.

    Args:
        number, bucket: the row number and the name of one bucket.
        key: a valid one; it is not checked here.

    Raises:
        NoSuchKey: there is no current object.
        NoSuchVersion: there is no version of that id.
    """
    if version_id is None:
        row = connection.execute(_CURRENT, (number, key), binary=True).fetchone()
        if row is None:
            raise _no_such_key(connection, number, bucket, key)
    else:
        one = (number, key, stored_id(version_id))
        row = connection.execute(_VERSION, (*one, *one), binary=True).fetchone()
        if row is None:
            error = NoSuchVersion(f"there is no version {version_id!r} of object {key!r} in bucket {bucket!r}")
            raise error.about(bucket=bucket, key=key)
    seq, cid, *columns = row
    return Found(seq, cid, manifest_of(columns))


def lock_of_version(connection: Connection, number: int, key: str, version: str) -> Lock:
    """The lock of a version of the bucket with row `number`; "" is the null version, and any may not exist."""
    query = "SELECT mode, until, hold FROM locks WHERE bucket = %s AND key = %s AND version = %s"
    row = connection.execute(query, (number, key, version), binary=True).fetchone()
    return UNLOCKED if row is None else Lock._make(row)


def _version(db: Database, bucket: str, key: str, version_id: str) -> Described:
    query = "SELECT id, versioning, object_lock FROM buckets WHERE name = %s"
    with db.reading() as connection:
        row = connection.execute(query, (bucket,), binary=True).fetchone()
        if row is None:
            raise no_such_bucket(bucket)
        number, versioning, has_lock = row
        found = find_row(connection, number, bucket, key, version_id)
        lock = lock_of_version(connection, number, key, found.manifest.version_id or "") if has_lock else UNLOCKED
    if found.manifest.delete_marker:
        error = MethodNotAllowed(f"version {version_id!r} of object {key!r} in bucket {bucket!r} is a delete marker")
        raise error.about(bucket=bucket, key=key)
    return Described(versioning, lock, found.cid, found.manifest)


def _lock_of(column: list[Any] | None) -> Lock:
    return UNLOCKED if column is None else Lock._make(column)


def _missing(db: Database, bucket: str, key: str) -> NoSuchKey:
    with db.reading() as connection:
        return _no_such_key(connection, bucket_id(connection, bucket), bucket, key)


def _no_such_key(connection: Connection, number: int, bucket: str, key: str) -> NoSuchKey:
    query = "SELECT FROM versions WHERE bucket = %s AND key = %s LIMIT 1"  # without an object, the newest is a marker
    marked = connection.execute(query, (number, key)).fetchone() is not None
    why = ": its newest version is a delete marker" if marked else ""
    return NoSuchKey(f"there is no object {key!r} in bucket {bucket!r}{why}").about(bucket=bucket, key=key)
