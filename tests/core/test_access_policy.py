"""Policy documents are read strictly: what is not understood is refused, never ignored."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mstbucket.core.s3rules.policy_documents import is_public, parse_policy
from mstbucket.errors import MalformedPolicy, Unsupported
from mstbucket.limits import POLICY_SIZE_MAX
from mstbucket.model.access_policy import matches

GOOD: dict[str, Any] = {
    "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"
}  # fmt: skip


def read(bucket: str | None = "bucket", *, top: dict[str, Any] | None = None, **change: Any) -> Any:
    """A good statement with changes; a None takes a field away."""
    statement = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    return parse_policy(json.dumps({"Version": "2012-10-17", "Statement": [statement], **(top or {})}), bucket)


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "allow"}, {"Effect": None}, {"Sid": 1}, {"Unheard": 1},
        {"Principal": None}, {"Principal": []}, {"Principal": {}}, {"Principal": {"AWS": []}}, {"Principal": 1},
        {"Principal": {"AWS": "arn:aws:iam::000000000000:root"}}, {"Principal": "AK*"},
        {"Principal": {"AWS": "*", "X": "*"}},
        {"Action": None}, {"Action": []}, {"Action": ""}, {"Action": "s3:GetObjct"}, {"Action": "GetObject"},
        {"Action": ["s3:GetObject", "s3:Gett*"]}, {"Action": 1},
        {"Resource": None}, {"Resource": []}, {"Resource": "arn:aws:s3:::other/*"}, {"Resource": "*"},
        {"Resource": "arn:aws:s3:::bucket2/*"}, {"Resource": "arn:aws:s3:::buck*"}, {"Resource": "bucket/*"},
        {"Condition": []}, {"Condition": {"StringEquals": {}}}, {"Condition": {"StringEquals": []}},
        {"Condition": {"StringEquals": {"s3:prefix": []}}}, {"Condition": {"StringEquals": {"s3:prefix": 1}}},
        {"Condition": {"StringEquals": {"s3:prefix": True}}}, {"Condition": {"StringEquals": {"unheard": "a"}}},
        {"Condition": {"Unheard": {"s3:prefix": "a"}}}, {"Condition": {"Bool": {"s3:prefix": "true"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "maybe"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "anywhere"}}}, {"Condition": {"IpAddress": {"s3:prefix": "10.0.0.1"}}},
        {"Condition": {"StringEquals": {"aws:SourceIp": "10.0.0.1"}}},
        {"Condition": {"NumericEquals": {"s3:max-keys": "ten"}}},
        {"Condition": {"NumericEquals": {"s3:max-keys": True}}}, {"Condition": {"Null": {"s3:prefix": "never"}}},
        {"Condition": {"StringEquals": {"s3:max-keys": "10"}}},
        {"top": {"Version": "2020-01-01"}}, {"top": {"Statement": []}}, {"top": {"Statement": [1]}}, {"top": {"Id": 1}},
        {"top": {"Unheard": 1}}, {"bucket": None}, {"bucket": None, "Principal": None, "Resource": "bucket/*"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_document_that_is_no_policy_is_refused(change: dict[str, Any]) -> None:
    """[GW-40]"""
    read()
    with pytest.raises(MalformedPolicy):
        read(**change)


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "null", "{", '"x"', "[" * 20_000, '{"Statement": NaN}', '{"Statement": [], "Statement": []}',
    "\ud800",
    " " * (POLICY_SIZE_MAX + 1),
    json.dumps({"Statement": [GOOD]})[:-1] + ', "Version": "2012-10-17", "Version": "2012-10-17"}',
])  # fmt: skip
def test_text_that_is_no_policy_is_refused(text: str) -> None:
    """[GW-40]"""
    with pytest.raises(MalformedPolicy):
        parse_policy(text, "bucket")


@pytest.mark.parametrize(
    "change",
    [
        {"NotAction": "s3:GetObject"}, {"NotPrincipal": "*"}, {"NotResource": "*"},
        {"Principal": {"Service": "logging.s3.amazonaws.com"}}, {"Principal": {"CanonicalUser": "79a5"}},
        {"Principal": {"Federated": "cognito-identity.amazonaws.com"}},
        {"Resource": "arn:aws:s3:::bucket/${aws:username}/*"},
        {"Condition": {"StringLike": {"s3:prefix": "${aws:username}"}}},
        {"Condition": {"StringEqualsIfExists": {"s3:prefix": "a"}}},
        {"Condition": {"StringEqualsIgnoreCase": {"s3:prefix": "a"}}},
        {"Condition": {"ForAnyValue:StringEquals": {"s3:prefix": "a"}}},
        {"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": "a"}}}, {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}},
        {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
        {"Condition": {"StringEquals": {"s3:x-amz-acl": "a"}}},
        {"Condition": {"StringEquals": {"s3:ExistingObjectTag/": "a"}}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_aws_has_and_is_not_offered_is_said_to_be_so(change: dict[str, Any]) -> None:
    """[GW-40]"""
    with pytest.raises(Unsupported):
        read(**change)


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": ["*"]}, "KEYID", ["KEYID", "OTHER"], {"AWS": ["KEYID"]}])
def test_a_principal_is_everybody_or_names_keys(principal: Any) -> None:
    """[GW-40]"""
    policy = read(Principal=principal)
    assert is_public(policy) is ("*" in json.dumps(principal))


def test_a_policy_is_public_unless_few_addresses_limit_it() -> None:
    """In AWS's sense: a network of more than a 256th of all addresses is everybody."""
    for network, public in (("10.0.0.0/8", False), ("0.0.0.0/7", True), ("2001:db8::/32", False), ("2001::/16", True)):
        assert is_public(read(Condition={"IpAddress": {"aws:SourceIp": ["10.1.2.3", network]}})) is public
    assert is_public(read(Condition={"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    assert not is_public(read(Effect="Deny"))


def slowly(pattern: str, text: str) -> bool:
    """The oracle: what a pattern says, letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slowly(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in (text[0], "?") and slowly(pattern[1:], text[1:])


@given(st.text("ab*?\n.[", max_size=8), st.text("ab\n.[*", max_size=8))
@example("a*b*a", "aba")
@example("*a*a*", "a")
@example("**", "")
def test_a_pattern_matches_what_it_says(pattern: str, text: str) -> None:
    """[GW-41]"""
    assert matches(pattern, text) == slowly(pattern, text)


def test_no_pattern_takes_long() -> None:
    """Tried at every place, this one would outlast us all."""
    assert not matches("*a" * 500 + "*b", "a" * 1024)
    assert re.fullmatch("a*", "a" * 1024)
