"""An error that boto3 raises, as the library's error of the same code."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from mstbucket.errors import InvalidInput, MstBucketError
from mstbucket.gateway.refusals import STATUSES


class CannotSay(Exception):
    """boto3, or S3 itself, has no words for this call of the library. `UNSAID` lists the rows that it ends."""


class RefusedByGateway(InvalidInput):
    """The gateway refuses what never comes to the library, with a code of its own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]


def _classes(base: type[MstBucketError]) -> dict[str, type[MstBucketError]]:
    """The class that gave itself each code."""
    found = {vars(base)["code"]: base} if "code" in vars(base) else {}
    for one in base.__subclasses__():
        found = {**_classes(one), **found}
    return found


CLASSES = {code: one for code, one in _classes(MstBucketError).items() if one is not RefusedByGateway}


def translated(error: ClientError) -> Exception:
    """The library's error. The status has to be the one that goes with the code; what is broken inside stays as it is."""
    code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = "NotModified" if code == "304" else code
    if status >= 500 and code != "NotImplemented":
        return error
    found = CLASSES.get(code)
    if found is not None:
        assert status == found.status, error.response
        return found(str(error))
    assert status == STATUSES[code] == 400, error.response
    return RefusedByGateway(code, str(error))


def code_without_body(error: ClientError) -> bool:
    """Whether it answers a HEAD, which has a status and nothing else."""
    code: Any = error.response["Error"]["Code"]
    return bool(code.isdecimal()) and code != "304"
