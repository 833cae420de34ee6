"""The one map from an error to S3's code, its HTTP status, and the XML that says so ([GW-5])."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mstbucket.errors import MstBucketError, NotModified, PreconditionFailed

#: The status of each code that the gateway itself gives. What the library raises has its own code and status.
STATUSES: Final[Mapping[str, int]] = {
    "AccessControlListNotSupported": 400,
    "AccessDenied": 403,
    "AccessForbidden": 403,
    "AuthorizationHeaderMalformed": 400,
    "AuthorizationQueryParametersError": 400,
    "BadRequest": 400,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidDigest": 400,
    "InvalidLocationConstraint": 400,
    "InvalidRequest": 400,
    "InvalidToken": 400,
    "InvalidURI": 400,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "InvalidPolicyDocument": 400,
    "MalformedPOSTRequest": 400,
    "MalformedPolicy": 400,
    "MaxPostPreDataLengthExceeded": 400,
    "MalformedTrailerError": 400,
    "MalformedXML": 400,
    "MaxMessageLengthExceeded": 400,
    "MethodNotAllowed": 405,
    "NoSuchCommit": 404,
    "NoSuchKey": 404,
    "MissingContentLength": 411,
    "MissingRequestBodyError": 400,
    "NoSuchPublicAccessBlockConfiguration": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "QuotaExceeded": 403,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "XAmzContentSHA256Mismatch": 400,
}

#: S3's code for each code that only the library has.
_IN_S3: Final[Mapping[str, str]] = {
    "Corruption": "InternalError",
    "InvalidFormat": "InternalError",
    "InvalidKey": "InvalidArgument",
    "NotFound": "InternalError",
    "NoSuchCommit": "NoSuchKey",
    "WrongKey": "InternalError",
    "WrongPlace": "InternalError",
}
_BROKEN: Final = "We encountered an internal error. Please try again."


class Refused(Exception):
    """The gateway refuses a request, with one of the codes of STATUSES. This becomes the answer to the request.

    Attributes:
        more: further elements of the XML, such as the region that a signature must name.
        headers: further headers of the answer, such as the one about a delete marker.
    """

    def __init__(self, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: str) -> None:
        super().__init__(message)
        self.code = code
        self.more = more
        self.headers = {} if headers is None else headers


def refusal(error: Exception) -> tuple[int, str, str, Mapping[str, str]]:
    """The status, code, message and further elements of the answer to an error.

    A client is not told what failed inside: the message may name places and rows. The log has it.
    """
    if isinstance(error, Refused):
        return STATUSES[error.code], error.code, str(error), error.more
    if not isinstance(error, MstBucketError):
        return 500, "InternalError", _BROKEN, {}
    code = _IN_S3.get(error.code, error.code)
    if error.status == 503:
        return 503, "ServiceUnavailable", "Please reduce your request rate.", {}
    if code == "InternalError":
        return 500, code, _BROKEN, {}
    if isinstance(error, PreconditionFailed):
        return error.status, code, str(error), {"Condition": "If-Match or If-None-Match"}
    if isinstance(error, NotModified):
        return error.status, code, "", {}
    return error.status, code, str(error), {}
