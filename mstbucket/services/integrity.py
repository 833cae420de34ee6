"""What a put says its body is, compared with what came ([SUM-1] to [SUM-5])."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mstbucket.core.checksums import SIZES
from mstbucket.errors import BadDigest, InvalidDigest, InvalidInput
from mstbucket.model import PutRequest
from mstbucket.services.intake import Taken

_MD5_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Claims:
    """What the body has to be. `algorithms` are to be computed, and kept; `given` are the values that some must have."""

    md5: bytes | None
    given: Mapping[str, bytes]
    algorithms: tuple[str, ...]

    def check(self, what: str, taken: Taken) -> dict[str, str]:
        """The checksums to keep, base64 by algorithm.

        Raises:
            BadDigest: the body is not what it was said to be.
        """
        if self.md5 is not None:
            _compare(what, "Content-MD5", self.md5, bytes.fromhex(taken.etag))
        for algorithm, value in self.given.items():
            _compare(what, algorithm, value, taken.digests[algorithm])
        return {algorithm: _text(taken.digests[algorithm]) for algorithm in self.algorithms}


NOTHING: Final = Claims(None, {}, ())


def claims(request: PutRequest) -> Claims:
    """What a request says of its body, before the body is read.

    Raises:
        InvalidDigest: a value that no body can have: not base64, or not of the algorithm's length.
        InvalidInput: an algorithm that there is not.
    """
    if request.content_md5 is None and not request.checksums and request.checksum_algorithm is None:
        return NOTHING
    md5 = None if request.content_md5 is None else _value("Content-MD5", request.content_md5, _MD5_SIZE)
    given = {}
    for name, text in request.checksums.items():
        algorithm = _known(name)
        given[algorithm] = _value(algorithm, text, SIZES[algorithm])
    asked = () if request.checksum_algorithm is None else (_known(request.checksum_algorithm),)
    return Claims(md5, given, _in_order((*given, *asked)))


def _known(name: str) -> str:
    """The algorithm's name as manifests have it; S3's own `CRC32C` is taken too."""
    if name.lower() not in SIZES:
        raise InvalidInput(f"{name!r} is no checksum algorithm; there are {', '.join(SIZES)}")
    return name.lower()


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _value(name: str, text: str, size: int) -> bytes:
    """[SUM-2] Canonical base64 of exactly the algorithm's length."""
    try:
        value = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidDigest(f"the {name} {text!r} is not base64: {error}") from error
    if len(value) != size or _text(value) != text:
        raise InvalidDigest(f"the {name} {text!r} has {len(value)} bytes or loose ends; it is the base64 of {size} bytes")
    return value


def _compare(what: str, name: str, said: bytes, found: bytes) -> None:
    if said != found:  # [SUM-1]
        raise BadDigest(f"{what} was said to have the {name} {_text(said)}; what came has {_text(found)}: send it again")


def _text(value: bytes) -> str:
    return b64encode(value).decode()
