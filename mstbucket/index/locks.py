"""Object lock: what a bucket says of it, and the retention and the legal hold of each version.

Locks are rows of `locks`, and in no manifest. A version without a row has no lock. The null version has the id "".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mstbucket.core.s3rules.retention import Lock, check_future, check_lockable
from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.tx import Tx
from mstbucket.model.policies import RetentionMode
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


class BucketLock(NamedTuple):
    """What a bucket says of object lock: whether it has it, and the default retention, None where there is none."""

    enabled: bool
    mode: RetentionMode | None
    days: int | None
    years: int | None


class VersionToLock(NamedTuple):
    """A version that the transaction has just written, and the lock that its writer wants on it."""

    key: str
    version_id: str | None
    wanted: Lock


# --- the bucket ----------------------------------------------------------------------------------------------------------


def configure(db: Database, bucket: str, mode: str | None, days: int | None, years: int | None) -> None:
    """Enable object lock on the bucket, durably, with this default retention; None is none."""
    db.run(lambda connection: connection.execute("SELECT lock_bucket(%s, %s, %s, %s)", (bucket, mode, days, years)))


def configuration(db: Database, bucket: str) -> BucketLock:
    """What the bucket says of object lock.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    query = "SELECT object_lock, lock_mode, lock_days, lock_years FROM buckets WHERE name = %s"
    with db.reading() as connection:
        row = connection.execute(query, (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    return BucketLock(*row)


def lockable_bucket(connection: Connection, bucket: str) -> int:
    """The row number of a bucket with object lock.

    Raises:
        NoSuchBucket: there is no such bucket.
        InvalidRequest: it has no object lock.
    """
    row = connection.execute("SELECT id, object_lock FROM buckets WHERE name = %s", (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    number, has_lock = row
    check_lockable(has_lock)
    return int(number)


def require_lock(tx: Tx) -> int:
    """The time of the database's clock; `InvalidRequest` unless the bucket has object lock."""
    has_lock, now = one_row(tx.connection, "SELECT object_lock, now_ms() FROM buckets WHERE id = %s", (tx.bucket,))
    check_lockable(has_lock)
    return int(now)


# --- versions ------------------------------------------------------------------------------------------------------------


def lock_new_versions(tx: Tx, versions: Sequence[VersionToLock]) -> None:
    """Lock versions that this transaction has just written, as their writers want it ([LOCK-5]).

    Raises:
        InvalidRequest: the bucket has no object lock.
        InvalidInput: a retention would end in the past.
    """
    if not versions:
        return
    now = require_lock(tx)
    for version in versions:
        check_future(version.wanted.until, now)
    last = {(key, version): wanted for key, version, wanted in versions}  # a statement cannot touch one row twice
    columns = (
        [key for key, _ in last],
        [version for _, version in last],
        [wanted.mode for wanted in last.values()],
        [None if wanted.until is None else str(wanted.until) for wanted in last.values()],
        [None if wanted.hold is None else str(wanted.hold) for wanted in last.values()],
    )
    tx.connection.execute(
        "SELECT lock_versions(%s, %s, %s, %s, %s, %s)", (tx.bucket, *(binary.text_array(column) for column in columns))
    )


def put_lock(tx: Tx, key: str, version: str, lock: Lock) -> None:
    """Replace the lock of a version. The transaction holds the key ([LOCK-6])."""
    query = """
        INSERT INTO locks (bucket, key, version, mode, until, hold) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (bucket, key, version) DO UPDATE SET mode = excluded.mode, until = excluded.until, hold = excluded.hold
    """
    tx.connection.execute(query, (tx.bucket, key, version, *lock))


# --- the object of an upload ---------------------------------------------------------------------------------------------


def note_for_upload(tx: Tx, upload: str, wanted: Lock | None) -> None:
    """Note the lock that the object of an upload is to have. The parts are still to come, so the lock is checked now.

    Raises:
        As `lock_new_versions`.
    """
    if wanted is None:
        return
    check_future(wanted.until, require_lock(tx))
    query = "UPDATE uploads SET lock_mode = %s, lock_until = %s, lock_hold = %s WHERE id = %s"
    tx.connection.execute(query, (*wanted, upload))


def lock_completed(tx: Tx, upload: str, version: str | None) -> None:
    """Lock the version that an upload became, as noted. A retention that has ended meanwhile protects nothing, and stays."""
    query = """
        SELECT lock_versions(%s, ARRAY[key], ARRAY[%s], ARRAY[lock_mode], ARRAY[lock_until::text], ARRAY[lock_hold::text])
        FROM uploads WHERE id = %s AND num_nonnulls(lock_mode, lock_hold) > 0
    """
    tx.connection.execute(query, (tx.bucket, version, upload))
