"""Lifecycle by S3's rules: what a rule may say, and what can be due by it. spec/store/22-lifecycle.md is normative."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from mstbucket.core.keys import check_text
from mstbucket.core.s3rules.tags import tag_set
from mstbucket.core.times import DAY_MS, EPOCH
from mstbucket.errors import InvalidInput, InvalidRequest
from mstbucket.limits import (
    LIFECYCLE_DAYS_MAX,
    LIFECYCLE_ID_MAX,
    LIFECYCLE_RULES_MAX,
    NEWER_VERSIONS_MAX,
    OBJECT_SIZE_MAX,
    OBJECT_TAGS_MAX,
    SEQ_MAX,
)
from mstbucket.model.policies import LifecycleRule

_ALWAYS: Final = SEQ_MAX  # later than every time of writing


class Phase(IntEnum):
    """The phases of a pass over a bucket, in their order. The database keeps the numbers, so they stay as they are."""

    OBJECTS = 0
    VERSIONS = 1
    MARKERS = 2
    UPLOADS = 3
    DONE = 4


# --- what is due ---------------------------------------------------------------------------------------------------------


def midnight_before(ms: int) -> int:
    """The midnight UTC at or before a time; both are in ms since 1970."""
    return ms // DAY_MS * DAY_MS


def latest_due(phase: Phase, rule: LifecycleRule, midnight: int) -> int | None:
    """The latest time of writing that can be due by a rule, in ms since 1970; None where the phase has no use for the rule.

    Args:
        phase: OBJECTS, VERSIONS or MARKERS.
        midnight: the pass removes what is due at this time.
    """
    if not rule.enabled:
        return None
    if phase is Phase.OBJECTS:
        return _latest_object(rule, midnight)
    if phase is Phase.VERSIONS:  # a version was written before it became noncurrent
        return None if rule.noncurrent_days is None else midnight - rule.noncurrent_days * DAY_MS
    if _is_narrow(rule):
        return None
    return _ALWAYS if rule.expired_object_delete_marker else _latest_object(rule, midnight)


def _latest_object(rule: LifecycleRule, midnight: int) -> int | None:
    date = stored_date(rule)
    if date is not None:
        return _ALWAYS if date <= midnight else None  # [LIFE-6] whenever the object was written
    return None if rule.expiration_days is None else midnight - rule.expiration_days * DAY_MS


def aborts_uploads(rule: LifecycleRule) -> bool:
    """Whether a rule is about uploads, enabled or not."""
    return rule.abort_incomplete_multipart_upload_days is not None


def stored_date(rule: LifecycleRule) -> int | None:
    """The date of a rule in ms since 1970."""
    date = rule.expiration_date
    return None if date is None else (date - EPOCH) // timedelta(milliseconds=1)


def outermost(prefixes: Iterable[str]) -> list[str]:
    """The prefixes in the order of keys, without those that lie below another."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes), key=str.encode):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


# --- what a rule may say -------------------------------------------------------------------------------------------------


def check_rules(rules: Sequence[LifecycleRule]) -> None:
    """Raise S3's error for the first thing that S3 would refuse in the rules of a bucket ([LIFE-1] to [LIFE-3]).

    Raises:
        InvalidInput, InvalidRequest, InvalidTag: the message says which rule, and why.
    """
    if not rules:
        raise InvalidInput("a configuration has at least one rule; delete_bucket_lifecycle (lifecycle rm) removes all")
    if len(rules) > LIFECYCLE_RULES_MAX:  # [LIFE-1]
        raise InvalidRequest(f"a bucket has up to {LIFECYCLE_RULES_MAX} lifecycle rules, not {len(rules)}")
    seen: set[str] = set()
    for place, rule in enumerate(rules, 1):
        if rule.id is not None:
            _check_id(rule.id, place, seen)
        named = rule if rule.id is not None else replace(rule, id=f"number {place}")  # a name for the messages
        _check_filter(named)
        _check_actions(named)


def _check_id(name: str | None, place: int, seen: set[str]) -> None:
    if not isinstance(name, str) or not name or len(name) > LIFECYCLE_ID_MAX:  # [LIFE-1]
        raise InvalidInput(f"the id of rule {place} has to be a text of 1 to {LIFECYCLE_ID_MAX} characters")
    check_text("id", name)
    if name in seen:
        raise InvalidInput(f"two rules have the id {name!r}: it has to be unique")
    seen.add(name)


def _check_filter(rule: LifecycleRule) -> None:
    """[LIFE-2]"""
    if not isinstance(rule.prefix, str) or not isinstance(rule.tags, Mapping):
        raise InvalidInput(f"rule {rule.id!r}: prefix has to be a text, and tags a map")
    check_text("prefix", rule.prefix)
    tag_set(rule.tags, OBJECT_TAGS_MAX, f"rule {rule.id!r}")
    larger, smaller = rule.object_size_greater_than, rule.object_size_less_than
    for name, size, least in (("object_size_greater_than", larger, 0), ("object_size_less_than", smaller, 1)):
        _check_number(rule, name, size, least, OBJECT_SIZE_MAX)
    if larger is not None and smaller is not None and larger >= smaller:
        raise InvalidRequest(f"rule {rule.id!r}: object_size_less_than has to be more than object_size_greater_than")


def _check_actions(rule: LifecycleRule) -> None:
    """[LIFE-3]"""
    for name in ("expiration_days", "noncurrent_days", "abort_incomplete_multipart_upload_days"):
        _check_number(rule, name, getattr(rule, name), 1, LIFECYCLE_DAYS_MAX)
    _check_number(rule, "newer_noncurrent_versions", rule.newer_noncurrent_versions, 1, NEWER_VERSIONS_MAX)
    if rule.newer_noncurrent_versions is not None and rule.noncurrent_days is None:
        raise InvalidInput(f"rule {rule.id!r}: newer_noncurrent_versions goes with noncurrent_days")
    _check_date(rule)
    if not isinstance(rule.enabled, bool) or not isinstance(rule.expired_object_delete_marker, bool):
        raise InvalidInput(f"rule {rule.id!r}: enabled and expired_object_delete_marker are True or False")
    of_current = (rule.expiration_days is not None) + (rule.expiration_date is not None) + rule.expired_object_delete_marker
    if of_current > 1:
        raise InvalidInput(
            f"rule {rule.id!r} says more than one of expiration_days, expiration_date and expired_object_delete_marker"
        )
    aborts = aborts_uploads(rule)
    if of_current == 0 and rule.noncurrent_days is None and not aborts:
        raise InvalidRequest(f"rule {rule.id!r} does nothing: give it at least one action")
    if _is_narrow(rule) and (aborts or rule.expired_object_delete_marker):
        raise InvalidRequest(
            f"rule {rule.id!r}: uploads and delete markers have neither tags nor sizes, so a filter by these cannot go with "
            "abort_incomplete_multipart_upload_days or expired_object_delete_marker"
        )


def _is_narrow(rule: LifecycleRule) -> bool:
    """Whether a rule filters by what only objects have: tags or sizes."""
    has_size = rule.object_size_greater_than is not None or rule.object_size_less_than is not None
    return bool(rule.tags) or has_size


def _check_date(rule: LifecycleRule) -> None:
    date = rule.expiration_date
    if date is None:
        return
    if not isinstance(date, datetime) or date.utcoffset() is None or (date - EPOCH) % timedelta(days=1):
        raise InvalidInput(f"rule {rule.id!r}: expiration_date has to be a midnight UTC, with its time zone, not {date}")


def _check_number(rule: LifecycleRule, name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and (type(value) is not int or not least <= value <= most):
        raise InvalidInput(f"rule {rule.id!r}: {name} is a whole number from {least} to {most}, not {value!r}")
