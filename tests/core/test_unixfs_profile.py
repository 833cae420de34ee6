"""The CIDs that IPIP-0499 publishes for the profile `unixfs-v1-2025`: fixtures/unixfs-v1-2025.json.

spec/format/05-body.md is normative.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.cid import from_text, to_text

PUBLISHED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "unixfs-v1-2025.json").read_text(encoding="utf-8")
)
SMALL = [case for case in PUBLISHED["files"] if case.get("size", 0) <= 2**21]
LARGE = [case for case in PUBLISHED["files"] if case.get("size", 0) > 2**21]

# ChaCha20 over many blocks at once: each state word of all blocks lies in one integer, 64 bits a block, so that a
# 32-bit addition has room to carry. 30 MB/s, where block by block in Python is 100 times slower.
LANES = 1024
ONES = sum(1 << 64 * i for i in range(LANES))
MASK = ONES * 0xFFFFFFFF
COUNT = sum(i << 64 * i for i in range(LANES))
QUARTERS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)


def keystream(seed: str, size: int) -> Iterator[bytes]:
    """Yield *size* bytes of the ChaCha20 keystream of key sha256(*seed*), nonce and counter 0, in pieces."""
    constant = b"expand 32-byte k" + hashlib.sha256(seed.encode()).digest() + bytes(16)
    words = [int.from_bytes(constant[i : i + 4], "little") for i in range(0, 64, 4)]
    for first in range(0, -(-size // 64), LANES):
        start = [word * ONES for word in words]
        start[12] = ONES * first + COUNT
        x = list(start)
        for a, b, c, d in QUARTERS * 10:
            for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[p] = (x[p] + x[q]) & MASK
                turned = (x[r] ^ x[p]) << n
                x[r] = turned & MASK | turned >> 32 & MASK
        out = array("I", bytes(64 * LANES))
        for i in range(16):
            out[i::16] = array("I", (x[i] + start[i] & MASK).to_bytes(8 * LANES, "little"))[::2]
        yield out.tobytes()[: size - 64 * first]


def feed(builder: BodyBuilder, piece: bytes) -> None:
    for _ in builder.feed(piece):
        pass


def test_the_keystream_is_chacha20() -> None:
    """First and last bytes are those that `openssl enc -chacha20` writes for the same key over zero bytes."""
    stream = b"".join(keystream("chunk-v1-seed", 1048577))
    assert len(stream) == 1048577
    assert stream[:16].hex() == "d0e858d590ad0786d216007abe1a38d1"
    assert stream[-16:].hex() == "85ef7070d6f83a3836140d52fe06b30e"


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.get('size', case.get('bytes'))} bytes or text")
def test_published_small_files(case: dict[str, Any]) -> None:
    """[BODY-1] [BODY-2] [BODY-4] [BODY-6]"""
    builder = BodyBuilder()
    for piece in [case["bytes"].encode()] if "bytes" in case else keystream(case["seed"], case["size"]):
        feed(builder, piece)
    assert to_text(builder.finish().root) == case["cid"]


@pytest.mark.slow
def test_published_large_files() -> None:
    """[BODY-4] 1,024 chunks under one node, and one byte more: two levels, the second node with a single link."""
    exact, more = LARGE
    assert (exact["seed"], exact["size"] + 1) == (more["seed"], more["size"])
    one, other = BodyBuilder(), BodyBuilder()  # the streams differ in their last byte only
    for piece in keystream(more["seed"], more["size"]):
        feed(one, piece[: exact["size"] - one.size])
        feed(other, piece)
    for builder, case in ((one, exact), (other, more)):
        body = builder.finish()
        assert (body.size, to_text(body.root)) == (case["size"], case["cid"])


def test_what_the_fixture_holds() -> None:
    """The directory CIDs are for a directory export, which is not offered yet; they are kept whole until then."""
    assert (len(SMALL), len(LARGE)) == (4, 2)
    directories = PUBLISHED["directories"]
    assert [(case["last_name"], case["sharded"]) for case in directories["cases"]] == [(21, False), (22, True)]
    for text in (directories["empty"], *(case["cid"] for case in directories["cases"])):
        assert to_text(from_text(text)) == text
