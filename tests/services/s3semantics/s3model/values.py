"""What S3 keeps of an object, as plain values."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

#: Algorithm of an upload's checksum, and whether it is COMPOSITE or FULL_OBJECT.
Sums = tuple[str, str] | None

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

    @property
    def checksum_type(self) -> str | None:
        """What the checksums are of: a composite one says how many parts it was made of."""
        composite = f"-{len(self.parts)}"
        kinds = {"COMPOSITE" if value.endswith(composite) else "FULL_OBJECT" for value in self.checksums.values()}
        return kinds.pop() if len(kinds) == 1 else None


@dataclass(frozen=True)
class Deleted:
    """The answer to a delete."""

    key: str
    version_id: str | None
    delete_marker: bool


def single(body: bytes, said: Said, checksums: Mapping[str, str] | None = None) -> Version:
    """The object of a put in one go; it gets its id where it is stored."""
    return Version("", body, hashlib.md5(body).hexdigest(), said, (), dict(checksums or {}))


def composed(bodies: Sequence[bytes], said: Said, sums: Sums = None) -> Version:
    """The object of a multipart upload: the MD5 of the parts' MD5s, and how many they are; its checksum likewise."""
    etag = hashlib.md5(b"".join(digest("md5", body) for body in bodies)).hexdigest()
    whole, checksums = b"".join(bodies), {}
    if sums is not None:
        algorithm, kind = sums
        checksums[algorithm] = checksum(algorithm, whole)
        if kind == "COMPOSITE":
            composite = checksum(algorithm, b"".join(digest(algorithm, body) for body in bodies))
            checksums[algorithm] = f"{composite}-{len(bodies)}"
    return Version("", whole, f"{etag}-{len(bodies)}", said, tuple(len(body) for body in bodies), checksums)


def checksum(algorithm: str, body: bytes) -> str:
    """The value of a checksum, base64."""
    return b64encode(digest(algorithm, body)).decode()


def digest(algorithm: str, body: bytes) -> bytes:
    """Of those algorithms that Python has."""
    return zlib.crc32(body).to_bytes(4, "big") if algorithm == "crc32" else hashlib.new(algorithm, body).digest()
