"""Parts of multipart uploads by S3's rules: numbers, order, sizes, ETags. spec/store/16-multipart.md is normative."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from mstbucket.core.s3rules.part_checksums import check_named
from mstbucket.errors import EntityTooLarge, EntityTooSmall, InvalidInput, InvalidPart, InvalidPartOrder, InvalidRange
from mstbucket.limits import CHUNK_SIZE, OBJECT_SIZE_MAX, PART_SIZE_MIN, PARTS_MAX, PUT_SIZE_MAX
from mstbucket.model.objects import EMPTY
from mstbucket.model.uploads import NamedPart

_COPY_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


class StoredPart(NamedTuple):
    """A part as it is stored.

    Attributes:
        generation: another one each time that a part of this number is uploaded.
        checksums: base64, by algorithm; None where there are none.
    """

    number: int
    generation: int
    size: int
    md5: bytes
    sha256: bytes
    checksums: Mapping[str, str] | None


def check_number(number: int) -> None:
    """Raise `InvalidInput` unless a part can have this number."""
    if type(number) is not int or not 1 <= number <= PARTS_MAX:  # [MPU-2]
        raise InvalidInput(f"part number {number!r} is not an integer from 1 to {PARTS_MAX}")


def copy_range(text: str, size: int) -> tuple[int, int]:
    """The half-open range of a source of `size` bytes that a part is copied from ([MPU-13]).

    S3 takes one form only here: `bytes=FIRST-LAST`.

    Raises:
        InvalidInput: it has another form.
        InvalidRange: it ends outside the source.
    """
    found = _COPY_RANGE.fullmatch(text)
    first, last = (int(found[1]), int(found[2])) if found else (1, 0)
    if last < first:
        raise InvalidInput(f"{text!r} is not a copy range: write it as 'bytes=FIRST-LAST', with both ends")
    if last >= size:
        raise InvalidRange(f"copy range {text!r} ends outside the source, which has {size} bytes")
    return first, last + 1


def checked_names(parts: Iterable[NamedPart]) -> list[NamedPart]:
    """The parts as a completion names them: numbers ascending, ETags without quotes.

    Raises:
        InvalidPartOrder: the numbers do not ascend.
        InvalidInput, InvalidPart: no upload can have these parts.
    """
    named: list[NamedPart] = []
    for part in parts:
        number, etag, checksums = part
        if named and number <= named[-1][0]:  # [MPU-6] strictly ascending
            raise InvalidPartOrder(f"part {number} comes after part {named[-1][0]}: name each once, in ascending order")
        quoted = etag[:1] == '"' and len(etag) >= 2 and etag[-1] == '"'
        named.append((number, etag[1:-1], checksums) if quoted else part)
    if not 1 <= len(named) <= PARTS_MAX:
        raise InvalidInput(f"an upload is completed with 1 to {PARTS_MAX} parts, not {'none' if not named else 'more'}")
    if not 1 <= named[0][0] <= named[-1][0] <= PARTS_MAX:
        raise InvalidPart(f"parts are numbered 1 to {PARTS_MAX}, and {named[0][0]} to {named[-1][0]} are named")
    if any(not etag.isascii() for _, etag, _ in named):
        raise InvalidPart("an ETag is text in ASCII, as upload_part returned it")
    return named


def chosen(named: Sequence[NamedPart], stored: Mapping[int, StoredPart]) -> list[StoredPart]:
    """The stored parts that a completion names, in their order, if an object can be made of them ([MPU-6]).

    Raises:
        InvalidPart: a part was not uploaded, or is another one than the completion names.
        EntityTooSmall, EntityTooLarge: by the sizes no object can be made of them.
    """
    parts = []
    for number, etag, checksums in named:
        part = stored.get(number)
        if part is None:
            raise InvalidPart(f"part {number} was not uploaded: list the parts, and complete with those there are")
        if part.md5.hex() != etag:
            raise InvalidPart(f"part {number} has the ETag {part.md5.hex()!r}, not {etag!r}: it was uploaded again")
        if checksums:
            check_named(number, checksums, part.checksums or EMPTY)
        parts.append(part)
    for part in parts[:-1]:
        if part.size < PART_SIZE_MIN:
            raise EntityTooSmall(f"part {part.number} has {part.size} bytes; all but the last need {PART_SIZE_MIN}")
    check_sizes([part.size for part in parts])
    return parts


def check_sizes(sizes: Sequence[int]) -> None:
    """Raise `EntityTooLarge` where no object can be made of parts of these sizes; nothing was read of them."""
    size = sum(sizes)
    if size > OBJECT_SIZE_MAX:
        raise EntityTooLarge(f"the parts have {size} bytes together; an object has up to {OBJECT_SIZE_MAX}")
    anew = sum(part for part, end in zip(sizes, accumulate(sizes), strict=True) if (end - part) % CHUNK_SIZE)
    if anew > PUT_SIZE_MAX:  # [MPU-22]
        raise EntityTooLarge(
            f"{anew} bytes would have to be cut anew, since parts before them have no whole number of MiB; up to "
            f"{PUT_SIZE_MAX} can be: send parts of whole MiB"
        )


def object_etag(parts: Sequence[StoredPart]) -> str:
    """The ETag of the object that is made of these parts ([MPU-11]): the MD5 of their MD5s, and their number."""
    digest = hashlib.md5(b"".join([part.md5 for part in parts]), usedforsecurity=False).hexdigest()
    return f"{digest}-{len(parts)}"


def digest_of_names(named: Sequence[NamedPart]) -> bytes:
    """What tells a repeated completion from one that names other parts ([MPU-9])."""
    return hashlib.sha256("".join([f"{number} {etag}\n" for number, etag, _ in named]).encode()).digest()
