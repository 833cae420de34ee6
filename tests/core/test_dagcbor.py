"""Strict DAG-CBOR against both codec libraries, and tables of the bytes that are refused."""

from __future__ import annotations

import math

import dag_cbor
import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core import dagcbor
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.dagcbor import Link
from mstbucket.errors import InvalidBlock
from mstbucket.limits import CBOR_DEPTH_MAX

CID = raw_cid(b"x")
LINK = dagcbor.LINK_HEAD + CID

links = st.binary(max_size=4).map(lambda data: Link(dag_cbor_cid(data)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(dagcbor.INT_MIN, dagcbor.INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0)  # minus zero is refused
    | st.text()
    | st.binary()
    | links
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@settings(deadline=None, max_examples=150)
@given(values)
def test_every_value_comes_back_and_has_one_encoding(value):
    """[CBOR-1]"""
    block = dagcbor.encode(value)
    assert repr(dagcbor.decode(block)) == repr(dagcbor.decode(dagcbor.encode(dagcbor.decode(block))))
    assert dagcbor.encode(dagcbor.decode(block)) == block


@settings(deadline=None, max_examples=150)
@given(values, st.data())
def test_any_changed_byte_is_refused_or_is_another_value(value, data):
    """[CBOR-1]"""
    block = bytearray(dagcbor.encode(value))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = dagcbor.decode(bytes(block))
    except InvalidBlock:
        return
    assert dagcbor.encode(changed) == block


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_declared_error(block):
    for decode in (dagcbor.decode, dagcbor.decode_fast):
        try:
            decode(block)
        except InvalidBlock:
            continue


@settings(deadline=None, max_examples=100)
@given(st.integers(dagcbor.INT_MIN, dagcbor.INT_MAX), st.text(), st.binary())
def test_parts_for_hand_encoders_are_the_librarys(n, text, data):
    """[CBOR-3]"""
    assert (dagcbor.head(0, n) if n >= 0 else dagcbor.head(1, -1 - n)) == dag_cbor.encode(n)
    assert dagcbor.head(3, len(text.encode())) + text.encode() == dag_cbor.encode(text)
    assert dagcbor.head(2, len(data)) + data == dag_cbor.encode(data)


@pytest.mark.parametrize("n", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1])
def test_heads_are_shortest_at_every_border(n):
    """[CBOR-3]"""
    assert dagcbor.head(0, n) == dag_cbor.encode(n)
    assert dagcbor.head(1, n) == dag_cbor.encode(-1 - n)


def test_links_are_links_and_the_fast_decoder_gives_bytes():
    """[CBOR-5]"""
    block = b"\xa1\x61a" + LINK
    assert dagcbor.encode({"a": Link(CID)}) == block
    assert dagcbor.decode(block) == {"a": Link(CID)}
    assert dagcbor.decode_fast(block) == {"a": CID}
    assert dagcbor.decode(dagcbor.encode(CID)) == CID


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_up_to_the_limit_is_kept_and_one_more_is_refused_both_ways():
    """[CBOR-8]"""
    deepest = nested(CBOR_DEPTH_MAX)
    assert dagcbor.decode(dagcbor.encode(deepest)) == deepest
    with pytest.raises(InvalidBlock, match="deeper"):
        dagcbor.encode([deepest])
    with pytest.raises(InvalidBlock, match=r"deeper than 32 levels \(at byte"):
        dagcbor.decode(b"\x81" + dagcbor.encode(deepest))
    inner = nested(CBOR_DEPTH_MAX - 1)
    leaf = inner
    while leaf:
        leaf = leaf[0]
    leaf.append(Link(CID))
    assert dagcbor.decode(dagcbor.encode(inner)) == inner


REFUSED = {
    "nothing": b"",
    "a second item": b"\x00\x00",
    "a head cut short": b"\x19\x01",
    "a string cut short": b"\x63ab",
    "a byte string cut short": b"\x42a",
    "a list cut short": b"\x82\x00",
    "a map cut short": b"\xa1\x61a",
    "a tag over nothing": b"\xd8\x2a",
    "0 in two bytes": b"\x18\x00",
    "23 in two bytes": b"\x18\x17",
    "255 in three bytes": b"\x19\x00\xff",
    "65535 in five bytes": b"\x1a\x00\x00\xff\xff",
    "2**32-1 in nine bytes": b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
    "-1 in two bytes": b"\x38\x00",
    "a text's length in two bytes": b"\x78\x01a",
    "a list's length in two bytes": b"\x98\x01\x00",
    "a map's length in two bytes": b"\xb8\x01\x61a\x00",
    "tag 42 in three bytes": b"\xd9\x00\x2a" + LINK[2:],
    "2**63": b"\x1b\x80" + bytes(7),
    "-2**63 - 1": b"\x3b\x80" + bytes(7),
    "2**64 - 1": b"\x1b" + b"\xff" * 8,
    "a list of indefinite length": b"\x9f\x00\xff",
    "a map of indefinite length": b"\xbf\x61a\x00\xff",
    "a text of indefinite length": b"\x7f\x61a\xff",
    "bytes of indefinite length": b"\x5f\x41a\xff",
    "a lone break": b"\xff",
    "unassigned additional information": b"\x1c",
    "keys that descend": b"\xa2\x61b\x00\x61a\x00",
    "a longer key first": b"\xa2\x62aa\x00\x61b\x00",
    "a key twice": b"\xa2\x61a\x00\x61a\x00",
    "a number as key": b"\xa1\x00\x00",
    "bytes as key": b"\xa1\x41a\x00",
    "tag 0": b"\xc0\x61a",
    "tag 2, a big number": b"\xc2\x41\x01",
    "tag 42 over a text": b"\xd8\x2a\x61a",
    "tag 42 over empty bytes": b"\xd8\x2a\x40",
    "tag 42 over only the multibase": b"\xd8\x2a\x41\x00",
    "tag 42 over a list": b"\xd8\x2a\x80",
    "tag 42 in tag 42": b"\xd8\x2a" + LINK,
    "a link without its multibase": b"\xd8\x2a\x58\x24" + CID,
    "a link with another multibase": b"\xd8\x2a\x58\x25\x01" + CID,
    "a link one byte too long": b"\xd8\x2a\x58\x26\x00" + CID + b"\0",
    "a link to CIDv0": b"\xd8\x2a\x58\x23\x00\x12\x20" + CID[4:],
    "a link by identity hash": b"\xd8\x2a\x47\x00\x01\x55\x00\x02hi",
    "a link of another codec": LINK[:6] + b"\x72" + LINK[7:],
    "text that is not UTF-8": b"\x61\xff",
    "text with a surrogate": b"\x63\xed\xa0\x80",
    "a key that is not UTF-8": b"\xa1\x61\xff\x00",
    "undefined": b"\xf7",
    "a simple value": b"\xe0",
    "a simple value in two bytes": b"\xf8\x20",
    "a float of 16 bits": b"\xf9\x3c\x00",
    "a float of 32 bits": b"\xfa\x3f\x80\x00\x00",
    "NaN": b"\xfb\x7f\xf8" + bytes(6),
    "infinity": b"\xfb\x7f\xf0" + bytes(6),
    "minus infinity": b"\xfb\xff\xf0" + bytes(6),
    "NaN with another payload": b"\xfb\xff\xf8" + bytes(5) + b"\x01",
    "minus zero": b"\xfb\x80" + bytes(7),
    "minus zero in a map": b"\xa1\x61a\xfb\x80" + bytes(7),
    "minus zero of 16 bits": b"\xf9\x80\x00",
    "a list that claims 2**63 items": b"\x9b\x7f" + b"\xff" * 7,
    "bytes that claim 2**63": b"\x5b\x7f" + b"\xff" * 7,
    "a map that claims 2**64 pairs": b"\xbb" + b"\xff" * 8,
    "100,000 nested lists": b"\x81" * 100_000,
    "100,000 nested lists of claimed gigabytes": b"\x9a\x00\x01\x00\x00" * 100_000,
    "100,000 nested tags": b"\xc1" * 100_000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_bytes_that_are_refused(name):
    """[CBOR-1] [CBOR-2] [CBOR-3] [CBOR-4] [CBOR-5] [CBOR-6] [CBOR-7] [CBOR-8] [CBOR-9]"""
    with pytest.raises(InvalidBlock) as caught:
        dagcbor.decode(REFUSED[name])
    said = str(caught.value)
    assert "\n" not in said
    assert said.count("at byte") <= 1
    assert not any(words in said for words in ("At byte", "Failed", "codec can't", "Error", "expected"))


@pytest.mark.parametrize("value", [-0.0, [-0.0], {"a": -0.0}, float("nan"), float("inf"), float("-inf")])
def test_floats_that_have_no_one_form_are_not_written(value):
    """[CBOR-7]"""
    with pytest.raises(InvalidBlock, match="float"):
        dagcbor.encode(value)
    assert dagcbor.decode(dagcbor.encode(5e-324)) == 5e-324


@pytest.mark.parametrize(
    "block", [b"\x9a\x00\x10\x00\x00" + b"\x00" * 9, b"\xba\x00\x10\x00\x00", b"\x5b\x7f" + b"\xff" * 7]
)
def test_lengths_beyond_the_block_are_refused_before_anything_is_read(block):
    """[CBOR-2]"""
    with pytest.raises(InvalidBlock, match="claims"):
        dagcbor.decode(block)


def test_the_fast_decoder_refuses_deep_nesting_as_a_format_error():
    """[CBOR-8]"""
    with pytest.raises(InvalidBlock):
        dagcbor.decode_fast(b"\x81" * 1_000_000)
    with pytest.raises(RecursionError):
        libipld.decode_dag_cbor(b"\x81" * 1_000_000)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**63, id="an integer above 64 bits signed"),
        pytest.param(-(2**63) - 1, id="an integer below 64 bits signed"),
        pytest.param(math.nan, id="NaN"),
        pytest.param(-math.inf, id="infinity"),
        pytest.param({1: 2}, id="a key that is no text"),
        pytest.param({"\ud800": 2}, id="a key with a surrogate"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param(object(), id="an object"),
        pytest.param(bytearray(b"x"), id="a bytearray"),
        pytest.param(Link(b"short"), id="a link that is no CID"),
    ],
)
def test_values_without_a_form(value):
    """[CBOR-6] [CBOR-7]"""
    with pytest.raises(InvalidBlock):
        dagcbor.encode([value])


def test_a_value_that_holds_itself_is_refused():
    """[CBOR-8]"""
    value: list[object] = []
    value.append(value)
    with pytest.raises(InvalidBlock):
        dagcbor.encode(value)
