"""What the arguments of a command point at: `mst://bucket/key`, a local path, or `-` for a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mstbucket.errors import InvalidInput

SCHEME: Final = "mst://"
STREAM: Final = "-"
_AT: Final = "@"  # between a bucket and a commit; no bucket's name holds one
_OTHER_SCHEME: Final = re.compile(r"(s3|mst|gs|https?|file|ipfs):/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket and what follows the slash behind its name, verbatim: a key, a prefix, or nothing.

    With a commit it means the bucket as it was then, and can only be read from ([CLI-55]).
    """

    bucket: str
    key: str = ""
    commit: str | None = None

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"

    @property
    def root(self) -> str:
        """The address of the bucket, without a slash at the end."""
        return SCHEME + self.bucket + ("" if self.commit is None else _AT + self.commit)

    def child(self, rest: str) -> Address:
        """The address of `rest` in this one, taken as a folder."""
        return self.with_key(folder(self.key) + rest)

    def with_key(self, key: str) -> Address:
        """The address of another key in the same place."""
        return Address(self.bucket, key, self.commit)


@dataclass(frozen=True, slots=True)
class Local:
    """A path of the local file system, as it was given."""

    path: str

    @property
    def names_folder(self) -> bool:
        """Whether it is written as a folder, so that a copy goes into it."""
        return self.path.endswith("/") or self.path in (".", "..") or self.path.endswith(("/.", "/.."))


@dataclass(frozen=True, slots=True)
class Stream:
    """Standard input or standard output."""


Place = Address | Local | Stream


def folder(prefix: str) -> str:
    """`prefix` as a folder: with a slash at its end, unless it is the whole bucket."""
    return prefix if prefix == "" or prefix.endswith("/") else prefix + "/"


def parse_source(text: str) -> Place:
    """What `text` points at, to read from it.

    Raises:
        InvalidInput: it is empty, or an address of another kind; `./` before it makes it a local path.
    """
    if text == STREAM:
        return Stream()
    if text.startswith(SCHEME):
        return parse_readable(text)
    if text == "":
        raise InvalidInput("an empty argument points at nothing; for the current directory say '.'")
    if _OTHER_SCHEME.match(text):
        raise InvalidInput(f"{text!r} is no address here: addresses are mst://bucket/key, local paths './{text[:12]}…'")
    return Local(text)


def parse_place(text: str) -> Place:
    """What `text` points at, to write to it. As `parse_source`, but an address names no commit."""
    place = parse_source(text)
    return _present(place, text) if isinstance(place, Address) else place


def parse_readable(text: str) -> Address:
    """The bucket, key and commit of `mst://bucket/key` or `mst://bucket@COMMIT/key`, to read from it.

    Nothing is decoded: the key is what stands there, and may hold `@`. `mst://` may be left out.

    Raises:
        InvalidInput: it is an address of another kind or a path, names no bucket, or has an `@` without a commit.
    """
    if not text.startswith(SCHEME):  # [CLI-112] every command takes a bare name, as `mb` does
        if _OTHER_SCHEME.match(text) or text.startswith(("/", ".", "-")):
            raise InvalidInput(f"{text!r} is not an address: write mst://bucket or mst://bucket/key")
        text = SCHEME + text
    place, _, key = text[len(SCHEME) :].partition("/")
    bucket, at, commit = place.partition(_AT)
    if not bucket:
        raise InvalidInput(f"{text!r} names no bucket: write mst://bucket or mst://bucket/key")
    if at and not commit:
        raise InvalidInput(f"{text!r} names no commit: write mst://bucket@COMMIT/key, or leave out the '@'")
    return Address(bucket, key, commit or None)


def parse_address(text: str) -> Address:
    """The bucket and key of `mst://bucket/key`, of the present.

    Raises:
        InvalidInput: as `parse_readable`, or it names a commit.
    """
    return _present(parse_readable(text), text)


def _present(address: Address, text: str) -> Address:
    if address.commit is not None:  # [CLI-55]
        raise InvalidInput(f"{text!r} names a commit, and what was then can only be read: leave out '@{address.commit}'")
    return address


def parse_bucket(text: str) -> str:
    """The bucket of `mst://bucket`, or of a bare name; of the present.

    Raises:
        InvalidInput: it names a key or a commit as well, or no bucket.
    """
    return _present(parse_readable_bucket(text), text).bucket


def parse_readable_bucket(text: str) -> Address:
    """The bucket and commit of `mst://bucket`, `mst://bucket@COMMIT`, or the same without `mst://`.

    Raises:
        InvalidInput: it names a key as well, or no bucket.
    """
    address = parse_readable(text if text.startswith(SCHEME) else SCHEME + text)
    if address.key:
        raise InvalidInput(f"{text!r} names a key; this command takes a bucket: {address.root}")
    return address


def parse_object(text: str) -> Address:
    """The address of one object of the present.

    Raises:
        InvalidInput: it names no key, or a commit.
    """
    return with_object(parse_address(text))


def with_object(address: Address) -> Address:
    """The same address, which has to have a key.

    Raises:
        InvalidInput: it has none.
    """
    if not address.key:
        raise InvalidInput(f"{address.root!r} names no object: write {address.root}/key")
    return address
