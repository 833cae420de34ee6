"""The policy of a browser's form: what its signer lets others put ([GW-61])."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mstbucket.gateway.auth.sigv4 import ALGORITHM, credential_of, signing_key
from mstbucket.gateway.refusals import Refused

_FREE: Final = ("policy", "x-amz-signature")  # fields that no condition has to cover, beside x-ignore-…
_NO_SECRET: Final = "0" * 40


@dataclass(frozen=True, slots=True)
class Span:
    """How many bytes the file has to have."""

    least: int
    most: int


def signer_of(fields: Mapping[str, str], secret_of: Callable[[str], str | None]) -> str | None:
    """Whose key signed the policy; None where there is no policy.

    Raises:
        Refused: the signature is incomplete, or not this policy's.
    """
    if "awsaccesskeyid" in fields or "signature" in fields:
        raise Refused("InvalidRequest", f"The authorization mechanism you have provided is not supported. Use {ALGORITHM}.")
    if "x-amz-security-token" in fields:
        raise Refused("InvalidToken", "The provided token is malformed or otherwise invalid: there are no session tokens.")
    needed = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
    present = [name for name in needed if name in fields]
    if not present:
        return None
    if len(present) < len(needed):
        missing = ", ".join(name for name in needed if name not in fields)
        raise Refused("InvalidArgument", f"Bucket POST must contain a field named {missing}.")
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise Refused("InvalidArgument", f"x-amz-algorithm must be {ALGORITHM}.")
    key_id, day = credential_of("InvalidArgument", fields["x-amz-credential"])
    if fields["x-amz-date"][:8] != day:
        raise Refused("AccessDenied", "The date is not of the day of the credential.")
    secret = secret_of(key_id)
    key = signing_key(_NO_SECRET if secret is None else secret, day)
    wanted = hmac.digest(key, fields["policy"].encode(), "sha256").hex()
    same = hmac.compare_digest(wanted.encode(), fields["x-amz-signature"].encode())  # [GW-16]
    if secret is None:
        raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.",
                      AWSAccessKeyId=key_id)  # fmt: skip
    if not same:
        raise Refused("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you "
                      "provided. Check your key and signing method.")  # fmt: skip
    return key_id


def check(policy: str, fields: Mapping[str, str], now: datetime) -> Span:
    """Check the fields against the policy; return how long the file may be.

    Args:
        policy: in base64, as it was signed.
        fields: by their names in lower case; the bucket is among them.

    Raises:
        Refused: it has expired, a condition is not met, or no condition covers a field.
    """
    document = _read(policy)
    if _expires(document) <= now:
        raise _denied("Policy expired.")
    covered, span = set(), Span(0, 2**63)
    for condition in _conditions(document):
        operator, name, value = condition
        if operator == "content-length-range":
            span = Span(max(span.least, name), min(span.most, value))
            continue
        covered.add(name)
        found = fields.get(name, "")
        parts = found.split(",") if name == "content-type" and operator == "starts-with" else [found]
        if not (found == value if operator == "eq" else all(part.startswith(value) for part in parts)):
            raise _denied(f"Policy Condition failed: [\"{operator}\", \"${name}\", \"{value}\"]")
    extra = sorted(n for n in fields if n not in covered and n not in (*_FREE, "bucket") and not n.startswith("x-ignore-"))
    if extra:
        raise _denied(f"Extra input fields: {', '.join(extra)[:200]}")
    return span


def _denied(why: str) -> Refused:
    return Refused("AccessDenied", f"Invalid according to Policy: {why}")


def _invalid(why: str) -> Refused:
    return Refused("InvalidPolicyDocument", f"Invalid Policy: {why}.")


def _read(policy: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.b64decode(policy, validate=True))
    except (ValueError, RecursionError):
        raise _invalid("it is no JSON in base64") from None
    if not isinstance(document, dict) or set(document) != {"expiration", "conditions"}:
        raise _invalid("it has an expiration and conditions, and nothing else")
    return document


def _expires(document: dict[str, Any]) -> datetime:
    try:
        when = datetime.fromisoformat(document["expiration"])
    except (TypeError, ValueError):
        raise _invalid("its expiration is no time in ISO 8601") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _conditions(document: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    if not isinstance(document["conditions"], list):
        raise _invalid("its conditions are no list")
    for one in document["conditions"]:
        if isinstance(one, dict) and len(one) == 1:
            [(name, value)] = one.items()
            found.append(("eq", name.lower(), value))
        elif isinstance(one, list) and len(one) == 3 and isinstance(one[0], str):
            operator, name, value = one[0].lower(), one[1], one[2]
            if operator == "content-length-range":
                found.append((operator, _whole(name), _whole(value)))
                continue
            if operator not in ("eq", "starts-with") or not isinstance(name, str) or not name.startswith("$"):
                raise _invalid(f"a condition is not known: {json.dumps(one)[:100]}")
            found.append((operator, name[1:].lower(), value))
        else:
            raise _invalid(f"a condition is not known: {json.dumps(one)[:100]}")
        if not isinstance(found[-1][2], str):
            raise _invalid("the value of a condition is no string")
    return found


def _whole(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _invalid("content-length-range has two whole numbers")
    return value
