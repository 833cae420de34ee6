"""What S3 keeps of an object, as plain values."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

DEFAULT_TYPE = "binary/octet-stream"


@dataclass(frozen=True)
class Said:
    """What is said about an object beside its body."""

    content_type: str = DEFAULT_TYPE
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """One version of an object; or a delete marker, which has an id and a time and nothing else.

    `id` is "null" for the null version. `modified` is None until it was learnt from the store.
    """

    id: str
    body: bytes = b""
    etag: str = ""
    said: Said = field(default_factory=Said)
    parts: tuple[int, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    marker: bool = False
    modified: datetime | None = None


@dataclass(frozen=True)
class Deleted:
    """The answer to a delete."""

    key: str
    version_id: str | None
    delete_marker: bool


def single(body: bytes, said: Said, checksums: Mapping[str, str] | None = None) -> Version:
    """The object of a put in one go; it gets its id where it is stored."""
    return Version("", body, hashlib.md5(body).hexdigest(), said, (), dict(checksums or {}))


def composed(bodies: Sequence[bytes], said: Said) -> Version:
    """The object of a multipart upload: the MD5 of the parts' MD5s, and how many they are."""
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    return Version("", b"".join(bodies), f"{digest}-{len(bodies)}", said, tuple(len(body) for body in bodies))


def checksum(algorithm: str, body: bytes) -> str:
    """The value of a checksum, base64, for those algorithms that Python has."""
    if algorithm == "crc32":
        return b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    return b64encode(hashlib.new(algorithm, body).digest()).decode()
