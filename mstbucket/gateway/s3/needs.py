"""Which rights a request needs before it is looked at any further ([GW-43])."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mstbucket.gateway.wire.request import Request

#: For an old version of an object these are other rights than for the object.
_OF_VERSIONS: Final = frozenset(f"s3:{name}" for name in (
    "DeleteObject", "DeleteObjectTagging", "GetObject", "GetObjectAttributes", "GetObjectTagging", "PutObjectAcl",
    "PutObjectTagging",
))  # fmt: skip
#: The header that asks for the state at a commit ([GW-34]).
PAST: Final = "x-mst-commit"
#: Rights that a header needs, beside the operation's own.
_OF_HEADERS: Final = (
    ("x-amz-tagging", "s3:PutObjectTagging"),
    ("x-amz-object-lock-mode", "s3:PutObjectRetention"),
    ("x-amz-object-lock-retain-until-date", "s3:PutObjectRetention"),
    ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
)


def needed(name: str, action: str, request: Request) -> Iterator[str]:
    """The actions that the caller has to be allowed, for one request of an operation."""
    version = request.query.get("versionId")
    if PAST in request.headers:  # the state at a commit is an old version, whatever names it
        version, action = version or PAST, "s3:ListBucketVersions" if action == "s3:ListBucket" else action
    yield of_version(action, version)
    if name == "GetObjectAttributes":
        yield of_version("s3:GetObject", version)
    if name == "CreateBucket" and "x-amz-bucket-object-lock-enabled" in request.headers:
        yield "s3:PutBucketObjectLockConfiguration"
        yield "s3:PutBucketVersioning"
    for header, right in _OF_HEADERS:
        if header in request.headers:
            yield right


def of_version(action: str, version_id: str | None) -> str:
    """The right to do the same to an old version."""
    return action.replace("Object", "ObjectVersion", 1) if version_id and action in _OF_VERSIONS else action
