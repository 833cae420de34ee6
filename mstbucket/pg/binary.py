"""Rows for COPY and arrays for arguments in PostgreSQL's binary form, made by hand: no adapter is asked per value.

The format is that of the PostgreSQL manual, "COPY — Binary Format": a header, then per row the number of fields and
each field with its length, then a trailer.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from sys import byteorder
from typing import Final

START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"

_INT4: Final = struct.Struct(">ii").pack
_INT8: Final = struct.Struct(">iq").pack
_LENGTH: Final = struct.Struct(">i").pack
_COUNT: Final = struct.Struct(">h").pack
_HEAD: Final = struct.Struct(">iiIii").pack
_CID_LENGTH: Final = _LENGTH(36)
_BYTEA_OID, _INT8_OID, _INT4_OID, _TEXT_OID, _JSONB_OID = 17, 20, 23, 25, 3802  # pg_type.dat; fixed for ever


def row(*fields: bytes) -> bytes:
    """One row of fields made by the functions below."""
    return _COUNT(len(fields)) + b"".join(fields)


def int4(n: int) -> bytes:
    """An `integer`."""
    return _INT4(4, n)


def int8(n: int) -> bytes:
    """A `bigint`."""
    return _INT8(8, n)


def data(value: bytes | None) -> bytes:
    """A `bytea`, or NULL."""
    return NULL if value is None else _LENGTH(len(value)) + value


def text(value: str | None) -> bytes:
    """A `text`, or NULL."""
    return NULL if value is None else data(value.encode())


def jsonb(value: str | None) -> bytes:
    """A `jsonb` from its JSON text, or NULL; the leading byte is the version of that type's binary form."""
    return NULL if value is None else data(b"\x01" + value.encode())


def int8_array(values: Sequence[int]) -> bytes:
    """A `bigint[]` of one dimension; an empty one is NULL, as in the table it goes to."""
    return data(_array(_INT8_OID, map(int8, values), len(values))) if values else NULL


# --- arrays as arguments: psycopg quotes each element of a list as text, at 5 µs an element ------------------------------


class ByteaArray(bytes):
    """A `bytea[]` in its binary form; the type by which the driver knows it."""

    oid = 1001


class TextArray(bytes):
    """A `text[]` in its binary form."""

    oid = 1009


class Int8Array(bytes):
    """A `bigint[]` in its binary form."""

    oid = 1016


class Int4Array(bytes):
    """An `integer[]` in its binary form."""

    oid = 1007


class JsonbArray(bytes):
    """A `jsonb[]` in its binary form."""

    oid = 3807


ARRAYS: Final = (ByteaArray, TextArray, Int8Array, Int4Array, JsonbArray)


class Ready(bytes):
    """A value of any type in its binary form; the statement says which type it is."""

    oid = 0


def bytea_array(values: Sequence[bytes | None]) -> ByteaArray:
    """`values` as one argument."""
    return ByteaArray(_array(_BYTEA_OID, [NULL if v is None else _LENGTH(len(v)) + v for v in values], len(values)))


def cid_array(cids: Sequence[bytes]) -> ByteaArray:
    """CIDs as one argument: all of 36 bytes, which makes it one call for all of them."""
    elements = (_CID_LENGTH + _CID_LENGTH.join(cids),) if cids else ()
    return ByteaArray(_array(_BYTEA_OID, elements, len(cids)))


def text_array(values: Sequence[str | None]) -> TextArray:
    """`values` as one argument."""
    return TextArray(_array(_TEXT_OID, [NULL if v is None else data(v.encode()) for v in values], len(values)))


def bigint_array(values: Sequence[int]) -> Int8Array:
    """`values` as one argument."""
    return Int8Array(_numbers(_INT8_OID, "q", values))


def bigint_or_null_array(values: Sequence[int | None]) -> Int8Array:
    """`values` as one argument."""
    return Int8Array(_array(_INT8_OID, [NULL if v is None else _INT8(8, v) for v in values], len(values)))


def integer_array(values: Sequence[int]) -> Int4Array:
    """`values` as one argument."""
    return Int4Array(_numbers(_INT4_OID, "i", values))


def jsonb_array(values: Sequence[str | None]) -> JsonbArray:
    """`values`, JSON texts, as one argument."""
    return JsonbArray(_array(_JSONB_OID, [NULL if v is None else jsonb(v) for v in values], len(values)))


def _numbers(oid: int, form: str, values: Sequence[int]) -> bytes:
    """As `_array`, of numbers of the form that `array` calls *form*: byte by byte of all of them, not one by one."""
    numbers = array(form, values)
    if byteorder == "little":
        numbers.byteswap()
    size, raw = numbers.itemsize, numbers.tobytes()
    step = 4 + size
    elements = bytearray(step * len(numbers))
    elements[3::step] = bytes((size,)) * len(numbers)
    for at in range(size):
        elements[4 + at :: step] = raw[at::size]
    return _array(oid, (bytes(elements),), len(numbers))


def _array(oid: int, elements: Iterable[bytes], count: int) -> bytes:
    """One dimension, counted from 1, which may hold NULLs."""
    if count == 0:
        return struct.pack(">iiI", 0, 0, oid)
    return _HEAD(1, 1, oid, count, 1) + b"".join(elements)
