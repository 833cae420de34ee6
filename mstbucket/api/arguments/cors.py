"""CORS rules in S3's shape, as `CorsRule` ([ARG-3])."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mstbucket.api.arguments.plain import wrong
from mstbucket.later import later
from mstbucket.limits import CORS_RULES_MAX
from mstbucket.model.cors import CorsRule

if TYPE_CHECKING:
    from mstbucket.api.arguments.shapes import fields, several
    from mstbucket.model.cors import CorsRules
else:
    fields = later("mstbucket.api.arguments.shapes", "fields")
    several = later("mstbucket.api.arguments.shapes", "several")

_RULES: Final = "CorsRule(…), or S3's {'AllowedMethods': […], 'AllowedOrigins': […]}, in a list or {'CORSRules': […]}"
_LISTS: Final = {
    "AllowedMethods": "allowed_methods", "AllowedOrigins": "allowed_origins", "AllowedHeaders": "allowed_headers",
    "ExposeHeaders": "expose_headers",
}  # fmt: skip


def cors_rules(value: CorsRules) -> list[CorsRule]:
    """The rules of a configuration.

    Raises:
        InvalidInput: it is none of the shapes.
    """
    return [_rule(rule) for rule in several("rules", value, "CORSRules", (), _RULES, CORS_RULES_MAX)]


def _rule(rule: Any) -> CorsRule:
    if isinstance(rule, CorsRule):
        return rule
    if not isinstance(rule, Mapping):
        raise wrong("a rule", rule, _RULES)
    fields("a rule", rule, (*_LISTS, "MaxAgeSeconds", "ID"), ("AllowedMethods", "AllowedOrigins"))
    lists = {name: _texts(key, rule.get(key, ())) for key, name in _LISTS.items()}
    age, name = rule.get("MaxAgeSeconds"), rule.get("ID")
    if age is not None and (isinstance(age, bool) or not isinstance(age, int)):
        raise wrong("MaxAgeSeconds", age, "a whole number of seconds")
    if name is not None and not isinstance(name, str):
        raise wrong("ID", name, "a string")
    return CorsRule(**lists, max_age_seconds=age, id=name)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise wrong(name, value, "a list of strings")
    return tuple(value)
