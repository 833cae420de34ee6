"""CORS: the rules of a bucket, a browser's question beforehand, and what every answer to a page says ([GW-50])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mstbucket.gateway.auth.rights import Known
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.xml_out import document, element, group
from mstbucket.gateway.wire.answer import Answer, Headers
from mstbucket.gateway.wire.request import Request
from mstbucket.model.cors import CorsRule

_VARY: Final = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
_LISTS: Final = {"AllowedMethod": "AllowedMethods", "AllowedOrigin": "AllowedOrigins", "AllowedHeader": "AllowedHeaders",
                 "ExposeHeader": "ExposeHeaders"}  # fmt: skip


def get_bucket_cors(call: Call) -> Answer:
    """The rules."""
    return Answer(200, [], document("CORSConfiguration", *map(_shown, call.bucket.get_bucket_cors())))


def put_bucket_cors(call: Call) -> Answer:
    """Replace the rules. They count here at once, and elsewhere within seconds."""
    found = xml_in.children(call.xml("CORSConfiguration"), ("CORSRule",))
    call.bucket.put_bucket_cors([_read(rule) for rule in found.get("CORSRule", [])])
    call.site.known.forget(call.bucket_name)
    return Answer()


def delete_bucket_cors(call: Call) -> Answer:
    """Remove the rules."""
    call.bucket.delete_bucket_cors()
    call.site.known.forget(call.bucket_name)
    return Answer(204)


def _read(node: xml_in.Node) -> dict[str, Any]:
    found = xml_in.children(node, (*_LISTS, "MaxAgeSeconds", "ID"))
    rule: dict[str, Any] = {key: [one.text or "" for one in found.get(name, [])] for name, key in _LISTS.items()}
    age, name = xml_in.only(found, "MaxAgeSeconds"), xml_in.only(found, "ID")
    return {
        **rule,
        "MaxAgeSeconds": None if age is None else xml_in.number(age.text or ""),
        "ID": None if name is None else name.text or "",
    }


def _shown(rule: CorsRule) -> str:
    lists = (
        ("AllowedMethod", rule.allowed_methods), ("AllowedOrigin", rule.allowed_origins),
        ("AllowedHeader", rule.allowed_headers), ("ExposeHeader", rule.expose_headers),
    )  # fmt: skip
    inside = [element(name, one) for name, texts in lists for one in texts]
    return group("CORSRule", element("ID", rule.id), *inside, element("MaxAgeSeconds", rule.max_age_seconds))


# --- browsers ------------------------------------------------------------------------------------------------------------


def preflight(known: Known, request: Request, bucket: str) -> Answer:
    """The answer to a browser that asks whether a page may send a request. Nobody signs this question.

    Raises:
        Refused: the page may not, or the request asks no such question.
    """
    origin, method = request.headers.get("origin"), request.headers.get("access-control-request-method")
    if origin is None:
        raise Refused("BadRequest", "Insufficient information. Origin request header needed.")
    if method is None:
        raise Refused("BadRequest", "Invalid Access-Control-Request-Method: null")
    said = request.headers.get("access-control-request-headers", "")
    wanted = [name.strip().lower() for name in said.split(",") if name.strip()]
    rules = known.of(bucket).cors
    if not rules:
        raise Refused("AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.")
    rule = _rule_for(rules, origin, method, wanted)
    if rule is None:
        raise Refused("AccessForbidden", "CORSResponse: This CORS request is not allowed. This is usually because the "
                      "evalution of Origin, request method / Access-Control-Request-Method or "
                      "Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.")  # fmt: skip
    headers = _allowing(rule, origin)
    if wanted:
        headers.append(("Access-Control-Allow-Headers", ", ".join(wanted)))
    return Answer(200, headers)


def headers_for_page(known: Known, request: Request, bucket: str) -> Headers:
    """The headers that let a browser show the answer to a page of another origin."""
    origin = request.headers.get("origin")
    if origin is None or not bucket or request.method == "OPTIONS":
        return []
    rule = _rule_for(known.of(bucket).cors, origin, request.method, [])
    return [] if rule is None else _allowing(rule, origin)


def _rule_for(rules: Sequence[CorsRule], origin: str, method: str, headers: list[str]) -> CorsRule | None:
    for rule in rules:
        if (
            method in rule.allowed_methods
            and any(_is_like(pattern, origin) for pattern in rule.allowed_origins)
            and all(any(_is_like(pattern.lower(), name) for pattern in rule.allowed_headers) for name in headers)
        ):
            return rule
    return None


def _is_like(pattern: str, text: str) -> bool:
    """Whether a text matches a pattern. Only `*` is special: `?` stands for itself."""
    first, star, last = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(first) + len(last) and text.startswith(first) and text.endswith(last)


def _allowing(rule: CorsRule, origin: str) -> Headers:
    everybody = "*" in rule.allowed_origins
    headers = [
        ("Access-Control-Allow-Origin", "*" if everybody else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule.allowed_methods)),
    ]
    if rule.expose_headers:
        headers.append(("Access-Control-Expose-Headers", ", ".join(rule.expose_headers)))
    if rule.max_age_seconds is not None:
        headers.append(("Access-Control-Max-Age", str(rule.max_age_seconds)))
    if not everybody:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return [*headers, _VARY]
