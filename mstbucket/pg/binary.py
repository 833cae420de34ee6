"""Rows in PostgreSQL's binary COPY format, made by hand: no adapter is asked per value.

The format is that of the PostgreSQL manual, "COPY — Binary Format": a header, then per row the number of fields and
each field with its length, then a trailer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"

_INT4: Final = struct.Struct(">ii").pack
_INT8: Final = struct.Struct(">iq").pack
_LENGTH: Final = struct.Struct(">i").pack
_COUNT: Final = struct.Struct(">h").pack
_INT8_OID: Final = 20


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
    if not values:
        return NULL
    head = struct.pack(">iiiii", 1, 0, _INT8_OID, len(values), 1)
    return data(head + b"".join(map(int8, values)))
