"""CIDs, varints and the dictionary of blocks, against the `multiformats` library and tables of what is refused."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID as LibraryCid
from multiformats import varint as library_varint

from mstbucket.core import cid, varint
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.errors import FormatError, HashMismatch, InvalidCid, InvalidInput, MissingBlock

DIGEST = sha256(b"x").digest()
GOOD = b"\x01\x71\x12\x20" + DIGEST

cids = st.builds(
    lambda prefix, digest: prefix + digest,
    st.sampled_from([cid.RAW_PREFIX, cid.DAG_PB_PREFIX, cid.DAG_CBOR_PREFIX]),
    st.binary(min_size=32, max_size=32),
)


@pytest.mark.parametrize(
    ("make", "number", "name"),
    [
        (cid.raw_cid, cid.RAW, "raw"),
        (cid.dag_pb_cid, cid.DAG_PB, "dag-pb"),
        (cid.dag_cbor_cid, cid.DAG_CBOR, "dag-cbor"),
    ],
)
def test_each_codec_makes_the_cid_the_library_makes(make, number, name):
    """[CID-1] [CID-2] [CID-3]"""
    made = make(b"x")
    assert made == bytes(LibraryCid("base32", 1, name, ("sha2-256", DIGEST)))
    assert cid.codec(made) == number
    assert cid.check_cid(made) == made


@settings(deadline=None, max_examples=100)
@given(cids)
def test_text_is_what_the_library_writes_and_comes_back(value):
    """[CID-4]"""
    text = cid.to_text(value)
    assert text == LibraryCid.decode(value).encode("base32")
    assert len(text) == 59
    assert cid.from_text(text) == value


@pytest.mark.parametrize("base", ["base58btc", "base16", "base36", "base64url"])
def test_text_in_other_bases_is_read(base):
    assert cid.from_text(LibraryCid.decode(GOOD).encode(base)) == GOOD


TEXT = cid.to_text(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("b", id="only a multibase letter"),
        pytest.param("hello, world", id="no CID at all"),
        pytest.param(TEXT[:-1], id="one character short"),
        pytest.param(TEXT + "a", id="one character too many"),
        pytest.param(TEXT.upper(), id="upper case"),
        pytest.param(TEXT[:-1] + chr(ord(TEXT[-1]) + 1), id="stray bits in the last character"),
        pytest.param(TEXT[:20] + "1" + TEXT[21:], id="a character outside base32"),
        pytest.param(" " + TEXT, id="a space in front"),
        pytest.param("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", id="CIDv0"),
        pytest.param(LibraryCid("base32", 1, "raw", ("identity", b"hi")).encode(), id="identity hash"),
        pytest.param(LibraryCid("base32", 1, "raw", ("sha2-512", bytes(64))).encode(), id="sha2-512"),
        pytest.param(LibraryCid("base32", 1, "dag-json", ("sha2-256", DIGEST)).encode(), id="another codec"),
        pytest.param("z" + "1" * 1_000_000, id="a million characters"),
        pytest.param("b\udc80", id="a lone surrogate"),
    ],
)
def test_text_that_is_refused(text):
    """[CID-4]"""
    with pytest.raises(InvalidCid):
        cid.from_text(text)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x12\x20" + DIGEST, id="CIDv0"),
        pytest.param(b"\x02" + GOOD[1:], id="version 2"),
        pytest.param(b"\x01\x00\x12\x20" + DIGEST, id="codec identity"),
        pytest.param(b"\x01\x72\x12\x20" + DIGEST, id="codec libp2p-key"),
        pytest.param(b"\x01\x71\x1b\x20" + DIGEST, id="keccak-256"),
        pytest.param(b"\x01\x71\x12\x1f" + DIGEST[:31], id="31 bytes of digest"),
        pytest.param(GOOD[:-1], id="cut by one byte"),
        pytest.param(GOOD + b"\0", id="one byte too many"),
        pytest.param(b"\x01\xf1\x00\x12\x20" + DIGEST[:31], id="a codec in two bytes"),
        pytest.param(b"\x01\x55\x00\x20" + DIGEST, id="identity hash"),
    ],
)
def test_bytes_that_are_refused(value):
    """[CID-1] [CID-2] [CID-3]"""
    with pytest.raises(InvalidCid):
        cid.check_cid(value)


def test_a_block_goes_only_under_the_cid_it_hashes_to():
    """[CID-5]"""
    cid.verify_block(GOOD, b"x")
    with pytest.raises(HashMismatch, match=TEXT):
        cid.verify_block(GOOD, b"y")


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**63 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_varints_are_the_librarys_and_come_back(n, before, after):
    """[CID-6]"""
    data = varint.encode(n)
    assert data == library_varint.encode(n)
    assert varint.decode(before + data + after, len(before)) == (n, len(before) + len(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80", id="cut after one byte"),
        pytest.param(b"\xff" * 8, id="cut after eight bytes"),
        pytest.param(b"\x80\x00", id="zero in two bytes"),
        pytest.param(b"\xff\x80\x00", id="127 in three bytes"),
        pytest.param(b"\xff" * 9 + b"\x01", id="ten bytes"),
        pytest.param(b"\x80" * 9, id="nine bytes that do not end"),
    ],
)
def test_varints_that_are_refused(data):
    """[CID-6]"""
    with pytest.raises(FormatError):
        varint.decode(data, 0)


@pytest.mark.parametrize("n", [-1, 2**63, 2**64])
def test_numbers_without_a_varint(n):
    """[CID-6]"""
    with pytest.raises(InvalidInput):
        varint.encode(n)


def test_memory_blocks_give_what_was_put_and_name_what_is_missing():
    blocks = MemoryBlocks({GOOD: b"x"})
    other = cid.raw_cid(b"y")
    with pytest.raises(MissingBlock, match=cid.to_text(other)):
        blocks.get(other)
    with pytest.raises(MissingBlock, match=cid.to_text(other)):
        blocks.get_many([GOOD, other])
    blocks.put(other, b"")  # an empty block is a block
    assert blocks.get(other) == b""
    assert blocks.get_many({GOOD, other}) == {GOOD: b"x", other: b""}
    assert (len(blocks), set(blocks), other in blocks) == (2, {GOOD, other}, True)
