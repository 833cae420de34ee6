"""What went wrong at a service, in the words of this package: the one place that knows botocore's exceptions.

Each failure says three things: the error to raise, whether the same call may work a moment later, and whether the call may
have had its effect all the same. A request may be done and only its answer lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from mstbucket.errors import InvalidInput, MstBucketError, NoSuchKey, PreconditionFailed, StorageError, Unsupported

#: Answers that say "not now", whatever their status ([S3B-5]).
_AGAIN: Final = frozenset({
    "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "ThrottledException",
    "RequestThrottled", "RequestThrottledException", "TooManyRequestsException", "TooManyRequests",
    "RequestLimitExceeded", "BandwidthLimitExceeded", "RequestTimeout", "RequestTimeoutException", "InternalError",
    "ServiceUnavailable", "ConditionalRequestConflict", "OperationAborted", "BadDigest", "IncompleteBody",
    "XAmzContentChecksumMismatch",
})  # fmt: skip
# Of those, the ones that are said instead of doing it: nothing has happened.
_REFUSED: Final = _AGAIN - {"InternalError", "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException"}

_KEYS_WRONG: Final = "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
_EXPIRED: Final = "the credentials have expired: renew them (for a profile: sign in again)"
_REGION: Final = "the bucket is in another region: write that one into the URL as region="
_DENIED: Final = "the credentials do not allow it: the policy has to grant what the store does"
_MISSING: Final = "there is no such bucket on this service: make it there, or correct the URL"
_ADVICE: Final[Mapping[str, str]] = {
    "NoSuchBucket": _MISSING,
    "InvalidBucketName": _MISSING,
    "InvalidAccessKeyId": _KEYS_WRONG,
    "SignatureDoesNotMatch": _KEYS_WRONG,
    "InvalidToken": _KEYS_WRONG,
    "InvalidClientTokenId": _KEYS_WRONG,
    "UnrecognizedClientException": _KEYS_WRONG,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "403": "it is not allowed: the credentials are wrong, or do not allow it",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "301": _REGION,
    "QuotaExceeded": "the quota of the service is used up: raise it, or make room",
    "XMinioStorageFull": "the disk of the service is full: make room there",
    "InvalidRange": "it ends before the bytes that were asked for",
    "InvalidObjectState": "the object is archived: restore it on the service first",
    "NoSuchUpload": "the upload was aborted meanwhile, by somebody else or by a rule of the bucket: repeat the call",
    "SlowDown": "the service is throttling: try again later, with less at once",
    "RequestTimeTooSkewed": "the clocks differ: set the clock of this machine",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What to raise; whether to try `again`; whether the call's effect is `unsure`."""

    error: MstBucketError
    again: bool = False
    unsure: bool = False
    code: str = ""


def missing_library() -> Unsupported:
    """The error for an installation without boto3."""
    return Unsupported("S3 needs the library boto3, which is not installed here: in your clone, run pip install '.[s3]'")


def understand(error: Exception, what: str, where: str) -> Failure | None:
    """What `error` means. boto3 raised it, or the reading of its answer, in the course of `what` at `where`.

    None for what is declared already. Everything else has a meaning: no other error leaves this package ([S3B-18]).
    """
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, MstBucketError):
        return None
    if isinstance(error, boto.ClientError):
        return _answered(error.response, what, where)

    def failed(advice: str) -> StorageError:
        return StorageError(f"{what}: {where}: {advice}")

    no_answer = f"the service did not answer ({_brief(error)}): check the network, the endpoint and the service"
    match error:
        case boto.NoCredentialsError() | boto.PartialCredentialsError():
            return Failure(failed("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"))
        case boto.UnauthorizedSSOTokenError() | boto.SSOTokenLoadError() | boto.TokenRetrievalError():
            return Failure(failed(_EXPIRED))
        case boto.CredentialRetrievalError() | boto.ProfileNotFound() | boto.ConfigNotFound() | boto.ConfigParseError():
            return Failure(failed(f"the credentials cannot be found ({_brief(error)}): correct the profile"))
        case boto.SSLError():
            return Failure(failed(f"the service's certificate is not trusted ({_brief(error)}): see AWS_CA_BUNDLE"))
        case boto.EndpointConnectionError() | boto.ConnectTimeoutError() | boto.ProxyConnectionError():
            return Failure(failed(no_answer), again=True)
        case boto.HTTPClientError() | boto.IncompleteReadError():  # the connection was there
            return Failure(failed(no_answer), again=True, unsure=True)
        case boto.ParamValidationError():
            return Failure(InvalidInput(f"{what}: {where}: S3 does not take this ({_brief(error)})"))
        case boto.BotoCoreError():
            return Failure(failed(f"boto3 cannot do it ({_brief(error)})"))
        case OSError():  # a socket's own, where botocore lets it through
            return Failure(failed(no_answer), again=True, unsure=True)
    odd = f"the service's answer makes no sense ({type(error).__name__}: {_brief(error)})"
    return Failure(failed(odd), again=isinstance(error, ResponseParserError), unsure=True)


def refused_key(code: str, message: str, what: str, where: str) -> Failure:
    """What the answer for one key of many means."""
    return _answered({"Error": {"Code": code, "Message": message}}, what, where)


def _answered(response: Mapping[str, Any], what: str, where: str) -> Failure:
    """An answer of the service that is an error."""
    told: Mapping[str, Any] = response.get("Error", {})
    meta: Mapping[str, Any] = response.get("ResponseMetadata", {})
    code = str(told.get("Code") or meta.get("HTTPStatusCode") or "?")
    status = int(meta.get("HTTPStatusCode", 0))
    said = f"{code}: {str(told['Message'])[:200]}" if told.get("Message") else code
    # 409 is "somebody is writing this now", 412 "there is one" ([S3B-6])
    if status == 412 or code in ("PreconditionFailed", "412"):
        return Failure(PreconditionFailed(f"{what}: {where}: there is an object of that key"), code=code)
    if code == "NoSuchKey" or (status == 404 and code in ("404", "NotFound")):
        return Failure(NoSuchKey(f"{what}: {where}: there is no such object"), code=code)
    if code == "NotImplemented" or status == 501:
        return Failure(Unsupported(f"{what}: {where}: the service does not offer this ({said})"), code=code)
    advice = _ADVICE.get(code, "the service refused")
    if code == "RequestTimeTooSkewed":
        advice += _skew(meta)
    elif told.get("Region"):
        advice += str(told["Region"])[:64]
    again = code in _AGAIN or status >= 500 or status in (408, 429)
    if again:
        advice = _ADVICE.get(code, "the service failed several times: try again later")
    unsure = again and code not in _REFUSED and status not in (429, 503)
    return Failure(StorageError(f"{what}: {where}: {advice} ({said})"), again, unsure, code)


def _skew(meta: Mapping[str, Any]) -> str:
    theirs = server_time(meta)
    if theirs is None:
        return ""
    return f", which is {(datetime.now(UTC) - theirs).total_seconds():+.0f} s off the service's"


def server_time(meta: Mapping[str, Any]) -> datetime | None:
    """The service's clock, to the second, by an answer's ResponseMetadata; None where it does not say."""
    try:
        found = parsedate_to_datetime(str(meta["HTTPHeaders"]["date"]))
    except (KeyError, ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _brief(error: Exception) -> str:
    """botocore's message on one line, without what it says about URLs of its own making."""
    return " ".join(str(error).split())[:200]
