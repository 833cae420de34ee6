"""Which commits of a bucket stay: the newest of each of the last hours, days, weeks and months, as backup tools keep them.

Periods are those of the calendar, in UTC; a week begins on Monday. A period without a commit does not count. Commits are
judged one after the other, newest first, so a history of any length takes no memory. spec/store/25-past.md is normative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mstbucket.core.times import DAY_MS

_HOUR_MS: Final = 3_600_000
_DAYS_BEFORE_MONDAY: Final = 3  # 1970 began on a Thursday


@dataclass(frozen=True, slots=True)
class Rules:
    """What keeps a commit; any one of them is enough, and None keeps nothing.

    Attributes:
        everything: an age in ms: what is not older stays.
        last: so many of the newest commits stay.
        hourly, daily, weekly, monthly: the newest commit of so many of the last periods stays.
    """

    everything: int | None = None
    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None


#: Of a bucket for which nothing was said: all commits of 24 hours, then one for each day, for 30 days ([PAST-12]).
DEFAULT: Final = Rules(everything=DAY_MS, daily=30)


def hour(ms: int) -> int:
    """The number of the hour."""
    return ms // _HOUR_MS


def day(ms: int) -> int:
    """The number of the day."""
    return ms // DAY_MS


def week(ms: int) -> int:
    """The number of the week, which begins on Monday."""
    return (day(ms) + _DAYS_BEFORE_MONDAY) // 7


def month(ms: int) -> int:
    """The number of the month of the Gregorian calendar, also in years that no library's calendar has."""
    # Days from 1 March of the year 0, in cycles of 400 years: then a leap day is the last of its year.
    cycle, rest = divmod(day(ms) + 719_468, 146_097)
    year = (rest - rest // 1460 + rest // 36_524 - rest // 146_096) // 365
    since_march = rest - (365 * year + year // 4 - year // 100)
    return (cycle * 400 + year) * 12 + (5 * since_march + 2) // 153


class Keeper:
    """Judges the commits of one bucket, from the newest to the oldest ([PAST-10])."""

    def __init__(self, rules: Rules, now: int) -> None:
        self._oldest = None if rules.everything is None else now - rules.everything
        by_periods = ((hour, rules.hourly), (day, rules.daily), (week, rules.weekly), (month, rules.monthly))
        wanted = ((_each(), rules.last), *by_periods)
        self._left = [_Left(period, number) for period, number in wanted if number is not None]

    def keeps(self, time: int) -> bool:
        """Whether the next commit, which was made at that time, stays by one of the rules."""
        kept = [left.takes(time) for left in self._left]  # each of them counts
        return any(kept) or (self._oldest is not None and time >= self._oldest)


def judge(times: Iterable[int], rules: Rules, now: int) -> Iterator[bool]:
    """Whether each of these commits stays; they come newest first."""
    keeper = Keeper(rules, now)
    return (keeper.keeps(time) for time in times)


class _Left:
    """How many periods of one kind may still keep their newest commit."""

    def __init__(self, period: Callable[[int], int], number: int) -> None:
        self._period = period
        self._number = number
        self._last: int | None = None

    def takes(self, time: int) -> bool:
        if self._number == 0:
            return False
        period = self._period(time)
        if period == self._last:
            return False
        self._last = period
        self._number -= 1
        return True


def _each() -> Callable[[int], int]:
    """A kind of period that every commit has for itself."""
    numbers = iter(range(2**63))
    return lambda _ms: next(numbers)
