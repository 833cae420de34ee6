"""Object lock: the retention and the legal hold of versions. spec/store/19-lock.md is normative.

Locks are service state: rows of `locks`, in no manifest. Who sets one holds the key, and so does who removes a version,
so each of them sees what the other has done ([LOCK-6]). Time is that of the database's server, here as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mstbucket.core.keys import encode_key
from mstbucket.core.times import moment
from mstbucket.errors import (
    AccessDenied,
    InvalidInput,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchObjectLockConfiguration,
    ObjectLockConfigurationNotFound,
)
from mstbucket.index.buckets import no_such_bucket
from mstbucket.limits import RETENTION_DAYS_MAX, RETENTION_YEARS_MAX
from mstbucket.model.objects import PutRequest
from mstbucket.model.policies import DefaultRetention, Retention
from mstbucket.pg import binary
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row
from mstbucket.services.objects.read import Locked, find_row, lock_of_version

GOVERNANCE: Final = "GOVERNANCE"
COMPLIANCE: Final = "COMPLIANCE"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- what a writer asks for ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """The lock that a writer wants on its version; None leaves the bucket's default. `until` is in ms since 1970."""

    mode: str | None
    until: int | None
    hold: bool | None


def wish_of(request: PutRequest) -> Wish | None:
    """What a request asks for, or None where it asks for nothing.

    Raises:
        InvalidInput: a mode without a time, the other way round, or none that there is.
    """
    mode, until, hold = request.object_lock_mode, request.object_lock_retain_until, request.object_lock_legal_hold
    if mode is None and until is None and hold is None:
        return None
    if (mode is None) != (until is None):
        raise InvalidInput("object_lock_mode and object_lock_retain_until go together: give both, or neither")
    if mode is None or until is None:
        return Wish(None, None, hold)
    return Wish(_mode(mode), _ms(until), hold)


def place(connection: Any, bucket: int, wishes: Sequence[tuple[str, str | None, Wish]]) -> None:
    """Lock versions (key, id) that the caller's transaction has just written, as their writers want it ([LOCK-5]).

    Raises:
        InvalidRequest: the bucket has no object lock.
        InvalidInput: a retention would end in the past.
    """
    if not wishes:
        return
    has_lock, now = one_row(connection, "SELECT object_lock, now_ms() FROM buckets WHERE id = %s", (bucket,))
    if not has_lock:
        raise _no_lock()
    for _, _, wish in wishes:
        _check_future(wish.until, now)
    last = {(key, version): wish for key, version, wish in wishes}  # a statement cannot touch one row twice
    columns = (
        [key for key, _ in last],
        [version for _, version in last],
        [wish.mode for wish in last.values()],
        [None if wish.until is None else str(wish.until) for wish in last.values()],
        [None if wish.hold is None else str(wish.hold) for wish in last.values()],
    )
    connection.execute(
        "SELECT lock_versions(%s, %s, %s, %s, %s, %s)", (bucket, *(binary.text_array(column) for column in columns))
    )


def keep_for_upload(connection: Any, bucket: int, upload: str, wish: Wish | None) -> None:
    """Write down what the object of an upload is to be locked with; checked now, since its parts are to come."""
    if wish is None:
        return
    has_lock, now = one_row(connection, "SELECT object_lock, now_ms() FROM buckets WHERE id = %s", (bucket,))
    if not has_lock:
        raise _no_lock()
    _check_future(wish.until, now)
    query = "UPDATE uploads SET lock_mode = %s, lock_until = %s, lock_hold = %s WHERE id = %s"
    connection.execute(query, (wish.mode, wish.until, wish.hold, upload))


def place_on_completed(connection: Any, bucket: int, upload: str, key: str, version: str | None) -> None:
    """Lock the version that an upload was completed as. A retention that has ended meanwhile protects nothing, and stays."""
    query = """
        SELECT lock_versions(%s, ARRAY[key], ARRAY[%s], ARRAY[lock_mode], ARRAY[lock_until::text], ARRAY[lock_hold::text])
        FROM uploads WHERE id = %s AND num_nonnulls(lock_mode, lock_hold) > 0
    """
    connection.execute(query, (bucket, version, upload))


# --- the bucket ----------------------------------------------------------------------------------------------------------


def set_configuration(db: Database, bucket: str, default: DefaultRetention | None) -> None:
    """Enable object lock; see `Bucket.put_object_lock_configuration`."""
    arguments = _checked(default)
    db.run(lambda connection: connection.execute("SELECT lock_bucket(%s, %s, %s, %s)", (bucket, *arguments)))


def _checked(default: DefaultRetention | None) -> tuple[str | None, int | None, int | None]:
    """[LOCK-3] A default retention that a bucket can have, as the arguments of `lock_bucket`."""
    if default is None:
        return None, None, None
    if (default.days is None) == (default.years is None):
        raise InvalidInput("a default retention has a period in days or in years: give one of them")
    for name, value, most in (("days", default.days, RETENTION_DAYS_MAX), ("years", default.years, RETENTION_YEARS_MAX)):
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise InvalidInput(f"a default retention of {value!r} {name} cannot be: it is from 1 to {most}")
    return _mode(default.mode), default.days, default.years


def configuration(db: Database, bucket: str) -> DefaultRetention | None:
    """The default retention; see `Bucket.get_object_lock_configuration`."""
    query = "SELECT object_lock, lock_mode, lock_days, lock_years FROM buckets WHERE name = %s"
    with db.reading() as connection:
        row = connection.execute(query, (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    if not row[0]:
        raise ObjectLockConfigurationNotFound(
            f"bucket {bucket!r} has no object lock: put_object_lock_configuration enables it"
        )
    return None if row[1] is None else DefaultRetention(*row[1:])


# --- one version ---------------------------------------------------------------------------------------------------------


def set_retention(
    db: Database, bucket: str, key: str, version_id: str | None, wanted: Retention | None, bypass: bool
) -> None:
    """Set, extend or, where that is allowed, shorten or end a retention; see `Bucket.put_object_retention`."""
    mode, until = (None, None) if wanted is None else (_mode(wanted.mode), _ms(wanted.retain_until))

    def change(connection: Any, number: int, version: str, lock: Locked) -> None:
        now = one_row(connection, "SELECT now_ms()")[0]
        _check_future(until, now)
        if lock.until is not None and lock.until > now:  # [LOCK-7], [LOCK-8]
            weaker = until is None or until < lock.until or mode != lock.mode
            if weaker and (lock.mode == COMPLIANCE or not bypass):
                raise AccessDenied(
                    f"version {version or 'null'!r} of {key!r} is retained until {moment(lock.until)} in mode {lock.mode}, "
                    "which can be extended" + ("" if lock.mode == COMPLIANCE else ", or changed with the bypass")
                )
        _write(connection, number, key, version, Locked(mode, until, lock.hold))

    _change(db, bucket, key, version_id, change)


def set_hold(db: Database, bucket: str, key: str, version_id: str | None, on: bool) -> None:
    """Put or lift a legal hold; see `Bucket.put_object_legal_hold`."""

    def change(connection: Any, number: int, version: str, lock: Locked) -> None:
        _write(connection, number, key, version, Locked(lock.mode, lock.until, on))

    _change(db, bucket, key, version_id, change)


def _change(db: Database, bucket: str, key: str, version_id: str | None, change: Any) -> None:
    """Call `change` in a transaction that holds the key, with the id of the version and the lock that it has."""
    encode_key(key)

    def work(connection: Any) -> None:
        number, _, _ = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
        if not one_row(connection, "SELECT object_lock FROM buckets WHERE id = %s", (number,))[0]:
            raise _no_lock()
        connection.execute("SELECT hold(%s, %s)", (number, key))  # [LOCK-6]
        version = _version(connection, number, bucket, key, version_id)
        change(connection, number, version, lock_of_version(connection, number, key, version))

    db.run(work)


def retention(db: Database, bucket: str, key: str, version_id: str | None) -> Retention:
    """The retention of a version; see `Bucket.get_object_retention`."""
    lock = _read(db, bucket, key, version_id)
    if lock.mode is None or lock.until is None:
        raise NoSuchObjectLockConfiguration(f"no retention was set on {key!r} of bucket {bucket!r}")
    return Retention(_mode(lock.mode), moment(lock.until))


def legal_hold(db: Database, bucket: str, key: str, version_id: str | None) -> bool:
    """Whether a version is under a legal hold; see `Bucket.get_object_legal_hold`."""
    lock = _read(db, bucket, key, version_id)
    if lock.hold is None:
        raise NoSuchObjectLockConfiguration(f"no legal hold was ever set on {key!r} of bucket {bucket!r}")
    return lock.hold


def _read(db: Database, bucket: str, key: str, version_id: str | None) -> Locked:
    encode_key(key)
    with db.snapshot() as connection:
        row = connection.execute("SELECT id, object_lock FROM buckets WHERE name = %s", (bucket,)).fetchone()
        if row is None:
            raise no_such_bucket(bucket)
        if not row[1]:
            raise _no_lock()
        version = _version(connection, row[0], bucket, key, version_id)
        return lock_of_version(connection, row[0], key, version)


def _version(connection: Any, number: int, bucket: str, key: str, version_id: str | None) -> str:
    """The id of the version as `locks` has it."""
    found = find_row(connection, number, bucket, key, version_id)
    if found.manifest.delete_marker:  # [LOCK-10]
        raise MethodNotAllowed(f"version {version_id!r} of {key!r} is a delete marker, which cannot be locked")
    return found.manifest.version_id or ""


def _write(connection: Any, bucket: int, key: str, version: str, lock: Locked) -> None:
    query = """
        INSERT INTO locks VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (bucket, key, version) DO UPDATE SET mode = excluded.mode, until = excluded.until, hold = excluded.hold
    """
    connection.execute(query, (bucket, key, version, lock.mode, lock.until, lock.hold))


# --- arguments -----------------------------------------------------------------------------------------------------------


def _mode(mode: str) -> Any:
    if mode not in (GOVERNANCE, COMPLIANCE):
        raise InvalidInput(f"the mode of a retention is {GOVERNANCE!r} or {COMPLIANCE!r}, not {mode!r}")
    return mode


def _ms(until: datetime) -> int:
    """In ms since 1970, rounded up: never shorter than what was asked for."""
    if not isinstance(until, datetime) or until.tzinfo is None:
        raise InvalidInput(f"{until!r} is no time until which to retain: give a datetime with a time zone, such as UTC")
    return -((_EPOCH - until) // timedelta(milliseconds=1))


def _check_future(until: int | None, now: int) -> None:
    if until is not None and until <= now:  # [LOCK-11]
        raise InvalidInput(f"the time until which to retain, {moment(max(until, 0))}, is not in the future")


def _no_lock() -> InvalidRequest:
    # [LOCK-1]
    return InvalidRequest("the bucket has no object lock: enable it first (put_object_lock_configuration, lock --enable)")
