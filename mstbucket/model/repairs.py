"""What a repair did, or would lose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that a repair gives up.

    Attributes:
        bucket: name of the bucket.
        key: of the object or version; a version has its number behind an `@`. None for a commit.
        message: what is lost, for people.
    """

    bucket: str
    key: str | None
    message: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did.

    Attributes:
        applied: False where something would be lost, and that was not accepted: nothing was changed.
        repaired: how many rows, keys or blocks are right now, and were not before.
        lost: what was given up, or would be.
        missing: CIDs of blocks that cannot be read, and that the source does not have.
    """

    applied: bool
    repaired: int
    lost: tuple[Loss, ...] = ()
    missing: tuple[str, ...] = ()
