"""Checksums of multipart uploads ([SUM-7] to [SUM-12]): what an upload may ask for, and the object's from the parts'.

Nothing here reads a body. The checksum of a part is computed as the part comes, like that of a put.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from mstbucket.core.checksums import TYPES, composite, joined
from mstbucket.core.s3rules.digests import known, text_of, value_of
from mstbucket.errors import BadDigest, InvalidPart, InvalidRequest
from mstbucket.model.objects import EMPTY, ChecksumType


class UploadChecksum(NamedTuple):
    """The checksum that the object of an upload is to have.

    Attributes:
        algorithm: None where the upload asked for none.
        type: of what the checksum is: of all bytes, or of the checksums of the parts; None without an algorithm.
    """

    algorithm: str | None = None
    type: ChecksumType | None = None

    def check_part(self, given: Iterable[str]) -> None:
        """Raise `InvalidRequest` for a part with a checksum by another algorithm than its upload has."""
        others = [name for name in given if name != self.algorithm]
        if self.algorithm is not None and others:  # [SUM-8]
            raise InvalidRequest(f"the upload was begun with {self.algorithm}, and its part comes with {', '.join(others)}")


def upload_checksum(algorithm: str | None, type_: str | None) -> UploadChecksum:
    """What `create_multipart_upload` asks for ([SUM-7]).

    Raises:
        InvalidRequest: a type without an algorithm, or one that the algorithm does not have.
        InvalidInput: there is no such algorithm.
    """
    if algorithm is None:
        if type_ is not None:
            raise InvalidRequest(f"checksum_type={type_!r} says nothing without a checksum_algorithm")
        return UploadChecksum()
    name = known(algorithm)
    if type_ is not None and type_ not in TYPES[name]:
        raise InvalidRequest(f"a {name} of an object in parts is {' or '.join(TYPES[name])}, not {type_!r}")
    return UploadChecksum(name, cast("ChecksumType", TYPES[name][0] if type_ is None else type_))


def check_named(number: int, said: Mapping[str, str], kept: Mapping[str, str]) -> None:
    """Compare what a completion says of a part with what was kept of it ([SUM-10]).

    Raises:
        InvalidRequest: nothing was kept by that algorithm.
        InvalidPart: the part has another checksum.
    """
    for name, text in said.items():
        algorithm = known(name)
        value_of(algorithm, text)
        if algorithm not in kept:
            raise InvalidRequest(f"part {number} was uploaded without a {algorithm}, and the completion names one")
        if kept[algorithm] != text:
            raise InvalidPart(f"part {number} has the {algorithm} {kept[algorithm]}, not {text}: it was uploaded again")


def of_object(wanted: UploadChecksum, parts: Sequence[Mapping[str, str]], sizes: Sequence[int]) -> Mapping[str, str]:
    """The checksum of the object from those of its parts, as the manifest has it ([SUM-9]); empty where none was wanted."""
    if wanted.algorithm is None:
        return EMPTY
    values = [value_of(wanted.algorithm, part[wanted.algorithm]) for part in parts]
    if wanted.type == "FULL_OBJECT":
        return {wanted.algorithm: text_of(joined(wanted.algorithm, zip(values, sizes, strict=True)))}
    return {wanted.algorithm: f"{text_of(composite(wanted.algorithm, values))}-{len(values)}"}


def check_object(said: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Compare what a completion says of the whole object with what its parts give ([SUM-11]).

    Raises:
        InvalidRequest: the upload has no checksum by that algorithm.
        BadDigest: the parts give another checksum.
    """
    for name, text in said.items():
        algorithm = known(name)
        if algorithm not in found:
            raise InvalidRequest(f"the completion names a {algorithm}, and the upload was not begun with that algorithm")
        value, dash, _ = found[algorithm].partition("-")
        value_of(algorithm, text.partition("-")[0] if dash else text)
        if text not in (value, found[algorithm]):
            raise BadDigest(f"the parts give the {algorithm} {found[algorithm]}, and the completion says {text}: list them")
