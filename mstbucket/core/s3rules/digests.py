"""The digests that a caller claims for a body, held against the bytes that came ([SUM-1] to [SUM-5], [SUM-8])."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mstbucket.core.checksums import SIZES
from mstbucket.errors import BadDigest, InvalidDigest, InvalidInput
from mstbucket.model.objects import PutRequest

_MD5_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Claims:
    """What a body has to be.

    Attributes:
        md5: its MD5, or None where nothing was said of it.
        given: its checksum, by algorithm, as far as the caller gave one.
        algorithms: the checksums to compute and to keep; all of `given`, and what was asked for besides.
    """

    md5: bytes | None
    given: Mapping[str, bytes]
    algorithms: tuple[str, ...]

    def also(self, behind: Mapping[str, str]) -> Claims:
        """With checksums that were told when the body was at its end, by algorithms that were asked for before ([SUM-13]).

        Raises:
            InvalidDigest: a value that no body can have.
            InvalidInput: an algorithm that nobody asked for.
        """
        given = dict(self.given)
        for name, text in behind.items():
            algorithm = known(name)
            if algorithm not in self.algorithms:
                raise InvalidInput(f"a {algorithm} came behind a body of which none was asked for")
            given[algorithm] = value_of(algorithm, text)
        return replace(self, given=given)

    def check(self, what: str, md5: str, digests: Mapping[str, bytes]) -> dict[str, str]:
        """Compare with a body that was read to its end; return the checksums to keep, base64 by algorithm.

        Args:
            what: the body, in the words of an error.
            md5: of the body, in hex.
            digests: of the body, by algorithm; at least those in `algorithms`.

        Raises:
            BadDigest: the body is not what it was said to be.
        """
        if self.md5 is not None:
            _compare(what, "Content-MD5", self.md5, bytes.fromhex(md5))
        for algorithm, value in self.given.items():
            _compare(what, algorithm, value, digests[algorithm])
        return {algorithm: text_of(digests[algorithm]) for algorithm in self.algorithms}


NOTHING: Final = Claims(None, {}, ())


def claims(request: PutRequest) -> Claims:
    """What a request says of its body, before the body is read.

    Raises:
        InvalidDigest: a value that no body can have: not base64, or not of the algorithm's length.
        InvalidInput: an algorithm that there is not.
    """
    return claims_of(request.content_md5, request.checksums, request.checksum_algorithm)


def claims_of(content_md5: str | None, checksums: Mapping[str, str], checksum_algorithm: str | None) -> Claims:
    """As `claims`, from the three arguments by themselves."""
    if content_md5 is None and not checksums and checksum_algorithm is None:
        return NOTHING
    md5 = None if content_md5 is None else _value("Content-MD5", content_md5, _MD5_SIZE)
    given = {}
    for name, text in checksums.items():
        algorithm = known(name)
        given[algorithm] = value_of(algorithm, text)
    asked = () if checksum_algorithm is None else (known(checksum_algorithm),)
    return Claims(md5, given, _in_order((*given, *asked)))


def known(name: str) -> str:
    """The algorithm's name as manifests have it; S3's own `CRC32C` is taken too.

    Raises:
        InvalidInput: there is no such algorithm.
    """
    if name.lower() not in SIZES:
        raise InvalidInput(f"{name!r} is no checksum algorithm; there are {', '.join(SIZES)}")
    return name.lower()


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def value_of(algorithm: str, text: str) -> bytes:
    """The checksum that `text` is, or `InvalidDigest`."""
    return _value(algorithm, text, SIZES[algorithm])


def _value(name: str, text: str, size: int) -> bytes:
    """[SUM-2] Canonical base64 of exactly the algorithm's length."""
    try:
        value = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidDigest(f"the {name} {text!r} is not base64: {error}") from error
    if len(value) != size or text_of(value) != text:
        raise InvalidDigest(f"the {name} {text!r} has {len(value)} bytes or loose ends; it is the base64 of {size} bytes")
    return value


def _compare(what: str, name: str, said: bytes, found: bytes) -> None:
    if said != found:  # [SUM-1]
        raise BadDigest(f"{what} was said to have the {name} {text_of(said)}; what came has {text_of(found)}: send it again")


def text_of(value: bytes) -> str:
    """A checksum in base64, as S3 shows it."""
    return b64encode(value).decode()
