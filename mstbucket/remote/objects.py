"""What is known of an object on a service, and what goes with one that is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from mstbucket.errors import InvalidInput

#: Where an answer of our client has the texts of the headers that boto3 would make times and numbers of.
TEXTS: Final = "MstBucketTexts"

_PARAMETERS: Final = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "expires": "Expires",
}
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")  # RFC 9110, 5.5, without what is obsolete there
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

    def parameters(self, where: str) -> dict[str, Any]:
        """As boto3's arguments, for the object at *where*.

        Raises:
            InvalidInput: one of them cannot be a header, or would not come back as the text that it is.
        """
        for name, value in self.headers.items():
            if name not in _PARAMETERS:
                raise InvalidInput(f"{where}: S3 keeps no header {name!r}: it keeps {', '.join(_PARAMETERS)}")
            _check_value(where, f"header {name!r}", value)
        found: dict[str, Any] = {_PARAMETERS[name]: value for name, value in self.headers.items()}
        if self.content_type is not None:
            _check_value(where, "content type", self.content_type)
            found["ContentType"] = self.content_type
        for name, value in self.metadata.items():
            if _TOKEN.fullmatch(name) is None:
                raise InvalidInput(f"{where}: metadata {name!r} cannot travel: a header's name has letters, digits and "
                                   "!#$%&'*+-.^_`|~ only; store the object with another name for it")  # fmt: skip
            _check_value(where, f"metadata {name!r}", value)
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
    def from_answer(cls, key: str, answer: Mapping[str, Any]) -> S3Object:
        """From boto3's answer to HEAD or GET of the whole object."""
        headers = {**answer["ResponseMetadata"]["HTTPHeaders"], **answer[TEXTS]}
        # [S3B-17] as the text it is, whatever it means, and be it empty
        kept = {name: _text(headers[name]) for name in _PARAMETERS if name in headers}
        kind = answer.get("ContentType")
        metadata = {name: _text(value) for name, value in answer.get("Metadata", {}).items()}
        attributes = S3Attributes(None if kind is None else _text(kind), kept, metadata)
        size, modified = int(headers["content-length"]), _time(headers["last-modified"])
        listed = S3Listed(key, size, bare(answer.get("ETag", "")), modified)
        return cls(listed, attributes, plain_md5(answer))


def _check_value(where: str, what: str, value: str) -> None:
    """[S3B-17] Blanks around a value get lost on the way, and what is not ASCII has no one form there."""
    if _VALUE.fullmatch(value) is None:
        raise InvalidInput(f"{where}: {what} is {value[:64]!r}, which cannot travel: a header's value is printable ASCII, "
                           "without blanks at its ends; store the object with another value")  # fmt: skip


def _time(text: str) -> datetime:
    """A time, in any of the forms that services have for it."""
    from botocore.utils import parse_timestamp

    found: datetime = parse_timestamp(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _text(value: str) -> str:
    """A header's value: the library reads its bytes as Latin-1, whatever they are, and who sends others means UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


@dataclass(frozen=True, slots=True)
class S3Written:
    """What was written: its size in bytes, and its ETag without quotes ("" where the service did not say)."""

    size: int
    etag: str


def bare(etag: str | None) -> str:
    """An ETag without its quotes: some services leave them out."""
    return (etag or "").removeprefix("W/").strip('"')


def plain_md5(answer: Mapping[str, Any]) -> str | None:
    """The MD5 in hex that an answer's ETag is, or None: after a multipart upload, or under a key of KMS, it is none."""
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    etag = bare(answer.get("ETag"))
    return etag if not encrypted and _MD5.fullmatch(etag) is not None else None
