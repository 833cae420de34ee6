"""AWS Signature Version 4: who signed a request, and whether the signature is right ([GW-10] to [GW-17]).

Every `x-amz-…` that arrives has to be signed. Else anybody could add an `x-amz-copy-source` to a presigned PUT, and read any
object of the signer's. Other servers had that hole.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire.content import CHUNKED, UNSIGNED, UNSIGNED_CHUNKS_TRAILER
from mstbucket.gateway.wire.request import Request, decode_path
from mstbucket.limits import CLOCK_SKEW_SECONDS, PRESIGN_SECONDS_MAX

ALGORITHM: Final = "AWS4-HMAC-SHA256"
REGION: Final = "us-east-1"  # the only one there is; a client that signed for another is told ([GW-13])
_SERVICE: Final = "s3"
_END: Final = "aws4_request"
_EMPTY: Final = hashlib.sha256(b"").hexdigest()
_STAMP: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_AUTHORIZATION: Final = re.compile(
    ALGORITHM + r"\s+Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([^,\s]+)\s*"
)
_IN_QUERY: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
_SIGNATURE: Final = "X-Amz-Signature"
_NO_SECRET: Final = "0" * 40  # [GW-16] for a key that does not exist, so that its check takes as long


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its signature, before any of it is believed."""

    key_id: str
    day: str
    headers: tuple[str, ...]
    signature: str
    stamp: str
    expires: int | None  # seconds; None for a signature in the header
    payload: str

    @property
    def scope(self) -> str:
        """What the signing key is for."""
        return f"{self.day}/{REGION}/{_SERVICE}/{_END}"


@dataclass(frozen=True, slots=True)
class Signed:
    """A request that was signed with the secret of `key_id`; `payload` is what the signature says of the body."""

    key_id: str
    payload: str
    chain: ChunkChain


class ChunkChain:
    """The signatures of the chunks of one body. Each one signs the one before it, too."""

    def __init__(self, key: bytes, stamp: str, scope: str, seed: str) -> None:
        self._key = key
        self._about = f"{stamp}\n{scope}"
        self._before = seed

    def check_chunk(self, digest: str, signature: str) -> None:
        """Compare the signature of a chunk with its SHA-256 `digest`, in hex."""
        self._check(f"{ALGORITHM}-PAYLOAD\n{self._about}\n{self._before}\n{_EMPTY}\n{digest}", signature)

    def check_trailer(self, text: bytes, signature: str) -> None:
        """Compare the signature of the lines behind the last chunk."""
        digest = hashlib.sha256(text).hexdigest()
        self._check(f"{ALGORITHM}-TRAILER\n{self._about}\n{self._before}\n{digest}", signature)

    def _check(self, text: str, signature: str) -> None:
        wanted = hmac.digest(self._key, text.encode("ascii"), "sha256").hex()
        if not hmac.compare_digest(wanted.encode(), signature.encode()):
            raise _mismatch()
        self._before = signature


def authenticate(request: Request, secret_of: Callable[[str], str | None], now: datetime) -> Signed | None:
    """Who signed the request; None where nobody did.

    Args:
        secret_of: the secret of a key that may be used now; None where there is no such key.

    Raises:
        Refused: the signature is malformed, of another request, or of another time.
    """
    claim = _claim(request)
    if claim is None:
        return None
    _check_time(claim, now)
    _check_headers(request, claim)
    _check_payload(request, claim)
    secret = secret_of(claim.key_id)
    key = signing_key(_NO_SECRET if secret is None else secret, claim.day)
    same = False
    for path in _paths(request.path):
        digest = hashlib.sha256(canonical(request, claim, path)).hexdigest()
        text = f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{digest}"
        wanted = hmac.digest(key, text.encode("ascii"), "sha256").hex()
        same |= hmac.compare_digest(wanted.encode(), claim.signature.encode())  # [GW-16]
    if secret is None:
        raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.",
                      AWSAccessKeyId=claim.key_id)  # fmt: skip
    if not same:
        raise _mismatch()
    return Signed(claim.key_id, claim.payload, ChunkChain(key, claim.stamp, claim.scope, claim.signature))


@lru_cache(maxsize=1024)
def signing_key(secret: str, day: str) -> bytes:
    """The key that signs all requests of one day."""
    key = f"AWS4{secret}".encode()
    for part in (day, REGION, _SERVICE, _END):
        key = hmac.digest(key, part.encode("ascii"), "sha256")
    return key


# --- what the request says -----------------------------------------------------------------------------------------------


def _claim(request: Request) -> Claim | None:
    header = request.headers.get("authorization")
    in_query = any(name in request.query for name in (*_IN_QUERY, _SIGNATURE))
    if any(name in request.query for name in ("AWSAccessKeyId", "Signature")) or (header or "").startswith("AWS "):
        raise Refused("InvalidRequest", "The authorization mechanism you have provided is not supported. "
                      f"Please use {ALGORITHM}.")  # fmt: skip
    if header is not None and in_query:  # [GW-11]
        raise Refused("InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                      "Signature query string parameter or the Authorization header should be specified.")  # fmt: skip
    if "x-amz-security-token" in request.headers or "X-Amz-Security-Token" in request.query:
        raise Refused("InvalidToken", "The provided token is malformed or otherwise invalid: there are no session tokens.")
    if in_query:
        return _query_claim(request)
    return None if header is None else _header_claim(request, header)


def _header_claim(request: Request, header: str) -> Claim:
    code = "AuthorizationHeaderMalformed"
    found = _AUTHORIZATION.fullmatch(header)
    if found is None:
        raise Refused(code, "The authorization header that you provided is not valid.")
    key_id, day = credential_of(code, found[1])
    stamp = request.headers.get("x-amz-date")
    if stamp is None:
        raise Refused("AccessDenied", "AWS authentication requires a valid x-amz-date header.")
    payload = request.headers.get("x-amz-content-sha256")
    if payload is None:
        raise Refused("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return Claim(key_id, day, tuple(found[2].split(";")), found[3], stamp, None, payload)


def _query_claim(request: Request) -> Claim:
    code = "AuthorizationQueryParametersError"
    missing = [name for name in (*_IN_QUERY, _SIGNATURE) if not request.query.get(name)]
    if missing:
        raise Refused(code, f"Query-string authentication requires {', '.join(missing)}.")
    algorithm, credential, stamp, expires, headers = (request.query[name] for name in _IN_QUERY)
    if algorithm != ALGORITHM:
        raise Refused(code, f'X-Amz-Algorithm only supports "{ALGORITHM}".')
    if not re.fullmatch("[0-9]{1,7}", expires) or not 1 <= int(expires) <= PRESIGN_SECONDS_MAX:  # [GW-15]
        raise Refused(code, f"X-Amz-Expires must be a number of seconds from 1 to {PRESIGN_SECONDS_MAX}.")
    key_id, day = credential_of(code, credential)
    payload = request.headers.get("x-amz-content-sha256") or request.query.get("X-Amz-Content-Sha256") or UNSIGNED
    return Claim(key_id, day, tuple(headers.split(";")), request.query[_SIGNATURE], stamp, int(expires), payload)


def credential_of(code: str, text: str) -> tuple[str, str]:
    """[GW-13] The key's id and the day; `Refused` if region, service or terminator is another."""
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or not re.fullmatch("[0-9]{8}", parts[1]):
        raise Refused(code, "The Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
    key_id, day, region, service, end = parts
    if region != REGION:
        raise Refused(code, f"The region '{region}' is wrong; expecting '{REGION}'", Region=REGION)
    if (service, end) != (_SERVICE, _END):
        raise Refused(code, f"The Credential is for {service}/{end}; expecting {_SERVICE}/{_END}.")
    return key_id, day


# --- what can be refused without the secret --------------------------------------------------------------------------------


def _check_time(claim: Claim, now: datetime) -> None:
    if _STAMP.fullmatch(claim.stamp) is None or claim.stamp[:8] != claim.day:
        raise Refused("AccessDenied", "The date is not YYYYMMDD'T'HHMMSS'Z', or not of the day of the credential.")
    try:
        signed = datetime.fromisoformat(claim.stamp)
    except ValueError:
        raise Refused("AccessDenied", "The date of the signature does not exist.") from None
    skew = timedelta(seconds=CLOCK_SKEW_SECONDS)  # [GW-14]
    if signed - now > skew or (claim.expires is None and now - signed > skew):
        raise Refused("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
                      RequestTime=claim.stamp, ServerTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"))  # fmt: skip
    if claim.expires is not None and now - signed > timedelta(seconds=claim.expires):
        raise Refused("AccessDenied", "Request has expired")


def _check_headers(request: Request, claim: Claim) -> None:
    """[GW-10] Host and every `x-amz-…` and `x-mst-…` that arrived have to be signed, but for the hash of the body."""
    listed = set(claim.headers)
    if len(listed) != len(claim.headers) or any(name not in request.headers for name in listed):
        raise Refused("AccessDenied", "SignedHeaders names a header twice, or one that did not come.")
    arrived = {name for name in request.headers if name.startswith(("x-amz-", "x-mst-"))} | {"host"}
    unsigned = sorted(arrived - listed - {"x-amz-content-sha256"})
    if unsigned:
        raise Refused("AccessDenied", "There were headers present in the request which were not signed",
                      HeadersNotSigned=", ".join(unsigned))  # fmt: skip


def _check_payload(request: Request, claim: Claim) -> None:
    payload = claim.payload
    if payload not in (UNSIGNED, *CHUNKED) and _HEX.fullmatch(payload) is None:
        raise Refused("InvalidArgument", f"x-amz-content-sha256 must be {UNSIGNED}, {', '.join(CHUNKED)} or a valid sha256 "
                      "value.", ArgumentName="x-amz-content-sha256", ArgumentValue=payload[:100])  # fmt: skip
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if payload in (UNSIGNED, UNSIGNED_CHUNKS_TRAILER) and has_body and not request.secure:  # [GW-17]
        raise Refused("AccessDenied", "A body that is not signed is taken over TLS only, or from this machine.")


# --- the canonical request -------------------------------------------------------------------------------------------------


def _paths(raw: bytes) -> list[str]:
    """The path, decoded once and encoded again. Most clients sign an encoded slash as it came. Some sign a plain one,
    since AWS's rule says that no slash is encoded. Both mean the same key.
    """
    plain = quote(decode_path(raw), safe="/~")
    if b"%2f" not in raw.lower():
        return [plain]
    kept = "/".join(quote(decode_path(piece), safe="~") for piece in raw.split(b"/"))
    return [kept, plain]


def canonical(request: Request, claim: Claim, path: str) -> bytes:
    """The text that is signed. The query, too, was decoded once, and is encoded again in its one form."""
    query = sorted((_quoted(n), _quoted(v)) for n, v in request.query.items() if n != _SIGNATURE)
    lines = [
        request.method,
        path,
        "&".join(f"{name}={value}" for name, value in query),
        *(f"{name}:{' '.join(request.headers[name].split())}" for name in claim.headers),
        "",
        ";".join(claim.headers),
        claim.payload,
    ]
    return "\n".join(lines).encode("latin-1")


def _quoted(text: str) -> str:
    return quote(text, safe="~")


def _mismatch() -> Refused:
    return Refused("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. "
                   "Check your key and signing method.")  # fmt: skip
