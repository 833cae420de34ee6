"""Object lock by S3's rules: modes, periods, and who may change a retention. spec/store/19-lock.md is normative.

Every time is given in ms since 1970. The caller says what time it is: that of the database's clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mstbucket.core.times import EPOCH, moment
from mstbucket.errors import AccessDenied, InvalidInput, InvalidRequest
from mstbucket.limits import RETENTION_DAYS_MAX, RETENTION_YEARS_MAX
from mstbucket.model.objects import PutRequest
from mstbucket.model.policies import DefaultRetention, RetentionMode

GOVERNANCE: Final[RetentionMode] = "GOVERNANCE"
COMPLIANCE: Final[RetentionMode] = "COMPLIANCE"


class Lock(NamedTuple):
    """The lock of a version: the one it has, or the one that somebody wants for it.

    Attributes:
        mode, until: of the retention, `until` in ms since 1970; both are None where there is none. For a version that
            is yet to be written, the default of the bucket takes their place.
        hold: whether there is a legal hold; None where nobody ever said.
    """

    mode: str | None
    until: int | None
    hold: bool | None


UNLOCKED: Final = Lock(None, None, None)


def lock_wanted(request: PutRequest) -> Lock | None:
    """The lock that a request asks for, or None where it asks for nothing.

    Raises:
        InvalidInput: a mode without a time, a time without a mode, or an unknown mode.
    """
    mode, until, hold = request.object_lock_mode, request.object_lock_retain_until, request.object_lock_legal_hold
    if mode is None and until is None and hold is None:
        return None
    if (mode is None) != (until is None):
        raise InvalidInput("object_lock_mode and object_lock_retain_until go together: give both, or neither")
    if mode is None or until is None:
        return Lock(None, None, hold)
    return Lock(known_mode(mode), stored_until(until), hold)


def known_mode(mode: str) -> RetentionMode:
    """The mode, or `InvalidInput` where there is no such mode."""
    if mode == GOVERNANCE:
        return GOVERNANCE
    if mode == COMPLIANCE:
        return COMPLIANCE
    raise InvalidInput(f"the mode of a retention is {GOVERNANCE!r} or {COMPLIANCE!r}, not {mode!r}")


def stored_until(until: datetime) -> int:
    """The end of a retention in ms since 1970, rounded up: never earlier than the caller asked for.

    Raises:
        InvalidInput: it is no time, or has no time zone.
    """
    if not isinstance(until, datetime) or until.tzinfo is None:
        raise InvalidInput(f"{until!r} is no time until which to retain: give a datetime with a time zone, such as UTC")
    return -((EPOCH - until) // timedelta(milliseconds=1))


def check_default(default: DefaultRetention) -> None:
    """Raise `InvalidInput` unless a bucket can have this default retention."""
    if (default.days is None) == (default.years is None):  # [LOCK-3]
        raise InvalidInput("a default retention has a period in days or in years: give one of them")
    for name, value, most in (("days", default.days, RETENTION_DAYS_MAX), ("years", default.years, RETENTION_YEARS_MAX)):
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise InvalidInput(f"a default retention of {value!r} {name} cannot be: it is from 1 to {most}")
    known_mode(default.mode)


def check_lockable(has_lock: bool) -> None:
    """Raise `InvalidRequest` unless the bucket has object lock."""
    if not has_lock:  # [LOCK-1]
        raise InvalidRequest(
            "the bucket has no object lock: enable it first (put_object_lock_configuration, lock --enable)"
        )


def check_future(until: int | None, now: int) -> None:
    """Raise `InvalidInput` for a retention that would have ended by now."""
    if until is not None and until <= now:  # [LOCK-11]
        raise InvalidInput(f"the time until which to retain, {moment(max(until, 0))}, is not in the future")


def check_change(what: str, kept: Lock, wanted: Lock, now: int, bypass: bool) -> None:
    """Raise `AccessDenied` unless the retention of a version may change from that of `kept` to that of `wanted`.

    Args:
        what: the version, for the message.
        bypass: whether the caller asked to change a retention in governance mode.
    """
    mode, until = kept.mode, kept.until
    if until is None or until <= now:
        return
    weaker = wanted.until is None or wanted.until < until or wanted.mode != mode
    if weaker and (mode == COMPLIANCE or not bypass):  # [LOCK-7], [LOCK-8]
        raise AccessDenied(
            f"{what} is retained until {moment(until)} in mode {mode}, which can be extended"
            + ("" if mode == COMPLIANCE else ", or changed with the bypass")
        )
