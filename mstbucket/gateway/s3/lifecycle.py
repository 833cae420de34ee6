"""Lifecycle rules, between S3's XML and the library's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mstbucket import LifecycleRule
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.xml_out import document, element, group, moment
from mstbucket.gateway.wire.answer import Answer

_RULE: Final = ("ID", "Status", "Prefix", "Filter", "Expiration", "NoncurrentVersionExpiration",
                "AbortIncompleteMultipartUpload", "Transition", "NoncurrentVersionTransition")  # fmt: skip
_SIZES: Final = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")
_ACTIONS: Final[Mapping[str, Mapping[str, Callable[[str], object]]]] = {
    "Expiration": {"Days": xml_in.number, "Date": xml_in.when, "ExpiredObjectDeleteMarker": xml_in.truth},
    "NoncurrentVersionExpiration": {"NoncurrentDays": xml_in.number, "NewerNoncurrentVersions": xml_in.number},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": xml_in.number},
}


def get_bucket_lifecycle_configuration(call: Call) -> Answer:
    """The rules by which objects expire."""
    rules = call.bucket.get_bucket_lifecycle_configuration()
    return Answer(200, [], document("LifecycleConfiguration", *map(_shown, rules)))


def put_bucket_lifecycle_configuration(call: Call) -> Answer:
    """Replace the rules."""
    found = xml_in.children(call.xml("LifecycleConfiguration"), ("Rule",))
    call.bucket.put_bucket_lifecycle_configuration([_read(rule) for rule in found.get("Rule", [])])
    return Answer()


def delete_bucket_lifecycle(call: Call) -> Answer:
    """Remove the rules."""
    call.bucket.delete_bucket_lifecycle()
    return Answer(204)


# --- in: as boto3 says it, which the library takes -------------------------------------------------------------------------


def _read(node: xml_in.Node) -> dict[str, Any]:
    found = xml_in.children(node, _RULE)
    if "Transition" in found or "NoncurrentVersionTransition" in found:
        raise Refused("NotImplemented", "Transitions to other storage classes are not offered: there is one.")
    rule: dict[str, Any] = {}
    for name in ("ID", "Status", "Prefix"):
        one = xml_in.only(found, name)
        if one is not None:
            rule[name] = one.text or ""
    if rule.get("ID") == "":
        del rule["ID"]  # S3, too, makes one up in place of an empty one
    if "Status" not in rule:
        raise Refused("MalformedXML", "A Rule has a Status")
    condition = xml_in.only(found, "Filter")
    if condition is not None:
        rule["Filter"] = _filter(condition, ("Prefix", "Tag", *_SIZES, "And"))
    for action, fields in _ACTIONS.items():
        one = xml_in.only(found, action)
        if one is not None:
            rule[action] = {name: fields[name](text) for name, text in xml_in.texts(one, fields).items()}
    return rule


def _filter(node: xml_in.Node, names: tuple[str, ...]) -> dict[str, Any]:
    found = xml_in.children(node, names)
    said: dict[str, Any] = {}
    prefix = xml_in.only(found, "Prefix")
    if prefix is not None:
        said["Prefix"] = prefix.text or ""
    for name in _SIZES:
        one = xml_in.only(found, name)
        if one is not None:
            said[name] = xml_in.number(one.text or "")
    tags = [dict(zip(("Key", "Value"), xml_in.pair(tag), strict=True)) for tag in found.get("Tag", [])]
    if "And" in names:
        inner = xml_in.only(found, "And")
        if inner is not None:
            said["And"] = _filter(inner, ("Prefix", "Tag", *_SIZES))
        if len(tags) > 1:
            raise Refused("MalformedXML", "Several conditions of a Filter stand under And")
        return {**said, "Tag": tags[0]} if tags else said
    return {**said, "Tags": tags} if tags else said


# --- out -----------------------------------------------------------------------------------------------------------------


def _shown(rule: LifecycleRule) -> str:
    return group(
        "Rule",
        element("ID", rule.id),
        _shown_filter(rule),
        element("Status", "Enabled" if rule.enabled else "Disabled"),
        _action(
            "Expiration",
            element("Days", rule.expiration_days),
            element("Date", None if rule.expiration_date is None else moment(rule.expiration_date)),
            element("ExpiredObjectDeleteMarker", rule.expired_object_delete_marker or None),
        ),
        _action(
            "NoncurrentVersionExpiration",
            element("NoncurrentDays", rule.noncurrent_days),
            element("NewerNoncurrentVersions", rule.newer_noncurrent_versions),
        ),
        _action(
            "AbortIncompleteMultipartUpload",
            element("DaysAfterInitiation", rule.abort_incomplete_multipart_upload_days),
        ),
    )


def _action(name: str, *inside: str) -> str:
    return group(name, *inside) if any(inside) else ""


def _shown_filter(rule: LifecycleRule) -> str:
    """One condition by itself, several under `And`, none as an empty prefix."""
    tags = [group("Tag", element("Key", key), element("Value", value)) for key, value in rule.tags.items()]
    conditions = [
        *([element("Prefix", rule.prefix)] if rule.prefix else []),
        *tags,
        *([element(_SIZES[0], rule.object_size_greater_than)] if rule.object_size_greater_than is not None else []),
        *([element(_SIZES[1], rule.object_size_less_than)] if rule.object_size_less_than is not None else []),
    ]
    if len(conditions) > 1:
        return group("Filter", group("And", *conditions))
    return group("Filter", *(conditions or [element("Prefix", "")]))
