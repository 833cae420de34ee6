"""Strict DAG-CBOR: generic values for rare blocks, and the parts that hand-written encoders are made of.

`encode` and `decode` serve blocks of which there are few (commits, CAR headers). `decode_fast` serves the blocks of
which there are millions (tree nodes, manifests): it is *not* strict by itself, so its caller writes the value again by
hand and compares the bytes, which is the whole of strictness. This is the only module that knows the codec libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import libipld

from mstbucket.core.cid import CID, check_cid
from mstbucket.errors import InvalidBlock, InvalidCid
from mstbucket.limits import CBOR_DEPTH_MAX

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

LINK_HEAD: Final = b"\xd8\x2a\x58\x25\x00"  # tag 42, 37 bytes, multibase identity

_SHORT: Final = tuple(tuple(bytes((major << 5 | n,)) for n in range(24)) for major in range(8))


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another block; a dataclass of its own, so that a link and 36 bytes of data are never confused."""

    cid: CID


def head(major: int, n: int) -> bytes:
    """Return the canonical head of a data item: major type 0 to 7 and its argument, 0 <= n < 2**64."""
    # [CBOR-3] the shortest of the five forms
    if n < 24:
        return _SHORT[major][n]
    major <<= 5
    if n < 0x100:
        return bytes((major | 24, n))
    if n < 0x10000:
        return bytes((major | 25,)) + n.to_bytes(2, "big")
    if n < 0x100000000:
        return bytes((major | 26,)) + n.to_bytes(4, "big")
    return bytes((major | 27,)) + n.to_bytes(8, "big")


def encode(value: Any) -> bytes:
    """Return the one DAG-CBOR block of *value*: None, bool, int, float, str, bytes, list, dict with str keys, `Link`.

    Raises:
        InvalidBlock: the value has no DAG-CBOR form within our limits (an integer above 64 bits signed, NaN, a key
            that is not text, another type, nesting above 32). Change the value.
    """
    import dag_cbor  # with what it needs 60 ms, and most processes never need it

    try:
        block: bytes = dag_cbor.encode(_to_library(value, 1))
    except InvalidBlock:
        raise
    except Exception as error:  # the library has its own errors, and asserts, for values it does not know
        raise InvalidBlock(
            "the value cannot be written as DAG-CBOR: a key of a map is no text, or a text holds a lone surrogate"
        ) from error
    return block


def decode(block: bytes) -> Any:
    """Return the value of a strict DAG-CBOR *block*; lists are `list`, maps are `dict`, links are `Link`.

    Raises:
        InvalidBlock: the bytes are not the canonical encoding of a value within our limits. Get another copy; if it
            has the same CID, whoever wrote the block has to write it again.
    """
    import dag_cbor

    _check_shape(block)
    try:
        value = _from_library(dag_cbor.decode(bytes(block)))
        again = encode(value)
    except InvalidBlock:
        raise
    except Exception as error:  # its own errors, and whatever its CID parser makes of hostile bytes
        why = "keys of a map out of order, twice or no text, text that is no UTF-8, or a link that is no CID"
        raise InvalidBlock(f"the block is not strict DAG-CBOR: {why}") from error
    # [CBOR-1] a block whose canonical re-encoding differs from its bytes is rejected; the library's decoder refuses
    # most of it before, but [CBOR-2] [CBOR-3] [CBOR-4] [CBOR-7] [CBOR-9] do not depend on that
    if again != block:
        raise InvalidBlock("the block is not in canonical form: its value is written with other bytes")
    return value


def decode_fast(block: bytes) -> Any:
    """Return the value of *block* by the fast decoder; links come out as plain bytes, like byte strings.

    NOT strict: order of keys, shortest forms, and the form of CIDs are left unchecked, and a link cannot be told from
    bytes. The caller encodes what it understood by hand and compares with *block*; [CBOR-1] holds by that alone. The
    caller also bounds the block's size before.

    Raises:
        InvalidBlock: it is no CBOR, or nests deeper than the interpreter's recursion limit.
    """
    try:
        return libipld.decode_dag_cbor(block)
    except Exception as error:  # ValueError for what it knows, RecursionError for deep nesting
        raise InvalidBlock("the block is not DAG-CBOR, or not all of it") from error


def link_text(data: bytes) -> str | None:
    """Return the usual text of a CID of any version, codec and hash; None where *data* is none."""
    from multiformats import CID as LibraryCid

    try:
        cid = LibraryCid.decode(data)
        return str(cid if cid.version == 0 else cid.encode("base32"))
    except Exception:  # whatever its parser makes of hostile bytes
        return None


#: What `decode_fast` calls: the same value, and for what it refuses a ValueError or RecursionError, for callers that
#: catch these already and are called millions of times.
decode_bare: Final[Callable[[bytes], Any]] = libipld.decode_dag_cbor


def _to_library(value: Any, depth: int) -> Any:
    """Return *value* as the library wants it, links as its CIDs; recursion ends at `CBOR_DEPTH_MAX`."""
    from multiformats import CID as LibraryCid

    # [CBOR-8] lists, maps and links count as levels
    if depth > CBOR_DEPTH_MAX and isinstance(value, (list, tuple, dict, Link)):
        raise InvalidBlock(f"the value nests deeper than {CBOR_DEPTH_MAX} levels: flatten it")
    match value:
        case None | bool() | str() | bytes():
            return value
        case int():
            # [CBOR-6]
            if not INT_MIN <= value <= INT_MAX:
                raise InvalidBlock(f"the integer {value} does not fit in 64 bits signed: use a smaller one or text")
            return value
        case float():
            # [CBOR-7] minus zero equals zero, and would be a second form of it
            if not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0):
                raise InvalidBlock(f"the float {value} has no DAG-CBOR form: use another number, null or text")
            return value
        case Link():
            return LibraryCid.decode(check_cid(value.cid))
        case list() | tuple():
            return [_to_library(item, depth + 1) for item in value]
        case dict():
            return {key: _to_library(item, depth + 1) for key, item in value.items()}
    raise InvalidBlock(f"a {type(value).__name__} has no DAG-CBOR form: use the types `encode` names")


def _from_library(value: Any) -> Any:
    """Return the library's value with its CIDs as `Link`; `_check_shape` has bounded the recursion."""
    match value:
        case list():
            return [_from_library(item) for item in value]
        case dict():
            return {key: _from_library(item) for key, item in value.items()}
        case None | bool() | int() | float() | str() | bytes():
            return value
    try:
        return Link(check_cid(bytes(value)))
    except InvalidCid as error:
        # [CBOR-5] a link is a CID of this project's form
        raise InvalidBlock(f"the block holds a link that is not allowed: {error}") from error


def _check_shape(block: bytes) -> None:
    """Raise `InvalidBlock` unless *block* is one item within its bytes that nests at most `CBOR_DEPTH_MAX` deep.

    Only heads and nesting are looked at, without recursion and without allocating: what the library does with the
    bytes afterwards is bounded by their number. Everything else is left to the library and the comparison.
    """
    open_items = [1]  # how many items each open list, map or tag still waits for
    pos, size = 0, len(block)
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        if pos >= size:
            raise InvalidBlock("the block ends inside an item", pos)
        major, info = block[pos] >> 5, block[pos] & 31
        pos += 1
        # [CBOR-2] no indefinite lengths (31); 28 to 30 are not assigned
        if info > 27:
            raise InvalidBlock("the block has an item of indefinite or unknown length", pos - 1)
        width = 1 << (info - 24) if info > 23 else 0
        if pos + width > size:
            raise InvalidBlock("the block ends inside an item", pos)
        n = int.from_bytes(block[pos : pos + width], "big") if width else info
        # [CBOR-5] [CBOR-7] 20 to 22 are false, true and null; 27 is a float of 64 bits
        if (major == 6 and n != 42) or (major == 7 and info not in (20, 21, 22, 27)):
            raise InvalidBlock("the block holds a tag, simple value or float that DAG-CBOR does not have", pos - 1)
        # [CBOR-3]
        if width and major != 7 and n < (24 if width == 1 else 1 << 4 * width):
            raise InvalidBlock(f"the block writes {n} in more bytes than it takes", pos - 1)
        pos += width
        if major in (2, 3):
            pos += n
            if pos > size:
                raise InvalidBlock(f"the block claims a string of {n} bytes that it does not hold", pos - n)
        elif major in (4, 5, 6):
            if major != 6 and n > size - pos:
                raise InvalidBlock(f"the block claims {n} items that it does not hold", pos)
            # [CBOR-8] lists, maps and tags count as levels
            if len(open_items) >= CBOR_DEPTH_MAX + 1:
                raise InvalidBlock(f"the block nests deeper than {CBOR_DEPTH_MAX} levels", pos)
            open_items.append(1 if major == 6 else n * (major - 3))
    if pos != size:
        raise InvalidBlock(f"the block goes on after its one item, for {size - pos} bytes", pos)
