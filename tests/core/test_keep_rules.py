"""Which commits stay, against a slow oracle that sorts them by Python's calendar ([PAST-10] to [PAST-12])."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core import keep_rules
from mstbucket.core.keep_rules import DEFAULT, Rules, judge
from mstbucket.core.times import DAY_MS, EPOCH

HOUR = 3_600_000


def at(text: str) -> int:
    """Milliseconds of a time in UTC."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


PERIODS: dict[str, Callable[[datetime], object]] = {
    "hourly": lambda t: (t.date(), t.hour),
    "daily": lambda t: t.date(),
    "weekly": lambda t: t.isocalendar()[:2],
    "monthly": lambda t: (t.year, t.month),
}


def slowly(times: list[int], rules: Rules, now: int) -> list[bool]:
    """By all commits at once: the newest of each period, then the newest so many of them."""
    stay = {n for n, time in enumerate(times) if rules.everything is not None and now - time <= rules.everything}
    stay |= set(range(min(rules.last or 0, len(times))))
    for name, period in PERIODS.items():
        newest: dict[object, int] = {}
        for n, time in enumerate(times):
            newest.setdefault(period(EPOCH + timedelta(milliseconds=time)), n)
        stay |= set(sorted(newest.values())[: getattr(rules, name) or 0])
    return [n in stay for n in range(len(times))]


NUMBERS = st.none() | st.integers(1, 6)
RULES = st.builds(
    Rules, everything=st.none() | st.integers(1, 40 * DAY_MS), last=NUMBERS, hourly=NUMBERS, daily=NUMBERS, weekly=NUMBERS,
    monthly=NUMBERS,
)  # fmt: skip
NOW = at("2026-11-26T12:00:00")
GAPS = st.lists(st.sampled_from([0, 1, 60_000, HOUR // 3, HOUR, 7 * HOUR, DAY_MS, 6 * DAY_MS, 33 * DAY_MS]), max_size=40)


@given(GAPS, RULES, st.integers(0, 400 * DAY_MS))
def test_what_stays_is_what_the_slow_way_keeps(gaps: list[int], rules: Rules, first: int) -> None:
    """[PAST-10]"""
    times = [NOW - first - sum(gaps[:n]) for n in range(1, len(gaps) + 1)]
    assert list(judge(times, rules, NOW)) == slowly(times, rules, NOW)


@given(GAPS, RULES, st.integers(0, 90 * DAY_MS))
def test_what_was_given_up_once_would_not_be_kept_later(gaps: list[int], rules: Rules, later: int) -> None:
    """[PAST-11]: looking often gives the same as looking once; nothing that is gone is missed."""
    times = [NOW - sum(gaps[:n]) for n in range(1, len(gaps) + 1)]
    first = list(judge(times, rules, NOW))
    left = [time for time, stays in zip(times, first, strict=True) if stays]
    after = [time for time, stays in zip(left, judge(left, rules, NOW + later), strict=True) if stays]
    once = [time for time, stays in zip(times, judge(times, rules, NOW + later), strict=True) if stays]
    assert after == once


@given(st.integers(0, 2**40))
def test_periods_are_those_of_pythons_calendar(ms: int) -> None:
    """[PAST-10]"""
    for name in ("hour", "day", "week", "month"):
        period, theirs = getattr(keep_rules, name), PERIODS[{"day": "daily"}.get(name, f"{name}ly")]
        for other in (ms + HOUR, ms + DAY_MS, ms + 7 * DAY_MS, ms + 31 * DAY_MS, ms - 1):
            here, there = (EPOCH + timedelta(milliseconds=t) for t in (ms, other))
            assert (period(ms) == period(other)) == (theirs(here) == theirs(there))


@pytest.mark.parametrize("ms", [0, -1, 2**63 - 1, -(2**63)])
def test_times_that_no_calendar_has_are_in_some_month(ms: int) -> None:
    """[PAST-10]: a commit that came by an import may state any time."""
    assert keep_rules.month(ms) <= keep_rules.month(ms + 31 * DAY_MS) <= keep_rules.month(ms) + 2


def test_the_default_keeps_a_day_whole_and_the_last_of_each_day_for_thirty_days() -> None:
    """[PAST-12]"""
    times = [NOW - n * HOUR for n in range(24 * 60)]
    stay = [time for time, stays in zip(times, judge(times, DEFAULT, NOW), strict=True) if stays]
    assert stay[:25] == times[:25]
    assert stay[25:] == [at("2026-11-24T23:00:00") - n * DAY_MS for n in range(28)]


def test_a_time_in_the_future_is_not_old() -> None:
    """[PAST-10]"""
    assert list(judge([NOW + DAY_MS, NOW - 2], Rules(everything=1), NOW)) == [True, False]


def test_no_rule_keeps_nothing() -> None:
    assert list(judge([NOW, NOW - 1], Rules(), NOW)) == [False, False]
