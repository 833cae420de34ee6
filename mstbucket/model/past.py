"""The past of a bucket: named commits, and which of the others stay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A commit that has a name, and stays as long as it has.

    Attributes:
        name: of the snapshot.
        seq: the number of the commit.
        commit: its CID.
        created: when it got the name, UTC.
        time: when the commit was made, UTC.
        objects, bytes: how many objects it holds, and the sum of their sizes.
    """

    name: str
    seq: int
    commit: str
    created: datetime
    time: datetime
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """Which commits of a bucket stay that have no name. Any one rule is enough; None keeps nothing by that rule.

    Periods are those of the calendar, in UTC; weeks begin on Monday. Periods without a commit do not count. The newest
    commit stays always.

    Attributes:
        everything: every commit that is not older.
        last: so many of the newest commits.
        hourly, daily, weekly, monthly: the newest commit of each of so many of the last periods that have one.
    """

    everything: timedelta | None = None
    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None


#: Where nothing was said: everything of 24 hours, then one commit of each day, for 30 days.
DEFAULT_KEEP = KeepPolicy(everything=timedelta(days=1), daily=30)


@dataclass(frozen=True, slots=True)
class RestoreChange:
    """A key that a restore changes: the CIDs of the manifests that it had, and that it had in the earlier commit.

    `old` is None where there was no object, `new` where it is deleted. In a bucket with versions the object that is stored
    is a new version, so its own manifest is another one than `new`.
    """

    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did, or would do.

    Attributes:
        restored: CID of the commit whose state was restored.
        commit: CID of the newest commit afterwards; no new one where nothing had to change, or nothing was done.
        changes: in the order of keys.
    """

    restored: str
    commit: str
    changes: tuple[RestoreChange, ...]


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """A key that both buckets changed since they parted, each in another way: the CIDs of its manifests, None for no object.

    Attributes:
        base: where they parted.
        ours: in the bucket that is merged into.
        theirs: in the other one.
    """

    key: str
    base: str | None
    ours: str | None
    theirs: str | None


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did, or would do.

    Attributes:
        base: CID of the commit where the two buckets parted, or met last.
        merged: CID of the commit whose changes came in.
        commit: CID of the newest commit afterwards; no new one where nothing had to change, or nothing was done.
        changes: in the order of keys.
        conflicts: the keys that both changed, however they were decided.
    """

    base: str
    merged: str
    commit: str
    changes: tuple[RestoreChange, ...]
    conflicts: tuple[MergeConflict, ...]
