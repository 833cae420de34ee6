"""The lifecycle rules of a bucket: a row for each, in the order given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.s3rules.lifecycle import stored_date
from mstbucket.core.times import moment
from mstbucket.index.tx import Tx
from mstbucket.model.objects import EMPTY
from mstbucket.model.policies import LifecycleRule

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_COLUMNS: Final = (
    "id, enabled, prefix, tags, larger, smaller, days, date, lone_markers, noncurrent_days, keep, upload_days"
)


class _RuleRow(NamedTuple):
    """A row of `lifecycle_rules`: _COLUMNS."""

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


def add_rules(tx: Tx, rules: Sequence[LifecycleRule]) -> None:
    """Add rules to a bucket that has none. Each has an id."""
    rows = json.dumps([_row_of(rule)._asdict() | {"place": place} for place, rule in enumerate(rules)])
    query = f"""
        INSERT INTO lifecycle_rules (bucket, place, {_COLUMNS})
        SELECT %s, place, {_COLUMNS} FROM jsonb_populate_recordset(NULL::lifecycle_rules, %s::jsonb)
    """
    tx.connection.execute(query, (tx.bucket, rows))


def remove_rules(tx: Tx) -> None:
    """Remove the rules and the place of the pass under way, so that a new pass begins soon ([LIFE-13])."""
    number = (tx.bucket,)
    tx.connection.execute("SELECT 1 FROM buckets WHERE id = %s FOR NO KEY UPDATE", number)  # one configuration at a time
    tx.connection.execute("DELETE FROM lifecycle_rules WHERE bucket = %s", number)
    tx.connection.execute("DELETE FROM lifecycle_passes WHERE bucket = %s", number)


def rules_of(connection: Connection, bucket: int) -> list[LifecycleRule]:
    """The rules of the bucket with this row number, in the order given."""
    query = f"SELECT {_COLUMNS} FROM lifecycle_rules WHERE bucket = %s ORDER BY place"
    return [_rule_of(_RuleRow._make(row)) for row in connection.execute(query, (bucket,), binary=True).fetchall()]


def _row_of(rule: LifecycleRule) -> _RuleRow:
    assert rule.id is not None
    return _RuleRow(
        id=rule.id,
        enabled=rule.enabled,
        prefix=rule.prefix,
        tags=dict(rule.tags) or None,
        larger=rule.object_size_greater_than,
        smaller=rule.object_size_less_than,
        days=rule.expiration_days,
        date=stored_date(rule),
        lone_markers=rule.expired_object_delete_marker,
        noncurrent_days=rule.noncurrent_days,
        keep=rule.newer_noncurrent_versions,
        upload_days=rule.abort_incomplete_multipart_upload_days,
    )


def _rule_of(row: _RuleRow) -> LifecycleRule:
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
