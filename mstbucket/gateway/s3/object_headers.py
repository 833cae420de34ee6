"""What goes with an object: from HTTP's headers to the library's arguments, and back."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from mstbucket import ObjectInfo, PutResult
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.call import Call, Site
from mstbucket.gateway.s3.xml_out import moment, quoted
from mstbucket.gateway.wire.answer import Headers
from mstbucket.model.objects import checksum_type_of
from mstbucket.model.policies import Retention

META: Final = "x-amz-meta-"
KEPT: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
OVERRIDES: Final = tuple(f"response-{name}" for name in ("content-type", *KEPT))
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # of a header, by RFC 9110
_DEFAULT_TYPE: Final = "binary/octet-stream"


def http_date(when: datetime) -> str:
    """A time as HTTP writes it, in whole seconds."""
    return format_datetime(when.replace(microsecond=0), usegmt=True)


# --- in ------------------------------------------------------------------------------------------------------------------


def described(call: Call) -> dict[str, Any]:
    """What the headers say of a new object: content type, metadata, kept headers, tags, lock."""
    names = call.request.headers
    metadata = {name.removeprefix(META): call.header(name) or "" for name in names if name.startswith(META)}
    return {
        "content_type": call.header("content-type"),
        "metadata": metadata,
        "headers": _kept(call),
        "tags": call.header("x-amz-tagging") or {},
        **_lock(call),
    }


def _kept(call: Call) -> dict[str, str]:
    kept = {name: value for name in KEPT if (value := call.header(name)) is not None}
    # `aws-chunked` speaks of the transfer, and not of the object.
    codings = [c.strip() for c in kept.pop("content-encoding", "").split(",")]
    left = ",".join(c for c in codings if c and c.lower() != "aws-chunked")
    return {**kept, "content-encoding": left} if left else kept


def _lock(call: Call) -> dict[str, Any]:
    mode, until = call.header("x-amz-object-lock-mode"), call.header("x-amz-object-lock-retain-until-date")
    hold = call.header("x-amz-object-lock-legal-hold")
    if hold not in (None, "ON", "OFF"):
        raise Refused("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'")
    lock: dict[str, Any] = {}
    if mode is not None:
        lock["object_lock_mode"] = mode
    if until is not None:
        lock["object_lock_retain_until"] = retained_until(until)
    if hold is not None:
        lock["object_lock_legal_hold"] = hold == "ON"
    return lock


def retained_until(text: str) -> datetime:
    """The time in a header about a lock."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise Refused("InvalidArgument", "The retain until date must be provided in ISO 8601 format")
    return when


def conditions(call: Call) -> dict[str, Any]:
    """The conditions of a read."""
    return {
        "if_match": call.header("if-match"),
        "if_none_match": call.header("if-none-match"),
        "if_modified_since": call.moment("if-modified-since"),
        "if_unmodified_since": call.moment("if-unmodified-since"),
    }


def write_conditions(call: Call) -> dict[str, Any]:
    """The conditions of a write."""
    return {"if_match": call.header("if-match"), "if_none_match": call.header("if-none-match")}


def source_conditions(call: Call) -> dict[str, Any]:
    """The conditions that a copy sets for its source."""
    start = "x-amz-copy-source-"
    return {
        "copy_source_if_match": call.header(start + "if-match"),
        "copy_source_if_none_match": call.header(start + "if-none-match"),
        "copy_source_if_modified_since": call.moment(start + "if-modified-since"),
        "copy_source_if_unmodified_since": call.moment(start + "if-unmodified-since"),
    }


def overrides(call: Call) -> dict[str, Any]:
    """The headers that a read wants in place of the kept ones. Only a signed read may ask for them ([GW-18])."""
    said = {name.replace("-", "_"): value for name in OVERRIDES if (value := call.query(name)) is not None}
    if said and call.rights.caller.key_id is None:
        raise Refused("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    return said


# --- out -----------------------------------------------------------------------------------------------------------------


def object_headers(call: Call, info: ObjectInfo) -> Headers:
    """All that GET and HEAD say of an object but its length and range."""
    headers = [
        ("Accept-Ranges", "bytes"),
        ("ETag", quoted(info.etag)),
        ("Last-Modified", http_date(info.last_modified)),
        ("Content-Type", info.content_type or _DEFAULT_TYPE),
        ("x-mst-cid", info.content),
        *encrypted(call.site),
        *((name, value) for name, value in info.headers.items() if value),  # boto3 cannot read an empty Expires
        *((META + name, value) for name, value in info.metadata.items() if _NAME.fullmatch(name)),
    ]
    missing = sum(_NAME.fullmatch(name) is None for name in info.metadata)
    if missing:
        headers.append(("x-amz-missing-meta", str(missing)))
    if info.version_id is not None:
        headers.append(("x-amz-version-id", info.version_id))
    if info.tags:
        headers.append(("x-amz-tagging-count", str(len(info.tags))))
    if info.object_lock_mode is not None and info.object_lock_retain_until is not None:
        headers.append(("x-amz-object-lock-mode", info.object_lock_mode))
        headers.append(("x-amz-object-lock-retain-until-date", moment(info.object_lock_retain_until)))
    if info.object_lock_legal_hold:
        headers.append(("x-amz-object-lock-legal-hold", "ON"))
    return headers


def checksum_headers(info: ObjectInfo | PutResult) -> Headers:
    """The checksums that are kept of an object, and their type."""
    kind = checksum_type_of(info.checksums)
    if kind is None:
        return []
    return [*((f"x-amz-checksum-{name}", value) for name, value in info.checksums.items()), ("x-amz-checksum-type", kind)]


def stored_headers(call: Call, result: PutResult) -> Headers:
    """What a write says of the object that it made."""
    headers = [("ETag", quoted(result.etag)), ("x-mst-cid", result.content), *encrypted(call.site)]
    if result.version_id is not None:
        headers.append(("x-amz-version-id", result.version_id))
    return headers


def encrypted(site: Site) -> Headers:
    """The header of a store that encrypts what it keeps; none for another."""
    return [("x-amz-server-side-encryption", "AES256")] if site.encrypts else []


def retention_of(mode: str, until: datetime) -> Retention:
    """A retention. The library checks its mode."""
    return Retention(mode, until)  # type: ignore[arg-type]
