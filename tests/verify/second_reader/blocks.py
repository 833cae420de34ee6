"""CIDs, varints and strict DAG-CBOR, from 02-blocks.md; and the words of refusal."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

MIB = 2**20
RAW, PB, CBOR = b"\x01\x55\x12\x20", b"\x01\x70\x12\x20", b"\x01\x71\x12\x20"
EMPTY_TREE = CBOR + sha256(b"\xa2\x61e\x80\x61l\xf6").digest()


class Breach(Exception):
    """A breach inside one block; whoever knows its place adds that."""


def no(class_: str, why: str) -> NoReturn:
    raise Breach(class_, why)


def bad(right: bool, why: str) -> None:
    if not right:
        no("malformed", why)


def false(right: bool, why: str) -> None:
    if not right:
        no("untrue", why)


@dataclass(frozen=True)
class Link:
    cid: bytes


def cid_form(cid: bytes) -> bool:
    return len(cid) == 36 and cid[:4] in (RAW, PB, CBOR)


def varint(data: bytes, at: int) -> tuple[int, int]:
    n = 0
    for i in range(9):
        bad(at + i < len(data), "a varint is cut")
        n |= (data[at + i] & 0x7F) << 7 * i
        if data[at + i] < 0x80:
            bad(i == 0 or data[at + i] != 0, "CID-6")
            return n, at + i + 1
    no("malformed", "CID-6")


def varint_bytes(n: int) -> bytes:
    return bytes((n & 0x7F | 0x80,)) + varint_bytes(n >> 7) if n > 0x7F else bytes((n,))


def cbor(block: bytes) -> Any:
    value, end = item(block, 0, 1)
    bad(end == len(block), "CBOR-2")
    return value


def item(b: bytes, at: int, depth: int) -> tuple[Any, int]:
    bad(at < len(b), "CBOR-2")
    major, info = b[at] >> 5, b[at] & 31
    at += 1
    bad(info < 28, "CBOR-2")
    width = 1 << info - 24 if info > 23 else 0
    bad(at + width <= len(b), "CBOR-2")
    n = int.from_bytes(b[at : at + width], "big") if width else info
    at += width
    if major == 7:
        if info == 27:
            number = struct.unpack(">d", b[at - 8 : at])[0]
            bad(math.isfinite(number), "CBOR-7")
            return number, at
        bad(info in (20, 21, 22), "CBOR-7")
        return {20: False, 21: True, 22: None}[info], at
    bad(not width or n >= (24 if width == 1 else 1 << 4 * width), "CBOR-3")
    if major < 2:
        bad(n < 2**63, "CBOR-6")
        return (n if major == 0 else -1 - n), at
    if major < 4:
        bad(at + n <= len(b), "CBOR-2")
        data = b[at : at + n]
        if major == 2:
            return data, at + n
        try:
            return data.decode(), at + n
        except UnicodeDecodeError:
            no("malformed", "CBOR-9")
    bad(depth <= 32, "CBOR-8")
    if major == 6:
        bad(n == 42, "CBOR-5")
        data, at = item(b, at, depth + 1)
        bad(isinstance(data, bytes) and data[:1] == b"\0" and cid_form(data[1:]), "CBOR-5")
        return Link(data[1:]), at
    if major == 4:
        bad(n <= len(b), "CBOR-2")
        values = []
        for _ in range(n):
            one, at = item(b, at, depth + 1)
            values.append(one)
        return values, at
    found: dict[str, Any] = {}
    last = (-1, b"")
    for _ in range(n):
        key, at = item(b, at, depth + 1)
        bad(isinstance(key, str), "CBOR-4")
        order = (len(key.encode()), key.encode())
        bad(order > last, "CBOR-4")
        last = order
        found[key], at = item(b, at, depth + 1)
    return found, at
