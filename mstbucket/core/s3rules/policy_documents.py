"""Policy documents as AWS writes them, read strictly: what is not understood is refused, never ignored ([GW-40])."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from mstbucket.errors import MalformedPolicy, Unsupported
from mstbucket.limits import POLICY_SIZE_MAX
from mstbucket.model.access_policy import EVERYBODY, AccessPolicy, Condition, Statement, matches

ARN: Final = "arn:aws:s3:::"
EXISTING_TAG: Final = "s3:ExistingObjectTag/"

#: Every action that somebody may be asked about. One that is not here is a slip of the pen: a Deny of it would do nothing.
ACTIONS: Final = (*(f"s3:{name}" for name in (
    "AbortMultipartUpload", "BypassGovernanceRetention", "CreateBucket", "DeleteBucket", "DeleteBucketPolicy",
    "DeleteObject",
    "DeleteObjectTagging", "DeleteObjectVersion", "DeleteObjectVersionTagging", "GetAccelerateConfiguration", "GetBucketAcl",
    "GetBucketCORS", "GetBucketLocation", "GetBucketLogging", "GetBucketNotification", "GetBucketObjectLockConfiguration",
    "GetBucketOwnershipControls", "GetBucketPolicy", "GetBucketPolicyStatus", "GetBucketPublicAccessBlock",
    "GetBucketRequestPayment", "GetBucketTagging", "GetBucketVersioning", "GetEncryptionConfiguration",
    "GetLifecycleConfiguration", "GetObject", "GetObjectAcl", "GetObjectAttributes", "GetObjectLegalHold",
    "GetObjectRetention", "GetObjectTagging", "GetObjectVersion", "GetObjectVersionAcl", "GetObjectVersionAttributes",
    "GetObjectVersionTagging", "ListAllMyBuckets", "ListBucket", "ListBucketMultipartUploads", "ListBucketVersions",
    "ListMultipartUploadParts", "PutBucketAcl", "PutBucketCORS", "PutBucketObjectLockConfiguration", "PutBucketPolicy",
    "PutBucketTagging", "PutBucketVersioning", "PutLifecycleConfiguration", "PutObject", "PutObjectAcl",
    "PutObjectLegalHold", "PutObjectRetention", "PutObjectTagging", "PutObjectVersionAcl", "PutObjectVersionTagging",
)), "mst:Export", "mst:Flush", "mst:GetCommit")  # fmt: skip

_STRINGS: Final = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike")
_NUMBERS: Final = tuple(f"Numeric{name}" for name in (
    "Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"
))  # fmt: skip
_ADDRESSES: Final = ("IpAddress", "NotIpAddress")
#: The operators that go with each key of a condition. Keys are compared without regard to case.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "aws:securetransport": ("Bool",),
    "aws:sourceip": _ADDRESSES,
    "s3:delimiter": _STRINGS,
    "s3:if-none-match": _STRINGS,
    "s3:max-keys": _NUMBERS,
    "s3:prefix": _STRINGS,
}
_OPERATORS: Final = frozenset((*_STRINGS, *_NUMBERS, *_ADDRESSES, "Bool", "Null"))
_OPERATOR: Final = re.compile(r"((ForAllValues|ForAnyValue):)?"
                              r"((String|Numeric|Date|Arn|Ip|Not|Binary|Bool|Null)[A-Za-z]*)")  # fmt: skip
_KEY_ID: Final = re.compile(r"(?!arn:)[^\s/*?\"\\]{3,128}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


@lru_cache(maxsize=256)
def parse_policy(text: str, bucket: str | None) -> AccessPolicy:
    """The policy that a document says.

    Args:
        bucket: whose policy it is; None for that of a key.

    Raises:
        MalformedPolicy: it is no policy, or not one of this bucket.
        Unsupported: it is one of AWS's, and says what is not offered here.
    """
    try:
        if len(text.encode()) > POLICY_SIZE_MAX:
            raise MalformedPolicy(f"Policy is larger than {POLICY_SIZE_MAX} bytes")
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except MalformedPolicy:
        raise
    except (ValueError, RecursionError):
        raise MalformedPolicy("Policies must be valid JSON and the first byte must be '{'") from None
    said = _fields("Policy", document, ("Version", "Id", "Statement"))
    if said.get("Version", "2008-10-17") not in ("2012-10-17", "2008-10-17"):
        raise MalformedPolicy("The policy must contain a valid version string")
    if not isinstance(said.get("Id", ""), str):
        raise MalformedPolicy("The Id of a policy is a string")
    found = said.get("Statement")
    statements = [found] if isinstance(found, dict) else found
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicy("Missing required field Statement")
    parsed = tuple(_statement(one, bucket) for one in statements)
    tags = any(one.key.startswith(EXISTING_TAG) for statement in parsed for one in statement.conditions)
    return AccessPolicy(text, parsed, tags)


def is_public(policy: AccessPolicy) -> bool:
    """Whether it lets everybody in: an Allow for all, that is not limited to few addresses, in AWS's sense."""
    return any(
        statement.allow and statement.principals is not None and EVERYBODY in statement.principals
        and not any(_is_narrow(one) for one in statement.conditions)
        for statement in policy.statements
    )  # fmt: skip


def _is_narrow(condition: Condition) -> bool:
    if condition.operator != "IpAddress":
        return False
    networks = [ipaddress.ip_network(value, strict=False) for value in condition.values]
    return all(one.prefixlen >= (8 if one.version == 4 else 32) for one in networks)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedPolicy("Policies must be valid JSON in which no name stands twice")
    return found


def _no_constant(name: str) -> None:
    raise MalformedPolicy(f"Policies must be valid JSON, which {name} is not")


def _fields(what: str, value: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedPolicy(f"{what} is not an object of JSON")
    for name in value:
        if name in ("NotAction", "NotPrincipal", "NotResource"):
            raise Unsupported(f"{name} is not offered in policies: name what is meant")
        if name not in known:
            raise MalformedPolicy(f"Unknown field {name[:100]} in {what}")
    return value


def _statement(value: Any, bucket: str | None) -> Statement:
    said = _fields("Statement", value, ("Sid", "Effect", "Principal", "Action", "Resource", "Condition"))
    if said.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("Invalid effect: it is Allow or Deny")
    if not isinstance(said.get("Sid", ""), str):
        raise MalformedPolicy("The Sid of a statement is a string")
    if bucket is None and "Principal" in said:
        raise MalformedPolicy("The policy of a key has no Principal: it is about whoever signs with the key")
    principals = None if bucket is None else _principals(said.get("Principal"))
    actions, resources = _texts("Action", said.get("Action")), _texts("Resource", said.get("Resource"))
    for action in actions:
        if not any(matches(action.lower(), one.lower()) for one in ACTIONS):
            raise MalformedPolicy(f"Policy has invalid action: {action[:100]}")
    for resource in resources:
        if not _is_resource(resource, bucket):
            raise MalformedPolicy(f"Policy has invalid resource: {resource[:200]}")
    return Statement(said["Effect"] == "Allow", principals, actions, resources, _conditions(said.get("Condition", {})))


def _is_resource(resource: str, bucket: str | None) -> bool:
    if bucket is None:
        return resource == "*" or resource.startswith(ARN)
    rest = resource.removeprefix(ARN + bucket)
    return resource.startswith(ARN + bucket) and (rest == "" or rest[0] in "/*")


def _principals(value: Any) -> tuple[str, ...]:
    """Ids of keys, or everybody: `"*"`, `"ID"`, `["ID", …]`, or any of these as `{"AWS": …}`."""
    if isinstance(value, dict):
        if set(value) & {"CanonicalUser", "Federated", "Service"}:
            raise Unsupported("a Principal is '*' or names access keys by their ids, also as {\"AWS\": […]}")
        value = _fields("Principal", value, ("AWS",)).get("AWS")
    found = _texts("Principal", value)
    for one in found:
        if one != EVERYBODY and _KEY_ID.fullmatch(one) is None:
            raise MalformedPolicy(f"Invalid principal in policy: {one[:200]}: name '*' or ids of access keys")
    return found


def _texts(what: str, value: Any) -> tuple[str, ...]:
    """One text or several, of which none is empty."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one for one in found):
        raise MalformedPolicy(f"Missing or invalid {what}: it is a string, or a list of strings")
    for one in found:
        if "${" in one:
            raise Unsupported(f"variables are not offered in policies: {one[:200]}")
    return tuple(found)


# --- conditions ------------------------------------------------------------------------------------------------------


def _conditions(value: Any) -> tuple[Condition, ...]:
    if not isinstance(value, dict):
        raise MalformedPolicy("Condition is not an object of JSON")
    found = []
    for operator, block in value.items():
        if operator not in _OPERATORS:
            if _OPERATOR.fullmatch(operator) is None:
                raise MalformedPolicy(f"Invalid condition operator: {operator[:100]}")
            raise Unsupported(f"the condition operator {operator[:100]} is not offered: use {', '.join(sorted(_OPERATORS))}")
        if not isinstance(block, dict) or not block:
            raise MalformedPolicy(f"{operator} has no condition keys")
        found += [_condition(operator, key, values) for key, values in block.items()]
    return tuple(found)


def _condition(operator: str, key: str, value: Any) -> Condition:
    name = _condition_key(operator, key)
    found = value if isinstance(value, list) else [value]
    values = tuple(_plain(operator, one) for one in found)
    if not values:
        raise MalformedPolicy(f"The condition on {key[:100]} has no value")
    for one in values:
        if "${" in one:
            raise Unsupported(f"variables are not offered in policies: {one[:200]}")
        if not _fits(operator, one):
            raise MalformedPolicy(f"Invalid value of {operator} on {key[:100]}: {one[:100]!r}")
    return Condition(operator, name, values)


def _condition_key(operator: str, key: str) -> str:
    """The key as it is looked up: in lower case, but for the name of a tag."""
    tag = key[len(EXISTING_TAG) :]
    is_tag = key.lower().startswith(EXISTING_TAG.lower()) and tag != ""
    operators = _STRINGS if is_tag else _KEYS.get(key.lower())
    if operators is None:
        if key.lower().startswith(("aws:", "s3:")):
            raise Unsupported(f"the condition key {key[:100]} is not offered")
        raise MalformedPolicy(f"Policy has an invalid condition key: {key[:100]}")
    if operator not in (*operators, "Null"):
        raise MalformedPolicy(f"{operator} does not go with {key[:100]}: use {', '.join(operators)}")
    return EXISTING_TAG + tag if is_tag else key.lower()


def _plain(operator: str, value: Any) -> str:
    """A value as a string: JSON's truths and whole numbers are those strings, where such are expected."""
    if isinstance(value, bool) and operator in ("Bool", "Null"):
        return "true" if value else "false"
    if isinstance(value, int) and not isinstance(value, bool) and operator in _NUMBERS:
        return str(value)
    if not isinstance(value, str):
        raise MalformedPolicy(f"A value of {operator} is a string")
    return value.lower() if operator in ("Bool", "Null") else value


def _fits(operator: str, value: str) -> bool:
    if operator in ("Bool", "Null"):
        return value in ("true", "false")
    if operator in _NUMBERS:
        return _NUMBER.fullmatch(value) is not None
    if operator in _ADDRESSES:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            return False
    return True
