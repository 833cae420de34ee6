"""`inspect_car`: any CAR is told of, whatever its CIDs; counts agree with how the file was made; damage is counted."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import car, dagcbor, varint
from mstbucket.core.cid import dag_cbor_cid, raw_cid, to_text
from mstbucket.core.mst.build import build
from mstbucket.errors import InvalidCar

EXPORTS = Path(__file__).parents[2] / "fixtures" / "exports"
BLOCKS = st.lists(st.binary(max_size=40), max_size=12)


def inspected(data: bytes) -> mstbucket.CarSummary:
    return mstbucket.inspect_car(io.BytesIO(data))


def of(root: bytes, blocks: list[tuple[bytes, bytes]]) -> bytes:
    return car.header(root) + b"".join(car.section(cid, block) for cid, block in blocks)


def in_v2(data: bytes, gap: int = 0, index: bytes = b"index") -> bytes:
    """A CARv2 around a CARv1, as its specification has it."""
    start = 11 + 40 + gap
    numbers = [start, len(data), start + len(data)]
    fixed = bytes(16) + b"".join(number.to_bytes(8, "little") for number in numbers)
    return b"\x0a\xa1\x67version\x02" + fixed + bytes(gap) + data + index


@given(BLOCKS)
def test_what_was_written_is_counted(bodies: list[bytes]) -> None:
    """[CLI-43] against the list it was made of: bytes, sizes, and what comes twice; in both containers."""
    root = raw_cid(b"root")
    data = of(root, [(root, b"root"), *((raw_cid(body), body) for body in bodies)])
    for version, found in ((1, inspected(data)), (2, inspected(in_v2(data))), (2, inspected(in_v2(data, 99)))):
        assert found.version == version
        assert (found.total.blocks, found.total.bytes) == (len(bodies) + 1, 4 + sum(map(len, bodies)))
        assert found.duplicates == len(bodies) + 1 - len({b"root", *bodies})
        assert (found.smallest, found.largest) == (min(map(len, [b"root", *bodies])), max(map(len, [b"root", *bodies])))
        assert found.codecs == {"raw": found.total}
        assert (found.mismatches, found.unchecked, dict(found.nodes), found.widest) == (0, 0, {}, None)
        assert [(one.cid, one.kind) for one in found.roots] == [(to_text(root), "raw")]


@pytest.mark.parametrize("name", sorted(path.name for path in EXPORTS.glob("*.car")))
def test_exports_are_told_as_the_judge_tells_them(name: str) -> None:
    report, found = mstbucket.verify_car(EXPORTS / name), mstbucket.inspect_car(EXPORTS / name)
    assert found.roots[0].kind == "bucket"
    about = found.roots[0].about
    assert (about["name"], about["seq"], about["objects"]) == (report.commit.name, report.commit.seq, report.objects)
    assert (found.total.blocks, found.mismatches, found.duplicates) == (report.blocks, 0, 0)
    assert sum(nodes.nodes for nodes in found.nodes.values()) == report.nodes
    assert sum(nodes.entries for nodes in found.nodes.values()) == report.objects + report.versions
    assert found.widest is not None
    assert found.widest[0] == report.widest


def v1(codec: int, code: int, digest: bytes) -> bytes:
    return b"\x01" + varint.encode(codec) + varint.encode(code) + varint.encode(len(digest)) + digest


BODY = b"some bytes"


@pytest.mark.parametrize(
    ("cid", "codec", "hashes"),
    [
        (b"\x12\x20" + hashlib.sha256(BODY).digest(), "dag-pb", True),
        (v1(0x55, 0x13, hashlib.sha512(BODY).digest()), "raw", True),
        (v1(0x0129, 0xB220, hashlib.blake2b(BODY, digest_size=32).digest()), "dag-json", True),
        (v1(0x55, 0x12, hashlib.sha256(BODY).digest()[:20]), "raw", True),
        (v1(0x55, 0x00, BODY), "raw", True),
        (v1(0x300539, 0x12, hashlib.sha256(BODY).digest()), "0x300539", True),
        (v1(0x55, 0x1B, bytes(32)), "raw", None),
        (v1(0x55, 0x12, bytes(32)), "raw", False),
        (v1(0x55, 0x00, b"other"), "raw", False),
    ],
)
def test_cids_of_every_kind_are_read(cid: bytes, codec: str, hashes: bool | None) -> None:
    section = varint.encode(len(cid) + len(BODY)) + cid + BODY
    found = inspected(car.header(raw_cid(b"elsewhere")) + section)
    assert list(found.codecs) == [codec]
    assert (found.mismatches, found.unchecked) == (int(hashes is False), int(hashes is None))
    assert found.roots[0].kind == "missing"


def test_a_repository_of_atproto_and_a_bare_tree_are_known() -> None:
    blocks: dict[bytes, bytes] = {}
    root = build([(b"com.example.record/%03d" % n, raw_cid(b"%d" % n)) for n in range(300)], blocks.__setitem__)
    tree = of(root, list(blocks.items()))
    found = inspected(tree)
    assert found.roots[0].kind == "tree"
    assert sum(nodes.entries for nodes in found.nodes.values()) == 300
    commit = dagcbor.encode({"did": "did:plc:x", "rev": "3k", "data": dagcbor.Link(root), "version": 3, "prev": None})
    cid = dag_cbor_cid(commit)
    found = inspected(of(cid, [(cid, commit), *blocks.items()]))
    assert (found.roots[0].kind, dict(found.roots[0].about)) == ("atproto", {"did": "did:plc:x", "rev": "3k"})


@given(st.binary(max_size=200) | st.integers(0, 200).map(lambda cut: of(raw_cid(b"a"), [(raw_cid(b"a"), b"a")])[:cut]))
def test_anything_ends_in_a_summary_or_a_declared_error(data: bytes) -> None:
    try:
        inspected(data)
    except InvalidCar as error:
        if error.offset is None:
            raise


@given(st.data())
def test_any_changed_byte_is_counted_or_refused_or_in_the_header(data: Any) -> None:
    good = of(raw_cid(b"aaaa"), [(raw_cid(b"aaaa"), b"aaaa"), (raw_cid(b"bb"), b"bb")])
    at = data.draw(st.integers(59, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    try:
        found = inspected(bytes(bad))
    except InvalidCar:
        return
    # the codec is no part of what the hash is of: a block that claims another one is counted under that
    assert found.mismatches or found.unchecked or set(found.codecs) != {"raw"}


def test_memory_stays_bounded_by_what_the_file_claims() -> None:
    with pytest.raises(InvalidCar, match="at most 33554432"):
        inspected(car.header(raw_cid(b"a")) + varint.encode(1 << 40))
    with pytest.raises(InvalidCar, match="at most 65536"):
        inspected(varint.encode(1 << 40))
