"""Whether a caller may do what they ask for. Only this module decides, and it looks nothing up ([GW-20], [GW-41]).

A request is allowed if something allows it and nothing denies it. The policy of the bucket can allow it, and so can the
policy of the caller's key. A key without a policy is an administrator's: it allows everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import Final

from mstbucket.model.access_policy import EVERYBODY, AccessPolicy, Condition, Statement, matches

_ARN: Final = "arn:aws:s3:::"
#: A bucket's policy cannot take these from an administrator, nor in AWS from the root user: else nobody could mend it.
_ALWAYS: Final = frozenset({"s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"})
_EXISTING_TAG: Final = "s3:ExistingObjectTag/"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the holder of a key, limited by its policy; or anybody, if there is no id.

    Attributes:
        is_counted: what they send is counted, and bounded ([GW-64]).
    """

    key_id: str | None
    policy: AccessPolicy | None = None
    is_counted: bool = False

    @property
    def is_administrator(self) -> bool:
        """Whether they may do what nothing denies."""
        return self.key_id is not None and self.policy is None


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that somebody wants to do.

    Attributes:
        action: in AWS's words, on a bucket, or an object of it.
        facts: what conditions may ask for, by their keys, as far as the request says it.
        tags: of the object, if a policy asks for them.
    """

    action: str
    bucket: str
    key: str
    facts: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def resource(self) -> str:
        """The ARN of what the wish is about."""
        return f"{_ARN}{self.bucket}/{self.key}" if self.key else _ARN + self.bucket


def allowed(caller: Caller, of_bucket: AccessPolicy | None, wish: Wish) -> bool:
    """Whether the caller may.

    Args:
        of_bucket: the policy of the bucket that the wish is about.
    """
    said = [one.allow for policy in (of_bucket, caller.policy) if policy is not None
            for one in policy.statements if holds(one, caller, wish)]  # fmt: skip
    if caller.is_administrator and (wish.action in _ALWAYS or not said):
        return True
    return bool(said) and all(said)


def holds(statement: Statement, caller: Caller, wish: Wish) -> bool:
    """Whether a statement is about this caller, action and resource, and all its conditions are met."""
    if statement.principals is not None and not {EVERYBODY, caller.key_id} & set(statement.principals):
        return False
    action = wish.action.lower()
    return (
        any(matches(pattern.lower(), action) for pattern in statement.actions)
        and any(matches(pattern, wish.resource) for pattern in statement.resources)
        and all(is_met(condition, wish) for condition in statement.conditions)
    )


def is_met(condition: Condition, wish: Wish) -> bool:
    """Whether one condition is met. What the request does not say meets only negated operators and `Null`."""
    if condition.key.startswith(_EXISTING_TAG):
        value = wish.tags.get(condition.key.removeprefix(_EXISTING_TAG))
    else:
        value = wish.facts.get(condition.key)
    if condition.operator == "Null":
        return ("true" if value is None else "false") in condition.values
    operator, negated = _negated(condition.operator)
    found = value is not None and any(_TESTS[operator](wanted, value) for wanted in condition.values)
    return found is not negated


def _negated(operator: str) -> tuple[str, bool]:
    plain = operator.replace("Not", "")
    return plain, plain != operator


def _is_within(network: str, address: str) -> bool:
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = one.ipv4_mapped if isinstance(one, ipaddress.IPv6Address) else None
    return (mapped or one) in ipaddress.ip_network(network, strict=False)


def _numeric(compare: Callable[[int, int], bool]) -> Callable[[str, str], bool]:
    def test(wanted: str, value: str) -> bool:
        return value.isascii() and value.isdecimal() and len(value) <= 18 and compare(int(value), int(wanted))

    return test


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": eq,
    "StringLike": matches,
    "Bool": eq,
    "IpAddress": _is_within,
    "NumericEquals": _numeric(eq),
    "NumericLessThan": _numeric(lt),
    "NumericLessThanEquals": _numeric(le),
    "NumericGreaterThan": _numeric(gt),
    "NumericGreaterThanEquals": _numeric(ge),
}
