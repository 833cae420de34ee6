"""Milliseconds since 1970 as a calendar's times, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_MS: Final = -62135596800000  # the first millisecond of the year 1
LATEST_MS: Final = 253402300799999  # the last millisecond of the year 9999
DAY_MS: Final = 24 * 3600 * 1000


def moment(ms: int) -> datetime:
    """Milliseconds since 1970 as an aware datetime; exact, which a float division would not be.

    A foreign manifest may state a time that no calendar of Python holds: that is the first or last moment there is.
    """
    return EPOCH + timedelta(milliseconds=shown_ms(ms))


def shown_ms(ms: int) -> int:
    """The milliseconds of `moment`: what a caller was shown, and so is what may be compared with what it gives back."""
    return min(max(ms, EARLIEST_MS), LATEST_MS)
