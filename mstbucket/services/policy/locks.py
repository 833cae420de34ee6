"""Object lock: the retention and the legal hold of versions. spec/store/19-lock.md is normative.

Whoever sets a lock holds the key, and so does whoever removes a version. So each of them sees what the other has done
([LOCK-6]). The time is that of the database's clock, here and there.
"""

from __future__ import annotations

from collections.abc import Callable

from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.retention import (
    UNLOCKED,
    Lock,
    check_change,
    check_default,
    check_future,
    known_mode,
    stored_until,
)
from mstbucket.core.times import moment
from mstbucket.errors import MethodNotAllowed, NoSuchObjectLockConfiguration, ObjectLockConfigurationNotFound
from mstbucket.index import locks
from mstbucket.index.find import Found, find_row, lock_of_version
from mstbucket.index.tx import Tx, inside
from mstbucket.model.policies import DefaultRetention, Retention
from mstbucket.pg.database import Database
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_state

# --- the bucket ----------------------------------------------------------------------------------------------------------


def set_configuration(context: Context, bucket: str, default: DefaultRetention | None) -> None:
    """Enable object lock; see `Bucket.put_object_lock_configuration`."""
    if default is None:
        locks.configure(context.db, bucket, None, None, None)
    else:
        check_default(default)
        locks.configure(context.db, bucket, default.mode, default.days, default.years)
    publish_state(context, bucket)  # [REB-21]


def configuration(db: Database, bucket: str) -> DefaultRetention | None:
    """The default retention; see `Bucket.get_object_lock_configuration`."""
    found = locks.configuration(db, bucket)
    if not found.enabled:
        raise ObjectLockConfigurationNotFound(
            f"bucket {bucket!r} has no object lock: put_object_lock_configuration enables it"
        )
    return None if found.mode is None else DefaultRetention(found.mode, found.days, found.years)


# --- one version ---------------------------------------------------------------------------------------------------------


def set_retention(
    context: Context, bucket: str, key: str, version_id: str | None, wanted: Retention | None, bypass: bool
) -> None:
    """Set, extend or, where that is allowed, shorten or end a retention; see `Bucket.put_object_retention`."""
    asked = UNLOCKED if wanted is None else Lock(known_mode(wanted.mode), stored_until(wanted.retain_until), None)

    def change(tx: Tx, version: str, lock: Lock) -> None:
        now = tx.now()
        check_future(asked.until, now)
        check_change(f"version {version or 'null'!r} of {key!r}", lock, asked, now, bypass)
        locks.put_lock(tx, key, version, asked._replace(hold=lock.hold))

    _change(context, bucket, key, version_id, change)


def set_hold(context: Context, bucket: str, key: str, version_id: str | None, on: bool) -> None:
    """Put or lift a legal hold; see `Bucket.put_object_legal_hold`."""

    def change(tx: Tx, version: str, lock: Lock) -> None:
        locks.put_lock(tx, key, version, lock._replace(hold=on))

    _change(context, bucket, key, version_id, change)


def _change(
    context: Context, bucket: str, key: str, version_id: str | None, change: Callable[[Tx, str, Lock], None]
) -> None:
    """Call `change` in a transaction that holds the key, with the id of the version and the lock that it has."""
    encode_key(key)

    def work(tx: Tx) -> None:
        locks.require_lock(tx)
        tx.hold(key)  # [LOCK-6]
        version = _lockable(find_row(tx.connection, tx.bucket, bucket, key, version_id), key, version_id)
        change(tx, version, lock_of_version(tx.connection, tx.bucket, key, version))

    inside(context.db, bucket, work)
    publish_state(context, bucket)  # [REB-21]


def retention(db: Database, bucket: str, key: str, version_id: str | None) -> Retention:
    """The retention of a version; see `Bucket.get_object_retention`."""
    lock = _read(db, bucket, key, version_id)
    if lock.mode is None or lock.until is None:
        raise NoSuchObjectLockConfiguration(f"no retention was set on {key!r} of bucket {bucket!r}")
    return Retention(known_mode(lock.mode), moment(lock.until))


def legal_hold(db: Database, bucket: str, key: str, version_id: str | None) -> bool:
    """Whether a version is under a legal hold; see `Bucket.get_object_legal_hold`."""
    lock = _read(db, bucket, key, version_id)
    if lock.hold is None:
        raise NoSuchObjectLockConfiguration(f"no legal hold was ever set on {key!r} of bucket {bucket!r}")
    return lock.hold


def _read(db: Database, bucket: str, key: str, version_id: str | None) -> Lock:
    encode_key(key)
    with db.snapshot() as connection:
        number = locks.lockable_bucket(connection, bucket)
        version = _lockable(find_row(connection, number, bucket, key, version_id), key, version_id)
        return lock_of_version(connection, number, key, version)


def _lockable(found: Found, key: str, version_id: str | None) -> str:
    """The id of the version as `locks` has it, or `MethodNotAllowed` for a delete marker."""
    if found.manifest.delete_marker:  # [LOCK-10]
        raise MethodNotAllowed(f"version {version_id!r} of {key!r} is a delete marker, which cannot be locked")
    return found.manifest.version_id or ""
