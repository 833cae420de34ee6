"""The five checksums: published values, slow oracles, and that CRCs of pieces join to the CRC of the whole."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.checksums import CRCS, SIZES, combine, hasher
from mstbucket.core.checksums import checksum as crc64
from mstbucket.errors import InvalidInput, Unsupported

ROW = re.compile(r"^\| `(\w+)` \| (\d+) \|.*\| `(\S+)` \|$", re.MULTILINE)

# width, polynomial with its bits reversed; all three start from and end with all ones
CATALOGUE = {"crc32": (32, 0xEDB88320), "crc32c": (32, 0x82F63B78), "crc64nvme": (64, 0x9A6C9329AC4BC9B5)}


def checksum(algorithm: str, *pieces: bytes) -> bytes:
    one = hasher(algorithm)
    for piece in pieces:
        one.update(piece)
    return one.digest()


def bit_by_bit(algorithm: str, data: bytes) -> bytes:
    """The CRC as its definition divides: one bit at a time."""
    width, polynomial = CATALOGUE[algorithm]
    ones = (1 << width) - 1
    value = ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return (value ^ ones).to_bytes(width // 8)


def joined_by_matrix(algorithm: str, first: bytes, second: bytes, length: int) -> bytes:
    """zlib's way: a zero byte moves a CRC by a matrix over GF(2); its power moves it by `length` of them."""
    width, polynomial = CATALOGUE[algorithm]

    def times(matrix: list[int], vector: int) -> int:
        result = 0
        for row in matrix:
            result ^= row if vector & 1 else 0
            vector >>= 1
        return result

    power = [polynomial] + [1 << n for n in range(width - 1)]  # one zero bit
    for _ in range(3):
        power = [times(power, row) for row in power]
    value = int.from_bytes(first)
    while length:
        if length & 1:
            value = times(power, value)
        power = [times(power, row) for row in power]
        length >>= 1
    return (value ^ int.from_bytes(second)).to_bytes(width // 8)


def test_the_values_that_the_specification_shows() -> None:
    """[SUM-2]: most significant byte first, in base64."""
    rows = ROW.findall((Path(__file__).parents[2] / "spec" / "store" / "15-conditions.md").read_text(encoding="utf-8"))
    assert {name: int(size) for name, size, _ in rows} == SIZES
    for name, _, text in rows:
        assert checksum(name, b"123456789") == b64decode(text)


@pytest.mark.parametrize("algorithm", CRCS)
@given(data=st.binary(max_size=300))
def test_a_crc_is_what_its_definition_says(algorithm: str, data: bytes) -> None:
    assert checksum(algorithm, data) == bit_by_bit(algorithm, data)


@pytest.mark.parametrize("algorithm", SIZES)
@given(pieces=st.lists(st.binary(max_size=100), max_size=5))
def test_pieces_give_what_the_whole_gives(algorithm: str, pieces: list[bytes]) -> None:
    assert checksum(algorithm, *pieces) == checksum(algorithm, b"".join(pieces))
    assert len(checksum(algorithm)) == SIZES[algorithm]


@pytest.mark.parametrize("algorithm", CRCS)
@given(data=st.data(), body=st.binary(max_size=3000))
def test_crcs_of_pieces_join_to_the_crc_of_the_whole(algorithm: str, data: Any, body: bytes) -> None:
    """[SUM-6]: cut anywhere, also into empty pieces, joined from the left."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    joined = checksum(algorithm)
    for piece in pieces:
        joined = combine(algorithm, joined, checksum(algorithm, piece), len(piece))
    assert joined == checksum(algorithm, body)


@pytest.mark.parametrize("algorithm", CRCS)
@given(first=st.binary(max_size=20), second=st.binary(max_size=20), length=st.integers(1, 5 << 40))
def test_joining_agrees_with_the_matrix_method_at_any_length(
    algorithm: str, first: bytes, second: bytes, length: int
) -> None:
    """[SUM-6]: lengths that no test could hash, up to the largest object."""
    a, b = checksum(algorithm, first), checksum(algorithm, second)
    assert combine(algorithm, a, b, length) == joined_by_matrix(algorithm, a, b, length)


def test_the_standard_librarys_crc_and_the_other_librarys_join() -> None:
    """[SUM-6]: CRC32 is computed by one and joined by the other."""
    a, b = b"x" * 100_000, bytes(range(256)) * 3000
    crcs = [zlib.crc32(piece).to_bytes(4) for piece in (a, b, a + b)]
    assert combine("crc32", crcs[0], crcs[1], len(b)) == crcs[2]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_hashes_cannot_be_joined(algorithm: str) -> None:
    """[SUM-6]"""
    with pytest.raises(Unsupported, match="crc64nvme"):
        combine(algorithm, checksum(algorithm), checksum(algorithm), 0)


@pytest.mark.parametrize("name", ["md5", "CRC32", "", "crc16", "sha512"])
def test_an_unknown_algorithm_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        hasher(name)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 50, 255, 256, 257, 1000])
def test_the_checksum_of_frames_is_the_same_function_on_both_sides_of_what_is_short(length: int) -> None:
    data = bytes(n * n + n % 251 & 0xFF for n in range(length))
    assert crc64(data).to_bytes(8) == bit_by_bit("crc64nvme", data)


@given(st.binary(max_size=300))
def test_the_checksum_of_frames_is_the_bit_by_bit_one(data: bytes) -> None:
    assert crc64(data).to_bytes(8) == bit_by_bit("crc64nvme", data)
