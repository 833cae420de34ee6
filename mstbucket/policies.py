"""What a store does to objects by rule and by time: retention of versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

RetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]


@dataclass(frozen=True, slots=True)
class Retention:
    """Until when a version cannot be removed, and by whom the time can be shortened.

    Attributes:
        mode: `GOVERNANCE`, which a caller can bypass who says so; `COMPLIANCE`, which nobody can.
        retain_until: an aware datetime.
    """

    mode: RetentionMode
    retain_until: datetime


@dataclass(frozen=True, slots=True)
class DefaultRetention:
    """The retention that versions of a bucket get when they are written, where their writer asks for none.

    Attributes:
        mode: as in `Retention`.
        days: from the time of the write; up to 36,500.
        years: in place of days; up to 100, counted by the calendar.
    """

    mode: RetentionMode
    days: int | None = None
    years: int | None = None
