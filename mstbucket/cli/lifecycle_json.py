"""Lifecycle rules in S3's own JSON, as `aws s3api put-bucket-lifecycle-configuration` takes it ([CLI-156])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mstbucket.cli.output import iso

if TYPE_CHECKING:
    from mstbucket import LifecycleRule

_FILTERS: Final = {"ObjectSizeGreaterThan": "object_size_greater_than", "ObjectSizeLessThan": "object_size_less_than"}
_ACTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Expiration": {
        "Days": "expiration_days", "Date": "expiration_date", "ExpiredObjectDeleteMarker": "expired_object_delete_marker",
    },
    "NoncurrentVersionExpiration": {
        "NoncurrentDays": "noncurrent_days", "NewerNoncurrentVersions": "newer_noncurrent_versions",
    },
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "abort_incomplete_multipart_upload_days"},
}  # fmt: skip


def is_s3(found: object) -> bool:
    """Whether JSON is S3's: an object with `Rules`, or a list of rules that have a `Status`."""
    if isinstance(found, dict):
        return "Rules" in found
    return isinstance(found, list) and any(isinstance(rule, dict) and "Status" in rule for rule in found)


def rules_of(found: Any) -> list[Any]:
    """The rules in S3's JSON, none of them checked yet."""
    rules = found.get("Rules") if isinstance(found, dict) else found
    return rules if isinstance(rules, list) else []


def configuration(rules: Iterable[LifecycleRule]) -> dict[str, object]:
    """The rules as S3's JSON has them."""
    return {"Rules": [_rule(rule) for rule in rules]}


def _rule(rule: LifecycleRule) -> dict[str, object]:
    said: dict[str, object] = {"ID": rule.id, "Filter": _filter(rule), "Status": "Enabled" if rule.enabled else "Disabled"}
    for action, names in _ACTIONS.items():
        given = {name: getattr(rule, ours) for name, ours in names.items()}
        given = {name: value for name, value in given.items() if value is not None and value is not False}
        if given.get("Date") is not None:
            given["Date"] = iso(given["Date"])
        if given:
            said[action] = given
    return said


def _filter(rule: LifecycleRule) -> dict[str, object]:
    tags = [{"Key": key, "Value": value} for key, value in rule.tags.items()]
    sizes = {name: getattr(rule, ours) for name, ours in _FILTERS.items() if getattr(rule, ours) is not None}
    said: dict[str, object] = {**({"Prefix": rule.prefix} if rule.prefix else {}), **sizes}
    if len(said) + len(tags) > 1:
        return {"And": {**said, **({"Tags": tags} if tags else {})}}
    return {**said, **({"Tag": tags[0]} if tags else {})} or {"Prefix": ""}
