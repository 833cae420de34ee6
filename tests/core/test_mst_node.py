"""The bytes of one node: both decoders, the encoder, and tables of what is refused."""

from __future__ import annotations

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID as LibraryCid

from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.mst.build import build
from mstbucket.core.mst.node import (
    EMPTY_BLOCK,
    EMPTY_ROOT,
    PARTS,
    VALUE_PART,
    common_prefix,
    decode_node,
    encode_node,
    key_height,
    read_node,
)
from mstbucket.errors import InvalidBlock, InvalidInput
from mstbucket.limits import NODE_BLOCK_MAX, NODE_ENTRIES_MAX, VERSION_KEY_MAX

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(str.encode)
cids = st.binary(max_size=2).map(dag_cbor_cid)
nodes = st.tuples(st.dictionaries(keys, st.tuples(cids, st.none() | cids), max_size=6), st.none() | cids)


def parts_of(node):
    entries, left = node
    names = sorted(entries)
    return names, [entries[name][0] for name in names], [left, *(entries[name][1] for name in names)]


@settings(deadline=None, max_examples=200)
@given(nodes)
def test_a_node_is_the_librarys_encoding_and_comes_back(oracle, node):
    """[MST-3] [MST-4]"""
    names, values, links = parts_of(node)
    block = encode_node(names, values, links)
    assert block == oracle.node(tuple(zip(names, values, links[1:], strict=True)), links[0])[1]
    got_keys, got_links, parts = decode_node(block)
    assert (got_keys, got_links, parts[VALUE_PART::PARTS]) == (names, links, values)
    assert read_node(block) == (names, values, links if any(link is not None for link in links) else [])


@settings(deadline=None, max_examples=200)
@given(keys, keys)
def test_common_prefix_and_height_are_the_slow_ones(oracle, a, b):
    """[MST-1] [MST-4]"""
    assert common_prefix(a, b) == oracle.prefix(a, b)
    assert common_prefix(a, a + b) == len(a)
    assert key_height(a) == oracle.height(a)


def sample():
    value, link = dag_cbor_cid(b"v"), dag_cbor_cid(b"t")
    return encode_node([b"aa", b"ab", "aé".encode(), b"b"], [value] * 4, [link, None, link, None, None])


def test_every_truncation_of_a_node_is_refused():
    """[MST-3]"""
    block = sample()
    for size in range(len(block)):
        for decode in (decode_node, read_node):
            with pytest.raises(InvalidBlock):
                decode(block[:size])


def test_every_flipped_bit_is_refused_or_is_another_node():
    """[MST-3] What still decodes is canonical, so it is the node of another CID."""
    block = sample()
    accepted = 0
    for at in range(len(block)):
        for bit in range(8):
            changed = bytearray(block)
            changed[at] ^= 1 << bit
            try:
                names, links, parts = decode_node(bytes(changed))
            except InvalidBlock:
                continue
            accepted += 1
            assert encode_node(names, parts[VALUE_PART::PARTS], links) == changed
    assert 0 < accepted < len(block) * 8


@settings(deadline=None, max_examples=200)
@given(nodes, st.data())
def test_damaged_nodes_give_declared_errors_in_both_decoders(node, data):
    names, values, links = parts_of(node)
    block = bytearray(encode_node(names, values, links))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(block) - 1))
        block[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    for decode in (decode_node, read_node):
        try:
            decode(bytes(block))
        except InvalidBlock:
            continue


LINK = LibraryCid.decode(dag_cbor_cid(b"x"))


def entry(k=b"a", p=0, t=None, v=LINK):
    return {"k": k, "p": p, "t": t, "v": v}


REFUSED = {
    "a list": [],
    "a number": 5,
    "null": None,
    "an empty map": {},
    "no l": {"e": []},
    "no e": {"l": None},
    "another field": {"e": [], "l": None, "x": 1},
    "another name for l": {"e": [], "x": None},
    "another name for e": {"f": [], "l": None},
    "e is null": {"e": None, "l": None},
    "e is a map": {"e": {}, "l": None},
    "e is a map of an entry": {"e": {"a": entry()}, "l": None},
    "e is text": {"e": "abcd", "l": None},
    "e is bytes": {"e": b"abcd", "l": None},
    "l is bytes": {"e": [], "l": dag_cbor_cid(b"x")},
    "l is a number": {"e": [], "l": 7},
    "l is false": {"e": [], "l": False},
    "an entry is a list": {"e": [[b"a", 0, None, LINK]], "l": None},
    "an entry is null": {"e": [None], "l": None},
    "an entry without t": {"e": [{"k": b"a", "p": 0, "v": LINK}], "l": None},
    "an entry with a field more": {"e": [{**entry(), "x": 0}], "l": None},
    "an entry with another name": {"e": [{"k": b"a", "p": 0, "s": None, "v": LINK}], "l": None},
    "k is text": {"e": [entry(k="a")], "l": None},
    "k is a list": {"e": [entry(k=[1])], "l": None},
    "k is a link": {"e": [entry(k=LINK)], "l": None},
    "k is null": {"e": [entry(k=None)], "l": None},
    "k is empty": {"e": [entry(k=b"")], "l": None},
    "p is negative": {"e": [entry(k=b"ab"), entry(k=b"c", p=-1)], "l": None},
    "p is null": {"e": [entry(p=None)], "l": None},
    "p is false": {"e": [entry(p=False)], "l": None},
    "p is text": {"e": [entry(p="0")], "l": None},
    "p is a float": {"e": [entry(p=0.0)], "l": None},
    "the first p is not 0": {"e": [entry(p=1)], "l": None},
    "p beyond the key before": {"e": [entry(), entry(k=b"b", p=2)], "l": None},
    "p is 2**63 - 1": {"e": [entry(), entry(k=b"b", p=2**63 - 1)], "l": None},
    "p is less than what is shared": {"e": [entry(k=b"ab"), entry(k=b"ac", p=0)], "l": None},
    "the same key twice": {"e": [entry(), entry(k=b"", p=1)], "l": None},
    "the same key twice in full": {"e": [entry(), entry()], "l": None},
    "keys that descend": {"e": [entry(k=b"b"), entry(k=b"a")], "l": None},
    "a key that is a prefix of the one before": {"e": [entry(k=b"ab"), entry(k=b"a")], "l": None},
    "t is bytes": {"e": [entry(t=dag_cbor_cid(b"x"))], "l": None},
    "t is false": {"e": [entry(t=False)], "l": None},
    "v is null": {"e": [entry(v=None)], "l": None},
    "v is bytes": {"e": [entry(v=dag_cbor_cid(b"x"))], "l": None},
    "v is text of 36 characters": {"e": [entry(v="x" * 36)], "l": None},
    "v is a list of 36": {"e": [entry(v=[0] * 36)], "l": None},
    "a key above the limit": {"e": [entry(k=b"k" * (VERSION_KEY_MAX + 1))], "l": None},
    "a key above the limit by its prefix": {
        "e": [entry(k=b"k" * VERSION_KEY_MAX), entry(k=b"l", p=VERSION_KEY_MAX)],
        "l": None,
    },
    "v is a CIDv0": {
        "e": [entry(v=LibraryCid.decode("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"))],
        "l": None,
    },
    "v is an identity CID": {"e": [entry(v=LibraryCid("base32", 1, "raw", ("identity", b"hi")))], "l": None},
}


@pytest.mark.parametrize("name", REFUSED)
def test_blocks_that_are_no_node_are_refused(name):
    """[MST-2] [MST-3] [MST-4] [MST-7]"""
    block = dag_cbor.encode(REFUSED[name])
    with pytest.raises(InvalidBlock, match=to_text(dag_cbor_cid(block))):
        decode_node(block)


# What `read_node` takes on trust, as it says: that p is all that is shared, an empty list, and that links are not bytes.
TRUSTED = {
    "k is a link",
    "l is bytes",
    "e is a map",
    "p is less than what is shared",
    "t is bytes",
    "v is bytes",
}


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - TRUSTED))
def test_blocks_that_are_no_node_to_a_walk(name):
    """[MST-2] [MST-3] [MST-4] [MST-7]"""
    with pytest.raises(InvalidBlock):
        read_node(dag_cbor.encode(REFUSED[name]))


@pytest.mark.parametrize("name", sorted(TRUSTED))
def test_what_a_walk_takes_on_trust_still_has_the_types_it_should(name):
    names, values, links = read_node(dag_cbor.encode(REFUSED[name]))
    assert names == sorted(set(names))
    assert all(type(item) is bytes for item in [*names, *values])
    assert all(link is None or type(link) is bytes for link in links)


def test_a_block_above_the_size_limit_is_refused_before_it_is_decoded():
    """[MST-10]"""
    for decode in (decode_node, read_node):
        with pytest.raises(InvalidBlock, match="limit"):
            decode(b"\x81" * (NODE_BLOCK_MAX + 1))
        with pytest.raises(InvalidBlock):
            decode(b"\x81" * NODE_BLOCK_MAX)


def test_prefixes_cannot_blow_a_small_block_up():
    """[MST-2] [MST-10] Half a megabyte that expands to gigabytes, where keys are measured too late."""
    entries = [entry(k=b"k" * 1000)] + [entry(k=b"k" * 1000, p=1000 * n) for n in range(1, 400)]
    block = dag_cbor.encode({"e": entries, "l": None})
    for decode in (decode_node, read_node):
        with pytest.raises(InvalidBlock):
            decode(block)


@pytest.fixture(scope="module")
def crowd(oracle):
    """One key of height 0 more than a node may hold."""
    return oracle.mined(0, NODE_ENTRIES_MAX + 1, "crowd/")


def test_the_largest_node_is_written_and_read_and_a_larger_one_is_not(crowd, oracle):
    """[MST-10]"""
    value = oracle.value(1)
    blocks: dict[bytes, bytes] = {}
    root = build([(key, value) for key in crowd[:-1]], blocks.__setitem__)
    assert list(blocks) == [root]
    assert decode_node(blocks[root])[0] == read_node(blocks[root])[0] == crowd[:-1]
    with pytest.raises(InvalidInput, match="8193 keys"):
        build([(key, value) for key in crowd], blocks.__setitem__)
    entries = [{"k": key, "p": 0, "t": None, "v": LINK} for key in crowd]
    for at in range(1, len(entries)):
        shared = oracle.prefix(crowd[at - 1], crowd[at])
        entries[at].update(k=crowd[at][shared:], p=shared)
    block = dag_cbor.encode({"e": entries, "l": None})
    for decode in (decode_node, read_node):
        with pytest.raises(InvalidBlock, match="8193 entries"):
            decode(block)


def test_a_node_of_long_keys_ends_at_a_mebibyte(oracle):
    """[MST-10]"""
    names = sorted(bytes((at % 250 + 1, at // 250 + 1)) + b"y" * 1030 for at in range(2000))
    low = [name for name in names if key_height(name) == 0]
    blocks: dict[bytes, bytes] = {}
    build([(name, oracle.value(1)) for name in low[:950]], blocks.__setitem__)
    assert NODE_BLOCK_MAX - 40_000 < max(map(len, blocks.values())) <= NODE_BLOCK_MAX
    with pytest.raises(InvalidInput, match="one node"):
        build([(name, oracle.value(1)) for name in low[:1000]], {}.__setitem__)


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([(b"", EMPTY_ROOT)], id="an empty key"),
        pytest.param([(b"k" * (VERSION_KEY_MAX + 1), EMPTY_ROOT)], id="a key too long"),
        pytest.param([(b"b", EMPTY_ROOT), (b"a", EMPTY_ROOT)], id="keys that descend"),
        pytest.param([(b"a", EMPTY_ROOT), (b"a", EMPTY_ROOT)], id="a key twice"),
        pytest.param([(b"a", EMPTY_ROOT[:-1])], id="a value that is no CID"),
    ],
)
def test_pairs_that_build_refuses(pairs):
    """[MST-2] [MST-7]"""
    with pytest.raises(InvalidInput):
        build(pairs, {}.__setitem__)


def test_the_empty_node():
    """[MST-6]"""
    assert dag_cbor.decode(EMPTY_BLOCK) == {"e": [], "l": None}
    assert decode_node(EMPTY_BLOCK) == ([], [None], [])
    assert read_node(EMPTY_BLOCK) == ([], [], [])
