"""What names a commit of a bucket: its CID, its number, a time, or the name of a snapshot ([PAST-20]).

The four forms exclude each other, so a text has one reading, whatever snapshots there are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mstbucket.core.cid import from_text, to_text
from mstbucket.core.times import DAY_MS, EPOCH, moment
from mstbucket.errors import InvalidCid, InvalidInput
from mstbucket.limits import SEQ_MAX, SNAPSHOT_NAME_MAX

_CID: Final = re.compile(r"b[a-z2-7]{58}")
_NUMBER: Final = re.compile(r"[0-9]+")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ].*)?", re.DOTALL)
_DIGITS: Final = len(str(SEQ_MAX))


@dataclass(frozen=True, slots=True)
class OfCid:
    """The commit with this CID."""

    cid: bytes

    def __str__(self) -> str:
        return f"commit {to_text(self.cid)}"


@dataclass(frozen=True, slots=True)
class OfNumber:
    """The commit with this sequence number."""

    seq: int

    def __str__(self) -> str:
        return f"commit {self.seq}"


@dataclass(frozen=True, slots=True)
class OfTime:
    """The newest commit that was made at this time or before it, in ms since 1970."""

    ms: int

    def __str__(self) -> str:
        return f"commit of {moment(self.ms).isoformat()} or before"


@dataclass(frozen=True, slots=True)
class OfSnapshot:
    """The commit that a snapshot of this name keeps."""

    name: str

    def __str__(self) -> str:
        return f"snapshot {self.name!r}"


CommitName = OfCid | OfNumber | OfTime | OfSnapshot


def commit_name(given: str | int | datetime) -> CommitName:
    """What `given` names.

    Args:
        given: a text of any of the four forms; an int is a number, and an aware datetime a time.

    Raises:
        InvalidInput: it has none of the forms, or the form of one and no meaning.
    """
    if isinstance(given, datetime):
        return OfTime(_milliseconds(given))
    if isinstance(given, int):
        return _of_number(given)
    if _CID.fullmatch(given):
        return _of_cid(given)
    if _NUMBER.fullmatch(given):
        if len(given) > _DIGITS:  # Python refuses to read a text of thousands of digits
            raise InvalidInput(f"the number of a commit has at most {_DIGITS} digits; this one has {len(given)}")
        return _of_number(int(given))
    if _TIME.fullmatch(given):
        return OfTime(_milliseconds(_time(given)))
    check_snapshot_name(given)
    return OfSnapshot(given)


def optional_commit_name(given: str | int | datetime | None) -> CommitName | None:
    """What `given` names; None is the newest commit, for whoever takes it so."""
    return None if given is None else commit_name(given)


def check_snapshot_name(name: str) -> None:
    """Raise `InvalidInput` unless *name* can be the name of a snapshot."""
    # [PAST-21] else an address would have two readings
    if _CID.fullmatch(name) or _NUMBER.fullmatch(name) or _TIME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot name a snapshot: it has the form of a commit's CID, number or time")
    if not 1 <= len(name) <= SNAPSHOT_NAME_MAX:
        raise InvalidInput(f"the name of a snapshot has 1 to {SNAPSHOT_NAME_MAX} characters; this one has {len(name)}")
    if not name.isprintable() or any(c in "/@" or c.isspace() for c in name):
        raise InvalidInput(f"{name!r} cannot name a snapshot: it holds a slash, '@', a space or an invisible character")


def _of_cid(text: str) -> OfCid:
    try:
        return OfCid(from_text(text))
    except InvalidCid as error:
        raise InvalidInput(f"{text!r} names no commit: {error}") from error


def _of_number(seq: int) -> OfNumber:
    if seq < 0:
        raise InvalidInput(f"commits are numbered from 1; {seq} names none")
    return OfNumber(seq)


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no time: write one such as 2030-01-01T00:00:00Z") from error
    if found.tzinfo is None:
        raise InvalidInput(f"{text!r} says no time zone: write 2030-01-01T00:00:00Z for midnight UTC")
    return found


def _milliseconds(time: datetime) -> int:
    """The last millisecond that is not after *time*, exactly."""
    if time.utcoffset() is None:
        raise InvalidInput(f"{time!r} says no time zone; give one, such as datetime.UTC")
    since = time - EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000
