"""Signatures: botocore's signer is the oracle of what is right, and every change of what it signed is refused.

No server is needed: the rules are a function of a request. `test_over_http` proves that the gateway asks it.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from mstbucket.gateway.auth import sigv4
from mstbucket.gateway.auth.sigv4 import Signed, authenticate
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire.request import Request, parse_headers, parse_query

NOW = datetime.now(UTC)  # for all of them: the first may run long after the last was collected
KEY_ID, SECRET = "MSTTESTKEY", "secret/with+odd=letters"
METHODS = ("GET", "PUT", "HEAD", "DELETE", "POST")


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW)


def secret_of(key_id: str) -> str | None:
    return SECRET if key_id == KEY_ID else None


def request_of(method: str, url: str, headers: dict[str, str], secure: bool = True) -> Request:
    """The request as it would come in."""
    parts = urlsplit(url)
    named = {"host": parts.netloc, **headers}
    pairs = [(name.encode(), value.encode("utf-8")) for name, value in named.items()]
    return Request("ID", method, parts.path.encode() or b"/", parse_query(parts.query.encode()), parse_headers(pairs),
                   secure, "127.0.0.1")  # fmt: skip


def signed(method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"", region: str = "us-east-1",
           service: str = "s3", **more: Any) -> Request:  # fmt: skip
    """A request that botocore signed in its header."""
    aws = AWSRequest(method=method, url=url, headers=dict(headers or {}), data=body)
    S3SigV4Auth(Credentials(KEY_ID, more.get("secret", SECRET)), service, region).add_auth(aws)
    sent = {name.lower(): value for name, value in aws.headers.items()}
    if body:
        sent["content-length"] = str(len(body))
    return request_of(method, url, sent)


def presigned(method: str, url: str, headers: dict[str, str] | None = None, expires: int = 600) -> Request:
    """A request by a URL that botocore signed."""
    aws = AWSRequest(method=method, url=url, headers=dict(headers or {}))
    S3SigV4QueryAuth(Credentials(KEY_ID, SECRET), "s3", "us-east-1", expires).add_auth(aws)
    return request_of(method, aws.url, {name.lower(): value for name, value in dict(headers or {}).items()})


def changed(request: Request, **fields: Any) -> Request:
    """The same request, with some of it changed on the way."""
    same = {name: getattr(request, name) for name in Request.__slots__}
    return Request(**{**same, **fields})


def code_of(request: Request, now: datetime = NOW) -> str:
    """The code that a request is refused with."""
    with pytest.raises(Refused) as caught:
        authenticate(request, secret_of, now)
    return caught.value.code


URL = "http://host:9000/bucket/a%20b%2Bc%2F%C3%A4//../x?prefix=a%20b&versionId=v&empty="


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/", "/b", "/b/k", "/b/a%20b", "/b/a+b", "/b//x", "/b/../y", "/b/~-_.", "/b/%E2%82%AC",
                                  "/b/%2F", "/b/a%25b", "/b/!*'()", "/b/a:b@c,d;e=f&g"])  # fmt: skip
@pytest.mark.parametrize("query", ["", "?uploads=", "?prefix=a%2Bb%20c&delimiter=%2F", "?z=1&a=2&A=3"])
def test_what_botocore_signs_is_believed(method: str, path: str, query: str) -> None:
    """[GW-10] In both forms; clients encode a path as they like, and sign the one form that there is."""
    url = f"http://host:9000{path}{query}"
    if path == "/b/!*'()" or ":" in path:  # botocore signs the path as it was given: as its own serializer encodes it
        url = url.replace("!*'()", "%21%2A%27%28%29").replace("a:b@c,d;e=f&g", "a%3Ab%40c%2Cd%3Be%3Df%26g")
    url = url.replace("/b/a+b", "/b/a%2Bb")
    by_header = authenticate(signed(method, url, {"x-amz-meta-a": " two  words ", "range": "bytes=0-1"}), secret_of, NOW)
    assert isinstance(by_header, Signed)
    assert by_header.key_id == KEY_ID
    assert isinstance(authenticate(presigned(method, url), secret_of, NOW), Signed)


def test_who_signs_nothing_is_nobody() -> None:
    assert authenticate(request_of("GET", "http://host/b/k", {}), secret_of, NOW) is None


MUTATIONS = {
    "another method": lambda r: changed(r, method="DELETE"),
    "another path": lambda r: changed(r, path=r.path + b"x"),
    "a slash more": lambda r: changed(r, path=r.path.replace(b"/", b"//", 1)),
    "another value of the query": lambda r: changed(r, query={**r.query, "versionId": "w"}),
    "a parameter more": lambda r: changed(r, query={**r.query, "acl": ""}),
    "a parameter less": lambda r: changed(r, query={k: v for k, v in r.query.items() if k != "prefix"}),
    "another host": lambda r: changed(r, headers={**r.headers, "host": "evil"}),
    "another header that is signed": lambda r: changed(r, headers={**r.headers, "x-amz-meta-a": "2"}),
    "a copy source that nobody signed": lambda r: changed(r, headers={**r.headers, "x-amz-copy-source": "/b/secret"}),
    "an acl that nobody signed": lambda r: changed(r, headers={**r.headers, "x-amz-acl": "public-read"}),
    "tags that nobody signed": lambda r: changed(r, headers={**r.headers, "x-amz-tagging": "a=b"}),
    "a bypass that nobody signed": lambda r: changed(r, headers={**r.headers, "x-amz-bypass-governance-retention": "true"}),
    "an x-amz header of tomorrow": lambda r: changed(r, headers={**r.headers, "x-amz-new": "1"}),
    "a session token": lambda r: changed(r, headers={**r.headers, "x-amz-security-token": "t"}),
    "a header less": lambda r: changed(r, headers={k: v for k, v in r.headers.items() if k != "x-amz-meta-a"}),
    "no host": lambda r: changed(r, headers={k: v for k, v in r.headers.items() if k != "host"}),
}


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.parametrize("form", ["header", "query"])
def test_a_request_that_was_changed_on_the_way_is_refused(name: str, form: str) -> None:
    """[GW-10]"""
    make = signed if form == "header" else presigned
    request = make("PUT", URL, {"x-amz-meta-a": "1"})
    assert authenticate(request, secret_of, NOW) is not None
    assert code_of(MUTATIONS[name](request)) in ("SignatureDoesNotMatch", "AccessDenied", "InvalidToken")


def test_the_names_of_what_was_not_signed_are_told() -> None:
    request = presigned("PUT", "http://host/b/k")
    with pytest.raises(Refused) as caught:
        authenticate(changed(request, headers={**request.headers, "x-amz-copy-source": "/b/s"}), secret_of, NOW)
    assert caught.value.more == {"HeadersNotSigned": "x-amz-copy-source"}


HEADER = "AWS4-HMAC-SHA256 Credential={id}/{day}/{region}/{service}/{end}, SignedHeaders=host;x-amz-date, Signature={sig}"


def by_hand(**fields: str) -> Request:
    """A request with a header of which every piece can be wrong."""
    said = {"id": KEY_ID, "day": NOW.strftime("%Y%m%d"), "region": "us-east-1", "service": "s3", "end": "aws4_request",
            "sig": "0" * 64, **fields}  # fmt: skip
    return request_of("GET", "http://host/b/k", {
        "authorization": fields.get("whole", HEADER).format(**said),
        "x-amz-date": fields.get("stamp", NOW.strftime("%Y%m%dT%H%M%SZ")),
        "x-amz-content-sha256": fields.get("payload", hashlib.sha256(b"").hexdigest()),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "SignatureDoesNotMatch"),
        ({"sig": ""}, "AuthorizationHeaderMalformed"),
        ({"sig": "x"}, "SignatureDoesNotMatch"),
        ({"sig": "ä"}, "SignatureDoesNotMatch"),
        ({"id": "NOBODY"}, "InvalidAccessKeyId"),
        ({"id": ""}, "InvalidAccessKeyId"),
        ({"region": "eu-1"}, "AuthorizationHeaderMalformed"),
        ({"service": "iam"}, "AuthorizationHeaderMalformed"),
        ({"end": "aws4"}, "AuthorizationHeaderMalformed"),
        ({"day": "20200101"}, "AccessDenied"),
        ({"day": "2020"}, "AuthorizationHeaderMalformed"),
        ({"stamp": "yesterday"}, "AccessDenied"),
        ({"stamp": NOW.strftime("%Y%m%d") + "T996199Z"}, "AccessDenied"),
        ({"payload": "abc"}, "InvalidArgument"),
        ({"payload": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, "InvalidArgument"),
        ({"whole": "AWS4-HMAC-SHA256 nonsense"}, "AuthorizationHeaderMalformed"),
        ({"whole": "Bearer x"}, "AuthorizationHeaderMalformed"),
        ({"whole": "AWS id:signature"}, "InvalidRequest"),
        ({"whole": HEADER.replace("host;", "host;host;")}, "AccessDenied"),
        ({"whole": HEADER.replace("host;", "")}, "AccessDenied"),
        ({"whole": HEADER.replace("host;", "host;never-came;")}, "AccessDenied"),
        ({"whole": HEADER.replace("SHA256 ", "SHA1 ")}, "AuthorizationHeaderMalformed"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(fields: dict[str, str], code: str) -> None:
    """[GW-13]"""
    assert code_of(by_hand(**fields)) == code


@pytest.mark.parametrize("change", [
    {"X-Amz-Algorithm": "AWS4-HMAC-SHA1"}, {"X-Amz-Credential": "x"}, {"X-Amz-Expires": "0"}, {"X-Amz-Expires": "604801"},
    {"X-Amz-Expires": "-1"}, {"X-Amz-Expires": "1e3"}, {"X-Amz-Expires": ""}, {"X-Amz-Signature": ""},
    {"X-Amz-SignedHeaders": ""}, {"X-Amz-Date": ""},
])  # fmt: skip
def test_a_presigned_url_that_cannot_be_right_is_refused(change: dict[str, str]) -> None:
    """[GW-15]"""
    request = presigned("GET", "http://host/b/k")
    assert code_of(changed(request, query={**request.query, **change})) == "AuthorizationQueryParametersError"
    for name in change:
        less = {key: value for key, value in request.query.items() if key != name}
        assert code_of(changed(request, query=less)) == "AuthorizationQueryParametersError"


def test_signatures_in_both_places_are_refused() -> None:
    """[GW-11]"""
    request = presigned("GET", "http://host/b/k")
    header = signed("GET", "http://host/b/k")
    assert code_of(changed(request, headers=header.headers)) == "InvalidArgument"


def test_the_clock_may_be_15_minutes_wrong_and_no_more() -> None:
    """[GW-14]"""
    request = signed("GET", "http://host/b/k")
    stamp = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    for seconds in (-900, 0, 900):
        assert authenticate(request, secret_of, stamp + timedelta(seconds=seconds)) is not None
    for seconds in (-901, 901, 86_400):
        assert code_of(request, stamp + timedelta(seconds=seconds)) == "RequestTimeTooSkewed"


def test_a_presigned_url_counts_as_long_as_it_says() -> None:
    """[GW-15]"""
    request = presigned("GET", "http://host/b/k", expires=604_800)
    stamp = datetime.strptime(request.query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert authenticate(request, secret_of, stamp + timedelta(days=7)) is not None
    assert code_of(request, stamp + timedelta(days=7, seconds=1)) == "AccessDenied"
    assert code_of(request, stamp - timedelta(seconds=901)) == "RequestTimeTooSkewed"


def test_an_unsigned_body_is_taken_over_tls_or_from_this_machine_only() -> None:
    """[GW-17]"""
    for payload in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        request = signed("PUT", "http://host/b/k", {"X-Amz-Content-SHA256": payload}, b"body")
        believed = changed(request, headers={**request.headers, "x-amz-content-sha256": payload})
        assert code_of(changed(believed, secure=False)) == "AccessDenied"
    url = presigned("PUT", "http://host/b/k")
    with_body = changed(url, headers={**url.headers, "content-length": "4"})
    assert authenticate(with_body, secret_of, NOW) is not None
    assert code_of(changed(with_body, secure=False)) == "AccessDenied"
    assert authenticate(changed(url, secure=False), secret_of, NOW) is not None


def test_a_key_that_is_not_there_takes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """[GW-16] A signature is computed and compared for it, too."""
    asked = []
    real = sigv4.signing_key
    monkeypatch.setattr(sigv4, "signing_key", lambda secret, day: asked.append(secret) or real(secret, day))
    assert code_of(by_hand(id="NOBODY")) == "InvalidAccessKeyId"
    assert asked == [sigv4._NO_SECRET]


def test_another_secret_is_refused() -> None:
    assert code_of(signed("GET", "http://host/b/k", secret="other")) == "SignatureDoesNotMatch"
    assert code_of(signed("GET", "http://host/b/k", region="eu-1")) == "AuthorizationHeaderMalformed"
    assert code_of(signed("GET", "http://host/b/k", service="iam")) == "AuthorizationHeaderMalformed"


def mutated(request: Request, chance: random.Random) -> Request:
    """The request with one thing about it changed, by chance."""
    kind = chance.randrange(5)
    letter = chance.choice("abcXYZ019-")
    if kind == 0:
        at = chance.randrange(1, len(request.path) + 1)
        return changed(request, path=request.path[:at] + letter.encode() + request.path[at:])
    if kind == 1:
        return changed(request, query={**request.query, f"new{letter}": letter})
    if kind == 2:
        name = chance.choice([n for n in request.headers if n == "host" or n.startswith("x-amz-meta")])
        return changed(request, headers={**request.headers, name: request.headers[name] + letter})
    if kind == 3:
        return changed(request, headers={**request.headers, f"x-amz-{chance.randrange(1000)}": letter})
    return changed(request, method=chance.choice([m for m in METHODS if m != request.method]))


@pytest.mark.parametrize("rounds", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_change_by_chance_is_refused(rounds: int) -> None:
    """[GW-10] Of as many signed requests."""
    chance = random.Random(12)
    for number in range(rounds):
        make = signed if number % 2 else presigned
        url = f"http://host/b/{chance.randrange(99)}?{urlencode({'prefix': chance.randrange(99)})}"
        request = make(chance.choice(METHODS), url, {"x-amz-meta-a": str(number)})
        assert authenticate(request, secret_of, NOW) is not None
        with pytest.raises(Refused):
            authenticate(mutated(request, chance), secret_of, NOW)


def test_the_query_is_read_as_botocore_writes_it() -> None:
    assert parse_query(b"a=b%20c&d=%2B&e") == {**dict(parse_qsl("a=b%20c&d=%2B")), "e": ""}
    assert parse_query(b"a=b+c") == {"a": "b c"}
    for twice in (b"a=1&a=2", b"a&%61"):
        with pytest.raises(Refused):
            parse_query(twice)
