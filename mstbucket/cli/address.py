"""What the arguments of a command point at: `mst://bucket/key`, a local path, or `-` for a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mstbucket.errors import InvalidInput

SCHEME: Final = "mst://"
STREAM: Final = "-"
_OTHER_SCHEME: Final = re.compile(r"(s3|mst|gs|https?|file|ipfs):/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket and what follows the slash behind its name, verbatim: a key, a prefix, or nothing."""

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    def child(self, rest: str) -> Address:
        """The address of `rest` below this one taken as a folder."""
        return Address(self.bucket, folder(self.key) + rest)


@dataclass(frozen=True, slots=True)
class Local:
    """A path of the local file system, as it was given."""

    path: str

    @property
    def names_folder(self) -> bool:
        """It ends with a slash, so whatever is copied goes into it."""
        return self.path.endswith("/") or self.path in (".", "..") or self.path.endswith(("/.", "/.."))


@dataclass(frozen=True, slots=True)
class Stream:
    """Standard input or standard output."""


Place = Address | Local | Stream


def folder(prefix: str) -> str:
    """`prefix` as a folder: with a slash at its end, unless it is the whole bucket."""
    return prefix if prefix == "" or prefix.endswith("/") else prefix + "/"


def parse_place(text: str) -> Place:
    """What `text` points at.

    Raises:
        InvalidInput: it is empty, or an address of another kind; `./` before it makes it a local path.
    """
    if text == STREAM:
        return Stream()
    if text.startswith(SCHEME):
        return parse_address(text)
    if text == "":
        raise InvalidInput("an empty argument points at nothing; for the current directory say '.'")
    if _OTHER_SCHEME.match(text):
        raise InvalidInput(f"{text!r} is no address here: addresses are mst://bucket/key, local paths './{text[:12]}…'")
    return Local(text)


def parse_address(text: str) -> Address:
    """The bucket and key of `mst://bucket/key`. Nothing is decoded: the key is what stands there.

    Raises:
        InvalidInput: it does not start with mst://, or names no bucket.
    """
    if not text.startswith(SCHEME):
        raise InvalidInput(f"{text!r} is not an address: write mst://bucket or mst://bucket/key")
    bucket, _, key = text[len(SCHEME) :].partition("/")
    if not bucket:
        raise InvalidInput(f"{text!r} names no bucket: write mst://bucket or mst://bucket/key")
    return Address(bucket, key)


def parse_bucket(text: str) -> str:
    """The bucket of `mst://bucket`, or of a bare name.

    Raises:
        InvalidInput: it names a key as well, or no bucket.
    """
    address = parse_address(text if text.startswith(SCHEME) else SCHEME + text)
    if address.key:
        raise InvalidInput(f"{text!r} names a key; this command takes a bucket: {SCHEME}{address.bucket}")
    return address.bucket


def parse_object(text: str) -> Address:
    """The address of one object.

    Raises:
        InvalidInput: it names no key.
    """
    address = parse_address(text)
    if not address.key:
        raise InvalidInput(f"{text!r} names no object: write mst://{address.bucket}/key")
    return address
