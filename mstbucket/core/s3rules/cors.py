"""What CORS rules may say, and how they are kept ([GW-50])."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from mstbucket.errors import InvalidInput, InvalidRequest
from mstbucket.limits import CORS_RULES_MAX
from mstbucket.model.cors import CorsRule

METHODS: Final = ("GET", "PUT", "POST", "DELETE", "HEAD")
_ID_MAX: Final = 255
_AGE_MAX: Final = 2**31 - 1
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN: Final = re.compile(r"[\x21-\x7e]+")


def check_rules(rules: Sequence[CorsRule]) -> None:
    """Raise where S3 would refuse the rules.

    Raises:
        InvalidInput, InvalidRequest: the message says why.
    """
    if not 1 <= len(rules) <= CORS_RULES_MAX:
        raise InvalidInput(f"a bucket has 1 to {CORS_RULES_MAX} CORS rules, not {len(rules)}")
    for rule in rules:
        if not rule.allowed_methods or not rule.allowed_origins:
            raise InvalidInput("a CORS rule has allowed methods and allowed origins")
        for method in rule.allowed_methods:
            if method not in METHODS:
                raise InvalidRequest(f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:40]}")
        for origin in rule.allowed_origins:
            if origin.count("*") > 1 or _ORIGIN.fullmatch(origin) is None:
                raise InvalidRequest(f'AllowedOrigin "{origin[:100]}" can not have more than one wildcard, nor blanks.')
        for header in rule.allowed_headers:
            if header.count("*") > 1 or _HEADER.fullmatch(header) is None:
                raise InvalidRequest(f'AllowedHeader "{header[:100]}" is a name with at most one wildcard.')
        for header in rule.expose_headers:
            if "*" in header or _HEADER.fullmatch(header) is None:
                raise InvalidRequest(f'ExposeHeader "{header[:100]}" contains wildcard, which is not supported.')
        if rule.max_age_seconds is not None and not 0 <= rule.max_age_seconds <= _AGE_MAX:
            raise InvalidInput(f"MaxAgeSeconds is from 0 to {_AGE_MAX}")
        if rule.id is not None and len(rule.id) > _ID_MAX:
            raise InvalidInput(f"the ID of a CORS rule has at most {_ID_MAX} characters")


def kept(rules: Sequence[CorsRule]) -> str:
    """Rules as the text that is kept."""
    return json.dumps([asdict(rule) for rule in rules])


def read(text: str) -> tuple[CorsRule, ...]:
    """Rules from the text that is kept."""
    return tuple(_rule(one) for one in json.loads(text))


def _rule(said: dict[str, Any]) -> CorsRule:
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return CorsRule(**lists, max_age_seconds=said["max_age_seconds"], id=said["id"])
