"""Random histories and random rules: a pass leaves exactly what a plain reading of the specification leaves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import LifecycleReport, LifecycleRule
from mstbucket.services.policy import lifecycle_pass as expiring

DAY = 24 * 3600 * 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEYS = ("a/1", "a/1", "b")
NOTHING = LifecycleReport(0, 0, 0, 0)


# --- the oracle ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """One of a key's versions; its id is "new" where the pass itself makes it."""

    id: str
    marker: bool
    written: int
    size: int | None
    tags: tuple[tuple[str, str], ...]


def ready(time: int, days: int) -> int:
    """[LIFE-4] the time and the days, rounded up to a midnight UTC."""
    return -(-(time + days * DAY) // DAY) * DAY


def lets_pass(rule: LifecycleRule, key: str, version: Version) -> bool:
    """[LIFE-2]"""
    sized = rule.object_size_greater_than is not None or rule.object_size_less_than is not None
    if version.marker and (sized or rule.tags):
        return False
    if rule.object_size_greater_than is not None and not (version.size or 0) > rule.object_size_greater_than:
        return False
    if rule.object_size_less_than is not None and not (version.size or 0) < rule.object_size_less_than:
        return False
    return rule.enabled and key.startswith(rule.prefix) and set(rule.tags.items()) <= set(version.tags)


def is_old(rule: LifecycleRule, written: int, now: int) -> bool:
    """[LIFE-5], [LIFE-6]"""
    by_days = rule.expiration_days is not None and now >= ready(written, rule.expiration_days)
    by_date = rule.expiration_date is not None and now >= (rule.expiration_date - EPOCH) // timedelta(milliseconds=1)
    return by_days or by_date


def after_a_pass(
    key: str, versions: Sequence[Version], state: str | None, rules: Sequence[LifecycleRule], now: int
) -> list[Version]:
    """What is left of a key's versions, newest first."""
    rest = list(versions)
    if rest and not rest[0].marker and any(lets_pass(r, key, rest[0]) and is_old(r, rest[0].written, now) for r in rules):
        if state is None:
            return []
        if state == "Suspended":
            rest = [version for version in rest if version.id != "null"]
        rest.insert(0, Version("new", True, now, None, ()))
    kept = rest[:1]
    for place, version in enumerate(rest[1:]):  # [LIFE-7], [LIFE-8]; `place` noncurrent ones are newer
        since = max(version.written, rest[place].written)
        if not any(
            lets_pass(r, key, version)
            and r.noncurrent_days is not None
            and now >= ready(since, r.noncurrent_days)
            and place >= (r.newer_noncurrent_versions or 0)
            for r in rules
        ):
            kept.append(version)
    if len(kept) == 1 and kept[0].marker and any(
        lets_pass(r, key, kept[0]) and (r.expired_object_delete_marker or is_old(r, kept[0].written, now)) for r in rules
    ):
        return []  # [LIFE-9]
    return kept


def seen(bucket: mstbucket.Bucket) -> dict[str, list[Version]]:
    """What is in the bucket, by the listing and the tags."""
    found: dict[str, list[Version]] = {}
    for v in bucket.list_object_versions().versions:
        tags = {} if v.delete_marker else bucket.get_object_tagging(v.key, version_id=v.version_id)
        written = (v.last_modified - EPOCH) // timedelta(milliseconds=1)
        version = Version(v.version_id, v.delete_marker, written, v.size, tuple(sorted(tags.items())))
        found.setdefault(v.key, []).append(version)
    return found


# --- histories and rules -------------------------------------------------------------------------------------------------

few = st.integers(1, 3)
tag_sets = st.sampled_from([{}, {"x": "1"}, {"x": "2"}, {"x": "1", "y": "2"}])
filters = st.sampled_from([
    {}, {}, {}, {}, {"prefix": "a/"}, {"prefix": "a"}, {"prefix": "b"}, {"enabled": False}, {"tags": {"x": "1"}},
    {"tags": {"x": "1", "y": "2"}, "prefix": "a"}, {"object_size_greater_than": 2}, {"object_size_less_than": 3},
    {"object_size_greater_than": 0, "object_size_less_than": 4},
])  # fmt: skip
actions = st.one_of(
    st.fixed_dictionaries({"expiration_days": few}),
    st.fixed_dictionaries({"expired_object_delete_marker": st.just(True)}),
    st.fixed_dictionaries({"noncurrent_days": few}, optional={"newer_noncurrent_versions": few}),
    st.fixed_dictionaries({"noncurrent_days": few, "newer_noncurrent_versions": few}),
    st.fixed_dictionaries({"noncurrent_days": few, "expired_object_delete_marker": st.just(True)}),
    st.fixed_dictionaries({"expiration_days": few, "noncurrent_days": few}, optional={"newer_noncurrent_versions": few}),
    st.fixed_dictionaries({"expiration_date": st.integers(0, 6)}),
)
rules_and_days = st.lists(st.tuples(filters, actions), min_size=1, max_size=2)

keys = st.sampled_from(KEYS)
puts = st.tuples(st.just("put"), keys, st.integers(0, 5), tag_sets)
deletes = st.tuples(st.just("delete"), keys)
waits = st.tuples(st.just("wait"), st.integers(-20, 40))  # hours; the clocks of several machines differ
steps = st.one_of(
    puts, puts, puts, puts, deletes, deletes, waits, waits,
    st.tuples(st.just("remove"), st.integers(0, 9)),
    st.tuples(st.just("tag"), keys, tag_sets),
    st.one_of(st.tuples(st.just("versioning"), st.sampled_from(["Enabled", "Suspended"])), st.tuples(st.just("pass"))),
)  # fmt: skip


def rule_of(which: dict[str, Any], what: dict[str, Any], start: int) -> LifecycleRule:
    """A rule that is allowed; its date is so many days after the beginning."""
    both = {**which, **what}
    if "expiration_date" in both:
        both["expiration_date"] = EPOCH + timedelta(milliseconds=start) + timedelta(days=both["expiration_date"])
    if "expired_object_delete_marker" in both:
        for name in ("tags", "object_size_greater_than", "object_size_less_than"):
            both.pop(name, None)
    return LifecycleRule(**both)


def take(bucket: mstbucket.Bucket, step: tuple[Any, ...], clock: Any) -> None:
    """One step of a history."""
    match step:
        case ("put", key, size, tags):
            bucket.put_object(key, bytes(size), tags=tags)
        case ("delete", key):
            bucket.delete_object(key)
        case ("remove", place):
            there = bucket.list_object_versions().versions
            if there:
                version = there[place % len(there)]
                bucket.delete_object(version.key, version_id=version.version_id)
        case ("tag", key, tags):
            if key in {o.key for o in bucket.objects()}:
                bucket.put_object_tagging(key, tags)
        case ("wait", hours):
            clock.pass_days(hours / 24)
        case ("versioning", state):
            bucket.put_bucket_versioning(state)
        case ("pass",):
            expiring.run(bucket._context, bucket.name, clock.ms)


numbers = itertools.count()


@pytest.mark.parametrize(("scan", "batch"), [(10_000, 1000), (2, 1)], ids=["large pages", "small pages"])
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    history=st.lists(steps, min_size=12, max_size=30),
    rules=rules_and_days,
    state=st.sampled_from([None, "Enabled", "Enabled", "Enabled", "Suspended"]),
    days=st.integers(0, 3),
)
def test_a_pass_leaves_what_the_rules_say(
    store: mstbucket.Store,
    clock: Any,
    scan: int,
    batch: int,
    history: list[Any],
    rules: list[Any],
    state: str | None,
    days: int,
) -> None:
    """[LIFE-2], [LIFE-4] to [LIFE-9], [LIFE-12]: on top of any history, and the tree says the same as the index."""
    expiring.SCAN, expiring.BATCH = scan, batch  # type: ignore[misc]
    start = clock.ms
    try:
        bucket = store.create_bucket(f"b-{next(numbers):06}")
        if state is not None:
            bucket.put_bucket_versioning(state)
        wanted = [rule_of(which, what, start) for which, what in rules]
        bucket.put_bucket_lifecycle_configuration(wanted)
        for step in history:
            take(bucket, step, clock)
        clock.pass_days(days)
        before, now = seen(bucket), clock.ms
        versioning = bucket.get_bucket_versioning()
        left = {key: after_a_pass(key, versions, versioning, wanted, now) for key, versions in before.items()}
        report = expiring.run(bucket._context, bucket.name, now)
        after = {
            key: [v if v in before[key] else replace(v, id="new") for v in versions]  # what changed at all would show
            for key, versions in seen(bucket).items()
        }
        assert after == {key: versions for key, versions in left.items() if versions}
        assert (report == NOTHING) == (after == before)
        assert expiring.run(bucket._context, bucket.name, now) == NOTHING
        bucket.flush()
        bucket.verify()
    finally:
        expiring.SCAN, expiring.BATCH = 10_000, 1000  # type: ignore[misc]
        clock.ms = start

