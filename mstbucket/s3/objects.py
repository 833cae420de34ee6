"""What is known of an object on a service, and what goes with one that is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

_PARAMETERS: Final = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "expires": "Expires",
}
_MD5: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class S3Listed:
    """An object as a listing shows it. `etag` is without quotes."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class S3Attributes:
    """What goes with an object. `headers` are those S3 keeps, by their names in lower case, such as "cache-control"."""

    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """As boto3's arguments. A header that S3 does not keep is a KeyError here: callers choose from `HEADERS`."""
        found: dict[str, Any] = {_PARAMETERS[name]: value for name, value in self.headers.items()}
        if self.content_type is not None:
            found["ContentType"] = self.content_type
        if self.metadata:
            found["Metadata"] = dict(self.metadata)
        return found


HEADERS: Final = frozenset(_PARAMETERS)
NO_ATTRIBUTES: Final = S3Attributes()


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object as HEAD and GET show it: `listed`, what goes with it, and the MD5 of its bytes where that is its ETag."""

    listed: S3Listed
    attributes: S3Attributes
    md5: str | None

    @classmethod
    def from_answer(cls, key: str, size: int, answer: Mapping[str, Any]) -> S3Object:
        """From boto3's answer to HEAD or GET; `size` is that of the whole object."""
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        kept = {name: str(headers[name]) for name in _PARAMETERS if headers.get(name)}
        attributes = S3Attributes(answer.get("ContentType"), kept, answer.get("Metadata", {}))
        listed = S3Listed(key, size, bare(answer.get("ETag", "")), answer["LastModified"])
        return cls(listed, attributes, plain_md5(answer))


@dataclass(frozen=True, slots=True)
class S3Written:
    """What was written: its size in bytes, and its ETag without quotes ("" where the service did not say)."""

    size: int
    etag: str


def bare(etag: str | None) -> str:
    """An ETag without its quotes: some services leave them out."""
    return (etag or "").removeprefix("W/").strip('"')


def plain_md5(answer: Mapping[str, Any]) -> str | None:
    """The MD5 in hex that an answer's ETag is, or None: it is none of a multipart upload or under a key of KMS's."""
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    etag = bare(answer.get("ETag"))
    return etag if not encrypted and _MD5.fullmatch(etag) is not None else None
