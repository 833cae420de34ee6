"""Lifecycle rules in S3's shape, as `LifecycleRule` ([ARG-3]). `core.s3rules.lifecycle` says what a rule may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mstbucket.api.arguments.plain import wrong
from mstbucket.api.arguments.tags import tag_pairs
from mstbucket.errors import InvalidInput, InvalidTag, Unsupported
from mstbucket.later import later
from mstbucket.limits import LIFECYCLE_RULES_MAX
from mstbucket.model.policies import LifecycleRule

if TYPE_CHECKING:
    from mstbucket.api.arguments.shapes import fields, several
    from mstbucket.model.policies import LifecycleRules
else:
    fields = later("mstbucket.api.arguments.shapes", "fields")
    several = later("mstbucket.api.arguments.shapes", "several")

_RULES: Final = "LifecycleRule(…), or S3's {'ID': …, 'Status': …, 'Filter': …, 'Expiration': …}, in a list or {'Rules': […]}"
_FILTER: Final = ("Prefix", "Tag", "Tags", "And", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
_MOVES: Final = ("Transitions", "NoncurrentVersionTransitions", "Transition", "NoncurrentVersionTransition")
_ACTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Expiration": {
        "Days": "expiration_days",
        "Date": "expiration_date",
        "ExpiredObjectDeleteMarker": "expired_object_delete_marker",
    },
    "NoncurrentVersionExpiration": {
        "NoncurrentDays": "noncurrent_days",
        "NewerNoncurrentVersions": "newer_noncurrent_versions",
    },
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "abort_incomplete_multipart_upload_days"},
}


def lifecycle_rules(value: LifecycleRules) -> list[LifecycleRule]:
    """The rules of a configuration.

    Raises:
        InvalidInput: it is none of the shapes.
        Unsupported: a rule moves objects to another storage class.
    """
    also = ("TransitionDefaultMinimumObjectSize",)  # about transitions, which there are none of
    return [_rule(rule) for rule in several("rules", value, "Rules", also, _RULES, LIFECYCLE_RULES_MAX)]


def _rule(rule: Any) -> LifecycleRule:
    if isinstance(rule, LifecycleRule):
        return rule
    if not isinstance(rule, Mapping):
        raise wrong("a rule", rule, _RULES)
    if any(rule.get(name) for name in _MOVES):
        raise Unsupported("a rule moves objects to another storage class: there is one, so leave out its transitions")
    fields("a rule", rule, ("ID", "Status", "Filter", "Prefix", *_ACTIONS, *_MOVES), ("Status",))
    if rule["Status"] not in ("Enabled", "Disabled"):
        raise InvalidInput("a rule's Status is 'Enabled' or 'Disabled'")
    said: dict[str, Any] = {"id": rule.get("ID"), "enabled": rule["Status"] == "Enabled", **_filter(rule)}
    for action, names in _ACTIONS.items():
        given = rule.get(action)
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise wrong(f"a rule's {action}", given, f"a map of {', '.join(names)}")
        fields(f"a rule's {action}", given, names)
        said |= {names[name]: number for name, number in given.items()}
    return LifecycleRule(**said)


def _filter(rule: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule applies to: its `Filter`, one condition or several under `And`; or, as once, its `Prefix`."""
    given = rule.get("Filter")
    if given is None:
        return {"prefix": rule.get("Prefix", "")}
    if "Prefix" in rule:
        raise InvalidInput("a rule has a Filter or a Prefix, not both")
    _check_filter(given)
    if "And" in given:
        if len(given) > 1:
            raise InvalidInput("a rule's Filter with And has nothing beside it: put all conditions into And")
        given = given["And"]
        _check_filter(given)
        if "And" in given or "Tag" in given:
            raise InvalidInput("And in a rule's Filter takes Prefix, Tags and sizes")
    elif "Tags" in given or len(given) > 1:
        raise InvalidInput("a rule's Filter has one condition; several of them stand under And")
    tags = given.get("Tags", [given["Tag"]] if "Tag" in given else [])
    pairs = tag_pairs("a rule's tags", tags)
    named = dict(pairs)
    if len(named) < len(pairs):
        raise InvalidTag("a rule's tags name a key twice")
    return {
        "prefix": given.get("Prefix", ""),
        "tags": named,
        "object_size_greater_than": given.get("ObjectSizeGreaterThan"),
        "object_size_less_than": given.get("ObjectSizeLessThan"),
    }


def _check_filter(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise wrong("a rule's Filter", given, "a map such as {'Prefix': 'logs/'}")
    fields("a rule's Filter", given, _FILTER)
