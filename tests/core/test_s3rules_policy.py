"""The rules of retention and lifecycle by themselves, on all small cases, against the words of the specification."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from mstbucket.core.s3rules.lifecycle import Phase, latest_due, midnight_before, outermost
from mstbucket.core.s3rules.retention import Lock, check_change, stored_until
from mstbucket.core.times import DAY_MS, moment
from mstbucket.errors import AccessDenied
from mstbucket.model.policies import LifecycleRule

NOW = 1000
NONE = Lock(None, None, None)
MODES, ENDS = ("GOVERNANCE", "COMPLIANCE"), (999, 1000, 2000, 3000)
RETENTIONS = [NONE, *(Lock(mode, until, None) for mode in MODES for until in ENDS)]


def may_change(kept: Lock, wanted: Lock, bypass: bool) -> bool:
    """[LOCK-7], [LOCK-8] word by word."""
    if kept.until is None or kept.until <= NOW:
        return True  # there is none, or it has ended
    if wanted.until is not None and wanted.mode == kept.mode and wanted.until >= kept.until:
        return True  # an extension
    return kept.mode == "GOVERNANCE" and bypass


@pytest.mark.parametrize("bypass", [False, True])
def test_a_retention_changes_exactly_where_the_rules_allow_it(bypass: bool) -> None:
    for kept, wanted in product(RETENTIONS, RETENTIONS):
        if may_change(kept, wanted, bypass):
            check_change("it", kept, wanted, NOW, bypass)
        else:
            with pytest.raises(AccessDenied):
                check_change("it", kept, wanted, NOW, bypass)


@pytest.mark.parametrize(("microseconds", "ms"), [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (-1, 0), (-1001, -1)])
def test_a_retention_never_ends_earlier_than_its_writer_asked_for(microseconds: int, ms: int) -> None:
    assert stored_until(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)) == ms


def test_the_numbers_of_the_phases_are_those_that_databases_hold() -> None:
    assert [(phase.name, phase.value) for phase in Phase] == [
        ("OBJECTS", 0), ("VERSIONS", 1), ("MARKERS", 2), ("UPLOADS", 3), ("DONE", 4),
    ]  # fmt: skip


def test_a_rule_has_a_say_in_the_phases_that_it_is_about() -> None:
    """[LIFE-4] to [LIFE-9]: by days, by date, by delete markers with nothing below them, by versions."""
    midnight = midnight_before(100 * DAY_MS + 5)
    assert midnight == 100 * DAY_MS
    always = latest_due(Phase.OBJECTS, LifecycleRule(expiration_date=moment(midnight)), midnight)
    assert always is not None
    assert always > midnight
    days, date = LifecycleRule(expiration_days=3), LifecycleRule(expiration_date=moment(101 * DAY_MS))
    markers, versions = LifecycleRule(expired_object_delete_marker=True), LifecycleRule(noncurrent_days=7)
    tagged = LifecycleRule(expiration_days=3, tags={"a": "b"})
    due = {
        name: [latest_due(phase, rule, midnight) for phase in (Phase.OBJECTS, Phase.VERSIONS, Phase.MARKERS)]
        for name, rule in {
            "days": days, "date": date, "markers": markers, "versions": versions, "tagged": tagged,
            "off": LifecycleRule(expiration_days=3, noncurrent_days=3, enabled=False),
        }.items()
    }  # fmt: skip
    assert due == {
        "days": [97 * DAY_MS, None, 97 * DAY_MS],
        "date": [None, None, None],
        "markers": [None, None, always],
        "versions": [None, 93 * DAY_MS, None],
        "tagged": [97 * DAY_MS, None, None],
        "off": [None, None, None],
    }


def test_a_prefix_below_another_is_no_range_of_its_own() -> None:
    """The order is that of UTF-8. UTF-16 would swap the last two."""
    assert outermost(["b/", "a/1", "a", "a/", "\U0001f600", "\uffff"]) == ["a", "b/", "\uffff", "\U0001f600"]
    assert outermost(["x", ""]) == [""]
    assert outermost([]) == []
