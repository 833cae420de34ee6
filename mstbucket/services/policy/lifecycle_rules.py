"""Lifecycle rules as such: what a rule may say, and where a bucket's rules are kept. What they do: `services.expiring`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mstbucket.core.keys import check_text
from mstbucket.core.s3rules.tags import tag_set
from mstbucket.core.times import moment
from mstbucket.errors import InvalidInput, InvalidRequest, NoSuchLifecycleConfiguration
from mstbucket.index.buckets import bucket_id
from mstbucket.limits import (
    LIFECYCLE_DAYS_MAX,
    LIFECYCLE_ID_MAX,
    LIFECYCLE_RULES_MAX,
    NEWER_VERSIONS_MAX,
    OBJECT_SIZE_MAX,
    OBJECT_TAGS_MAX,
)
from mstbucket.model.objects import EMPTY
from mstbucket.model.policies import LifecycleRule
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row

DAY_MS: Final = 24 * 3600 * 1000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: Final = (
    "id, enabled, prefix, tags, larger, smaller, days, date, lone_markers, noncurrent_days, keep, upload_days"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of `lifecycle_rules`; times in ms since 1970."""

    id: str
    enabled: bool
    prefix: str
    tags: dict[str, str] | None
    larger: int | None
    smaller: int | None
    days: int | None
    date: int | None
    lone_markers: bool
    noncurrent_days: int | None
    keep: int | None
    upload_days: int | None


# --- the rules of a bucket -----------------------------------------------------------------------------------------------


def put_rules(db: Database, bucket: str, rules: Sequence[LifecycleRule]) -> None:
    """Replace the bucket's rules; see `Bucket.put_bucket_lifecycle_configuration`."""
    rows = json.dumps([_row(rule) | {"place": place} for place, rule in enumerate(_checked(rules))])
    query = f"""
        INSERT INTO lifecycle_rules (bucket, place, {_COLUMNS})
        SELECT %s, place, {_COLUMNS} FROM jsonb_populate_recordset(NULL::lifecycle_rules, %s::jsonb)
    """

    def work(connection: Any) -> None:
        number = _forget(connection, bucket)
        connection.execute(query, (number, rows))

    db.run(work)


def delete_rules(db: Database, bucket: str) -> None:
    """Remove the bucket's rules; see `Bucket.delete_bucket_lifecycle`."""
    db.run(lambda connection: _forget(connection, bucket))


def _forget(connection: Any, bucket: str) -> int:
    """Remove the rules, and the place of the pass under way: the next one goes by the new rules, and soon ([LIFE-13])."""
    number: int = one_row(connection, "SELECT bucket FROM enter(%s)", (bucket,))[0]
    connection.execute("SELECT 1 FROM buckets WHERE id = %s FOR NO KEY UPDATE", (number,))  # one configuration at a time
    connection.execute("DELETE FROM lifecycle_rules WHERE bucket = %s", (number,))
    connection.execute("DELETE FROM lifecycle_passes WHERE bucket = %s", (number,))
    return number


def rules_of(db: Database, bucket: str) -> list[LifecycleRule]:
    """The bucket's rules; see `Bucket.get_bucket_lifecycle_configuration`."""
    with db.reading() as connection:
        rows = load_rules(connection, bucket_id(connection, bucket))
    if not rows:
        raise NoSuchLifecycleConfiguration(f"bucket {bucket!r} has no lifecycle rules")
    return [_shown(row) for row in rows]


def load_rules(connection: Any, number: int) -> list[Rule]:
    """The rules of the bucket with row `number`, as they are kept, in the order given."""
    query = f"SELECT {_COLUMNS} FROM lifecycle_rules WHERE bucket = %s ORDER BY place"
    return [Rule(*row) for row in connection.execute(query, (number,), binary=True)]


def _row(rule: LifecycleRule) -> dict[str, object]:
    """A rule as the columns of its row."""
    date = rule.expiration_date
    return {
        "id": rule.id,
        "enabled": rule.enabled,
        "prefix": rule.prefix,
        "tags": dict(rule.tags) or None,
        "larger": rule.object_size_greater_than,
        "smaller": rule.object_size_less_than,
        "days": rule.expiration_days,
        "date": None if date is None else (date - _EPOCH) // timedelta(milliseconds=1),
        "lone_markers": rule.expired_object_delete_marker,
        "noncurrent_days": rule.noncurrent_days,
        "keep": rule.newer_noncurrent_versions,
        "upload_days": rule.abort_incomplete_multipart_upload_days,
    }


def _shown(row: Rule) -> LifecycleRule:
    """A row as the rule that was given."""
    return LifecycleRule(
        id=row.id,
        enabled=row.enabled,
        prefix=row.prefix,
        tags=row.tags or EMPTY,
        object_size_greater_than=row.larger,
        object_size_less_than=row.smaller,
        expiration_days=row.days,
        expiration_date=None if row.date is None else moment(row.date),
        expired_object_delete_marker=row.lone_markers,
        noncurrent_days=row.noncurrent_days,
        newer_noncurrent_versions=row.keep,
        abort_incomplete_multipart_upload_days=row.upload_days,
    )


# --- what a rule may say -------------------------------------------------------------------------------------------------


def _checked(rules: Sequence[LifecycleRule]) -> list[LifecycleRule]:
    """The rules, each with an id, or S3's error for the first thing that it would refuse ([LIFE-1] to [LIFE-3])."""
    if not rules:
        raise InvalidInput("a configuration has at least one rule; delete_bucket_lifecycle (lifecycle rm) removes all")
    if len(rules) > LIFECYCLE_RULES_MAX:  # [LIFE-1]
        raise InvalidRequest(f"a bucket has up to {LIFECYCLE_RULES_MAX} lifecycle rules, not {len(rules)}")
    seen: set[str] = set()
    for place, rule in enumerate(rules, 1):
        if rule.id is not None:
            _check_id(rule.id, place, seen)
        called = rule if rule.id is not None else replace(rule, id=f"number {place}")  # for messages: its id is to come
        _check_filter(called)
        _check_actions(called)
    return [rule if rule.id is not None else replace(rule, id=secrets.token_urlsafe(24)) for rule in rules]


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
    aborts = rule.abort_incomplete_multipart_upload_days is not None
    if of_current == 0 and rule.noncurrent_days is None and not aborts:
        raise InvalidRequest(f"rule {rule.id!r} does nothing: give it at least one action")
    narrow = rule.tags or rule.object_size_greater_than is not None or rule.object_size_less_than is not None
    if narrow and (aborts or rule.expired_object_delete_marker):
        raise InvalidRequest(
            f"rule {rule.id!r}: uploads and delete markers have neither tags nor sizes, so a filter by these cannot go with "
            "abort_incomplete_multipart_upload_days or expired_object_delete_marker"
        )


def _check_date(rule: LifecycleRule) -> None:
    date = rule.expiration_date
    if date is None:
        return
    if not isinstance(date, datetime) or date.utcoffset() is None or (date - _EPOCH) % timedelta(days=1):
        raise InvalidInput(f"rule {rule.id!r}: expiration_date has to be a midnight UTC, with its time zone, not {date}")


def _check_number(rule: LifecycleRule, name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and (type(value) is not int or not least <= value <= most):
        raise InvalidInput(f"rule {rule.id!r}: {name} is a whole number from {least} to {most}, not {value!r}")
