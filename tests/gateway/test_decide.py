"""Who may do what, as a pure function: against a slow reading of the documents, and by the examples that AWS documents."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.s3rules.policy_documents import ACTIONS, parse_policy
from mstbucket.gateway.auth.decide import Caller, Wish, allowed
from mstbucket.gateway.s3.needs import of_version
from mstbucket.gateway.s3.table import OPERATIONS

ARN = "arn:aws:s3:::"


def test_policies_know_the_actions_of_the_table() -> None:
    """[GW-40] And those to versions."""
    asked = {one.action for one in OPERATIONS} | {of_version(one.action, "v") for one in OPERATIONS}
    assert asked <= set(ACTIONS)


# --- the oracle: reads the document each time, and asks of each statement why it should not hold -------------------------


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def globbed(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def met(operator: str, wanted: list[str], value: str | None) -> bool:
    if operator == "Null":
        return (value is None) == (wanted == ["true"])
    if operator in ("StringNotEquals", "StringNotLike", "NotIpAddress", "NumericNotEquals"):
        return not met(operator.replace("Not", ""), wanted, value)
    if value is None:
        return False
    for one in wanted:
        if operator in ("StringEquals", "Bool") and one == value:
            return True
        if operator == "StringLike" and globbed(one, value):
            return True
        if operator == "IpAddress" and ipaddress.ip_address(value) in ipaddress.ip_network(one):
            return True
        if operator.startswith("Numeric"):
            a, b = int(value), int(one)
            rules = {"Equals": a == b, "LessThan": a < b, "LessThanEquals": a <= b, "GreaterThan": a > b,
                     "GreaterThanEquals": a >= b}  # fmt: skip
            if rules[operator.removeprefix("Numeric")]:
                return True
    return False


def effects(document: Any, caller: Caller, wish: Wish, *, of_bucket: bool) -> set[str]:
    found = set()
    for one in [] if document is None else document["Statement"]:
        if of_bucket and not {"*", caller.key_id} & set(as_list(one["Principal"]["AWS"])):
            continue
        if not any(globbed(action.lower(), wish.action.lower()) for action in as_list(one["Action"])):
            continue
        resource = f"{ARN}{wish.bucket}" + (f"/{wish.key}" if wish.key else "")
        if not any(globbed(pattern, resource) for pattern in as_list(one["Resource"])):
            continue
        facts = {**wish.facts, **{f"s3:ExistingObjectTag/{name}": value for name, value in wish.tags.items()}}
        conditions = [
            (operator, as_list(values), facts.get(key if "Tag" in key else key.lower()))
            for operator, block in one.get("Condition", {}).items()
            for key, values in block.items()
        ]
        if all(met(*condition) for condition in conditions):
            found.add(one["Effect"])
    return found


def slowly(caller: Caller, own: Any, of_bucket: Any, wish: Wish) -> bool:
    found = effects(of_bucket, caller, wish, of_bucket=True) | effects(own, caller, wish, of_bucket=False)
    administrator = caller.key_id is not None and own is None
    if administrator and wish.action.endswith("BucketPolicy"):
        return True
    return "Deny" not in found and ("Allow" in found or administrator)


STRINGS = st.sampled_from(["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"])
TEXTS = st.lists(st.sampled_from(["", "a", "a/", "a/*", "*", "?", "b"]), min_size=1, max_size=2)
NUMERIC = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]
CONDITIONS = st.one_of(
    st.tuples(STRINGS, st.sampled_from(["s3:prefix", "s3:Delimiter", "s3:if-none-match", "s3:ExistingObjectTag/t"]), TEXTS),
    st.tuples(st.just("Bool"), st.just("aws:SecureTransport"), st.sampled_from(["true", "false"])),
    st.tuples(st.sampled_from(["IpAddress", "NotIpAddress"]), st.just("aws:SourceIp"),
              st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "::1/128", "0.0.0.0/0"]), min_size=1, max_size=2)),
    st.tuples(st.sampled_from([f"Numeric{name}" for name in NUMERIC]), st.just("s3:max-keys"),
              st.sampled_from(["0", "10", ["1", "1000"]])),
    st.tuples(st.just("Null"), st.sampled_from(["s3:prefix", "s3:ExistingObjectTag/t"]), st.sampled_from(["true", "false"])),
)  # fmt: skip


@st.composite
def statements(draw: Any, of_bucket: bool) -> dict[str, Any]:
    patterns = ["s3:GetObject", "s3:get*", "s3:*", "*", "s3:ListBucket", "s3:PutObject", "s3:?utBucketPolicy"]
    resources = ["bucket", "bucket/*", "bucket*", "bucket/a/*", "bucket/?", "bucket/a"]
    said: dict[str, Any] = {
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"])),
        "Action": draw(st.lists(st.sampled_from(patterns), min_size=1, max_size=2)),
        "Resource": [ARN + one for one in draw(st.lists(st.sampled_from(resources), min_size=1, max_size=2))],
    }
    if of_bucket:
        said["Principal"] = {"AWS": draw(st.sampled_from(["*", "KEY", ["KEY", "OTHER"], "OTHER"]))}
    block: dict[str, dict[str, Any]] = {}
    for operator, key, values in draw(st.lists(CONDITIONS, max_size=2)):
        block.setdefault(operator, {})[key] = values
    if block:
        said["Condition"] = block
    return said


def documents(of_bucket: bool) -> Any:
    return st.none() | st.lists(statements(of_bucket), min_size=1, max_size=4).map(lambda found: {"Statement": found})


FACTS = st.fixed_dictionaries(
    {"aws:sourceip": st.sampled_from(["10.1.2.3", "10.2.3.4", "::1", "192.0.2.1"]),
     "aws:securetransport": st.sampled_from(["true", "false"])},
    optional={"s3:prefix": st.sampled_from(["", "a/", "a/x", "b"]), "s3:delimiter": st.sampled_from(["a", "/"]),
              "s3:max-keys": st.sampled_from(["0", "1", "10", "1000"]), "s3:if-none-match": st.just("*")},
)  # fmt: skip
WISHES = st.builds(
    Wish, st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:PutBucketPolicy"]), st.just("bucket"),
    st.sampled_from(["", "a", "a/b", "b", "[a]"]), FACTS, st.sampled_from([{}, {"t": "a"}, {"t": "x", "T": "a"}]),
)  # fmt: skip


@given(st.sampled_from([None, "KEY", "OTHER", "THIRD"]), documents(False), documents(True), WISHES)
def test_a_decision_is_that_of_a_slow_reading(key_id: str | None, own: Any, of_bucket: Any, wish: Wish) -> None:
    """[GW-20] [GW-41]"""
    own = None if key_id is None else own
    caller = Caller(key_id, None if own is None else parse_policy(json.dumps(own), None))
    policy = None if of_bucket is None else parse_policy(json.dumps(of_bucket), "bucket")
    assert allowed(caller, policy, wish) is slowly(caller, own, of_bucket, wish)


# --- AWS's examples: "Examples of Amazon S3 bucket policies", "Walkthrough: controlling access with user poli---

GET, LIST, PUT = "s3:GetObject", "s3:ListBucket", "s3:PutObject"
PUBLIC = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": [f"{ARN}bucket/*"]}
TLS = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"{ARN}bucket", f"{ARN}bucket/*"],
       "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
OFFICE = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"{ARN}bucket", f"{ARN}bucket/*"],
          "Condition": {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:DB8:1234:5678::/64"]}}}  # fmt: skip
TAGGED = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
          "Resource": f"{ARN}bucket/*",
          "Condition": {"StringEquals": {"s3:ExistingObjectTag/environment": "production"}}}  # fmt: skip
MAX_KEYS = {"Effect": "Deny", "Principal": {"AWS": "KEY"}, "Action": "s3:ListBucket", "Resource": f"{ARN}bucket",
            "Condition": {"NumericGreaterThan": {"s3:max-keys": "10"}}}  # fmt: skip
PREFIX = {"Effect": "Deny", "Principal": {"AWS": "KEY"}, "Action": "s3:ListBucket", "Resource": f"{ARN}bucket",
          "Condition": {"StringNotEquals": {"s3:prefix": "projects"}}}  # fmt: skip
ROOT = {"Effect": "Allow", "Principal": {"AWS": "KEY"}, "Action": "s3:ListBucket", "Resource": f"{ARN}bucket",
        "Condition": {"StringEquals": {"s3:prefix": [""], "s3:delimiter": ["/"]}}}  # fmt: skip
ONCE = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{ARN}bucket/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}}}  # fmt: skip
FOLDER = {"Effect": "Allow", "Principal": {"AWS": ["KEY", "OTHER"]}, "Action": ["s3:PutObject", "s3:PutObjectAcl"],
          "Resource": f"{ARN}bucket/home/*"}  # fmt: skip
ADMINISTRATOR, LIMITED, NOBODY = Caller("ADMIN"), Caller("KEY", parse_policy(json.dumps({"Statement": [
    {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": f"{ARN}*"}]}), None)), Caller(None)  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "caller", "action", "key", "facts", "may"),
    [
        (PUBLIC, NOBODY, GET, "a", {}, True),
        (PUBLIC, NOBODY, PUT, "a", {}, False),
        (PUBLIC, NOBODY, LIST, "", {}, False),
        (PUBLIC, LIMITED, GET, "a", {}, True),
        (TLS, ADMINISTRATOR, GET, "a", {"aws:securetransport": "false"}, False),
        (TLS, ADMINISTRATOR, GET, "a", {"aws:securetransport": "true"}, True),
        (TLS, NOBODY, GET, "a", {"aws:securetransport": "true"}, False),
        (TLS, ADMINISTRATOR, "s3:PutBucketPolicy", "", {"aws:securetransport": "false"}, True),
        (OFFICE, ADMINISTRATOR, GET, "a", {"aws:sourceip": "192.0.2.7"}, True),
        (OFFICE, ADMINISTRATOR, GET, "a", {"aws:sourceip": "::ffff:192.0.2.7"}, True),
        (OFFICE, ADMINISTRATOR, GET, "a", {"aws:sourceip": "2001:db8:1234:5678::1"}, True),
        (OFFICE, ADMINISTRATOR, GET, "a", {"aws:sourceip": "198.51.100.1"}, False),
        (OFFICE, ADMINISTRATOR, LIST, "", {"aws:sourceip": "unknown"}, False),
        (TAGGED, NOBODY, GET, "a", {"tag": "production"}, True),
        (TAGGED, NOBODY, GET, "a", {"tag": "Production"}, False),
        (TAGGED, NOBODY, GET, "a", {}, False),
        (MAX_KEYS, LIMITED, LIST, "", {"s3:max-keys": "10"}, False),  # denies only; nothing allows
        (MAX_KEYS, ADMINISTRATOR, LIST, "", {"s3:max-keys": "11"}, True),  # is about another
        (PREFIX, LIMITED, LIST, "", {"s3:prefix": "projects"}, False),
        (ROOT, LIMITED, LIST, "", {"s3:prefix": "", "s3:delimiter": "/"}, True),
        (ROOT, LIMITED, LIST, "", {"s3:prefix": ""}, False),
        (ROOT, LIMITED, LIST, "", {"s3:delimiter": "/"}, False),
        (ROOT, NOBODY, LIST, "", {"s3:prefix": "", "s3:delimiter": "/"}, False),
        (ONCE, ADMINISTRATOR, PUT, "a", {}, False),
        (ONCE, ADMINISTRATOR, PUT, "a", {"s3:if-none-match": "*"}, True),
        (FOLDER, LIMITED, PUT, "home/a", {}, True),
        (FOLDER, LIMITED, PUT, "homes", {}, False),
        (FOLDER, Caller("THIRD", LIMITED.policy), PUT, "home/a", {}, False),
    ],
)  # fmt: skip
def test_aws_examples_decide_as_aws_says(
    statement: Any, caller: Caller, action: str, key: str, facts: dict[str, str], may: bool
) -> None:
    """[GW-41] [GW-45]"""
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    tags = {"environment": facts["tag"]} if "tag" in facts else {}
    assert allowed(caller, parse_policy(text, "bucket"), Wish(action, "bucket", key, facts, tags)) is may


def test_who_may_list_all_buckets_may_by_the_name_of_none() -> None:
    """[GW-45]"""
    assert allowed(LIMITED, None, Wish("s3:ListAllMyBuckets", "", "", {}, {}))
    assert not allowed(LIMITED, None, Wish("s3:CreateBucket", "bucket", "", {}, {}))
    assert not allowed(NOBODY, None, Wish("s3:ListAllMyBuckets", "", "", {}, {}))
