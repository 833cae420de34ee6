"""Which operation a request is, and whether it asks for more than the operation offers ([GW-22])."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Final

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.needs import PAST
from mstbucket.gateway.s3.object_headers import META
from mstbucket.gateway.s3.service import ACCOUNT
from mstbucket.gateway.s3.table import OPERATIONS, Operation, Scope
from mstbucket.gateway.wire.request import Request

#: Parameters that do not say what to do: the signature, and the name that some clients give the operation.
_ABOUT: Final = frozenset({
    "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
    "X-Amz-Content-Sha256", "x-id",
})  # fmt: skip

#: Every `x-amz-…` header that is understood, or that does not say what to do.
KNOWN_HEADERS: Final = frozenset(f"x-amz-{name}" for name in (
    "acl", "api-version", "bucket-object-lock-enabled", "bypass-governance-retention", "checksum-algorithm",
    "checksum-crc32",
    "checksum-crc32c", "checksum-crc64nvme", "checksum-mode", "checksum-sha1", "checksum-sha256", "checksum-type",
    "content-sha256", "copy-source", "copy-source-if-match", "copy-source-if-modified-since",
    "copy-source-if-none-match", "copy-source-if-unmodified-since", "copy-source-range", "date",
    "decoded-content-length", "expected-bucket-owner", "max-parts", "metadata-directive", "mp-object-size",
    "object-attributes",
    "object-lock-legal-hold", "object-lock-mode", "object-lock-retain-until-date", "object-ownership",
    "part-number-marker", "request-payer", "sdk-checksum-algorithm", "server-side-encryption",
    "source-expected-bucket-owner", "storage-class", "tagging", "tagging-directive", "trailer",
    "transition-default-minimum-object-size", "user-agent",
))  # fmt: skip

_NOT_IMPLEMENTED: Final = "A header or query you provided implies functionality that is not implemented"


def scope_of(bucket: str, key: str) -> Scope:
    """What a path names."""
    return "object" if key else "bucket" if bucket else "service"


def route(request: Request, scope: Scope) -> Operation:
    """The operation that a request is.

    Raises:
        Refused: there is none, or it does not offer something that the request asks for. Nothing is ignored: an unknown
            parameter may turn a write into another one.
    """
    names = request.query.keys() - _ABOUT
    for operation in _ORDERED.get((request.method, scope), ()):
        if _is(operation, request):
            needed = {need.partition("=")[0] for need in operation.needs}
            if names <= needed | set(operation.takes):
                _check_headers(request)
                _check_past(operation, request)
                return operation
            names -= needed
            break
    what = ", ".join(sorted(names)) or f"{request.method} of {scope}"
    raise Refused("NotImplemented", f"{_NOT_IMPLEMENTED}: {what[:200]}")


def _is(operation: Operation, request: Request) -> bool:
    if operation.header is not None and operation.header not in request.headers:
        return False
    for need in operation.needs:
        name, mark, value = need.partition("=")
        if name not in request.query or (mark and request.query[name] != value):
            return False
    return True


def _rank(operation: Operation) -> tuple[str, str, int]:
    """Operations that need more come first."""
    return operation.method, operation.scope, -len(operation.needs) - (operation.header is not None)


_ORDERED: Final[Mapping[tuple[str, str], list[Operation]]] = {
    kind: list(found) for kind, found in groupby(sorted(OPERATIONS, key=_rank), lambda one: (one.method, one.scope))
}


def _check_past(operation: Operation, request: Request) -> None:
    """[GW-34] Refuse an operation on an old state, if it is one on the present state only."""
    if PAST in request.headers and not operation.past:
        raise Refused("InvalidRequest", f"{operation.name} cannot be asked of an earlier commit: {PAST}")


def _check_headers(request: Request) -> None:
    """[GW-22] Refuse a header that asks for what is not offered."""
    for name, value in request.headers.items():
        if not name.startswith(("x-amz-", "x-mst-")) or name.startswith(META) or name == PAST:
            continue
        if name.startswith("x-amz-grant-") or (name == "x-amz-acl" and value not in _OWNERS):
            raise Refused("AccessControlListNotSupported", "The bucket does not allow ACLs")
        if name not in KNOWN_HEADERS or value not in _ONLY.get(name, (value,)):
            raise Refused("NotImplemented", f"{_NOT_IMPLEMENTED}: {name}", Header=name)
        if name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner") and value != ACCOUNT:
            raise Refused("AccessDenied", "Access Denied")


#: ACLs that say what holds anyway.
_OWNERS: Final = ("private", "bucket-owner-full-control")
#: Headers of which only some values are offered.
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "x-amz-api-version": ("2006-03-01",),  # AWS's SDK for C++ sends it, and so pyarrow does
    "x-amz-object-ownership": ("BucketOwnerEnforced",),
    "x-amz-server-side-encryption": ("AES256",),
    "x-amz-storage-class": ("STANDARD",),
}
