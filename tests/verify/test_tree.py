"""The judge of trees: good ones pass, and every named way of being wrong is refused by its own name."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.cid import DAG_CBOR_PREFIX, dag_cbor_cid, raw_cid
from mstbucket.core.keys import version_key
from mstbucket.core.mst.build import build
from mstbucket.errors import FormatError, HashMismatch, InvalidBlock, InvalidInput, MissingBlock, Untrue
from mstbucket.limits import KEY_MAX, NODE_BLOCK_MAX, NODE_ENTRIES_MAX, VERSION_KEY_MAX
from mstbucket.verify.node import key_height
from mstbucket.verify.tree import verified_nodes, verify_tree

Keys = Callable[..., list[bytes]]
V = dag_cbor_cid(b"\xa0")


def pairs_of(forge: Any, root: bytes) -> dict[bytes, bytes]:
    return {
        key: value
        for _, _, node in verified_nodes(forge, root)
        for key, value in zip(node.keys, node.values, strict=True)
    }


@settings(deadline=None, max_examples=40)
@given(st.sets(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=6), max_size=60))
def test_a_tree_by_definition_passes_and_gives_its_pairs(forge_type: Any, texts: set[str]) -> None:
    forge = forge_type()
    pairs = {text.encode(): dag_cbor_cid(text.encode()) for text in texts}
    root = forge.tree(pairs)
    report = verify_tree(forge, root)
    assert (report.root, report.keys, report.nodes) == (root, len(pairs), len(forge))
    assert report.bytes == sum(map(len, forge.blocks.values()))
    assert report.height == max(map(forge.height, pairs), default=0)
    assert pairs_of(forge, root) == pairs


def test_the_builders_tree_is_the_one_by_definition(forge: Any) -> None:
    """Two implementations and the judge agree, on a tree with every kind of node."""
    pairs = {b"%05d/%d" % (n * n, n % 7): dag_cbor_cid(b"%d" % n) for n in range(3000)}
    root = build(sorted(pairs.items()), forge.put)
    assert root == forge.tree(pairs)
    assert verify_tree(forge, root).keys == 3000
    assert any(not node.keys for _, _, node in verified_nodes(forge, root))  # empty ones in between, too


def test_a_versions_tree_has_its_own_keys(forge: Any) -> None:
    """[VER-12]"""
    pairs = {version_key(b"%d" % (n % 20), n): V for n in range(200)} | {version_key(b"k" * KEY_MAX, 1): V}
    root = forge.tree(pairs)
    assert verify_tree(forge, root, key_max=VERSION_KEY_MAX).keys == 201
    with pytest.raises(InvalidBlock, match=r"NUL|bytes"):
        verify_tree(forge, root)
    with pytest.raises(InvalidBlock, match="version key"):
        verify_tree(forge, forge.tree({b"plain": V}), key_max=VERSION_KEY_MAX)
    with pytest.raises(InvalidInput):
        verify_tree(forge, root, key_max=2000)


def test_memory_and_stack_do_not_follow_a_deep_tree(forge: Any, keys_of_height: Keys) -> None:
    """[VER-2] One key of height 6 and one of height 0, with a chain of empty nodes between: no recursion in it."""
    pairs = {keys_of_height(6, 1)[0]: V, keys_of_height(0, 1, b"z")[0]: V}
    assert verify_tree(forge, forge.tree(pairs)).nodes == 7


# --- one node that is wrong ------------------------------------------------------------------------------------------

Wrong = Callable[[Any, Keys], bytes]


def changed(forge: Any, before: bytes, after: bytes) -> bytes:
    """A node of one key `k00000`, some of its bytes replaced, under the CID that the new bytes have."""
    block = forge.get(forge.keyed(None, [(b"k00000", V, None)]))
    assert block.count(before) == 1
    other = block.replace(before, after)
    forge.put(dag_cbor_cid(other), other)
    return dag_cbor_cid(other)


def put(forge: Any, block: bytes) -> bytes:
    forge.put(dag_cbor_cid(block), block)
    return dag_cbor_cid(block)


NODES: list[Any] = [
    # [VER-3] [VER-4] canonical bytes, fields, types
    pytest.param(lambda f, k: put(f, b""), InvalidBlock, "DAG-CBOR", id="[VER-3] no bytes"),
    pytest.param(lambda f, k: put(f, b"\x00"), InvalidBlock, "fields", id="[VER-3] a number"),
    pytest.param(lambda f, k: put(f, b"\x80"), InvalidBlock, "fields", id="[VER-3] a list"),
    pytest.param(lambda f, k: put(f, b"\xa0"), InvalidBlock, "fields", id="[VER-3] an empty map"),
    pytest.param(lambda f, k: put(f, b"\x81" * 900_000), InvalidBlock, ".", id="[VER-3] nesting without end"),
    pytest.param(lambda f, k: put(f, b"\xa1\x61e\x80"), InvalidBlock, "fields", id="[VER-3] no l"),
    pytest.param(
        lambda f, k: f.value({"e": [], "l": None, "x": 1}), InvalidBlock, "fields", id="[VER-3] a field too many"
    ),
    pytest.param(lambda f, k: f.value({"e": [], "m": None}), InvalidBlock, "canonical", id="[VER-3] another name"),
    pytest.param(lambda f, k: f.value({"e": {}, "l": None}), InvalidBlock, "canonical|fields", id="[VER-3] e a map"),
    pytest.param(lambda f, k: f.value({"e": None, "l": None}), InvalidBlock, "fields", id="[VER-3] e null"),
    pytest.param(lambda f, k: f.value({"e": "k", "l": None}), InvalidBlock, "fields", id="[VER-3] e a text"),
    pytest.param(lambda f, k: f.value({"e": [1], "l": None}), InvalidBlock, "fields", id="[VER-3] an entry a number"),
    pytest.param(lambda f, k: f.value({"e": [None], "l": None}), InvalidBlock, "fields", id="[VER-3] an entry null"),
    pytest.param(lambda f, k: f.value({"e": [], "l": False}), InvalidBlock, "fields", id="[VER-3] l false"),
    pytest.param(lambda f, k: f.value({"e": [], "l": V}), InvalidBlock, "canonical", id="[VER-4] l bytes"),
    pytest.param(lambda f, k: f.node(raw_cid(b""), []), InvalidBlock, "canonical", id="[VER-4] l a raw block"),
    pytest.param(
        lambda f, k: f.node(None, [(b"a", 0, raw_cid(b""), V)]), InvalidBlock, "canonical", id="[VER-4] t raw"
    ),
    pytest.param(
        lambda f, k: f.node(None, [(b"a", 0, None, raw_cid(b""))]), InvalidBlock, "canonical", id="[VER-4] v raw"
    ),
    pytest.param(lambda f, k: f.node(None, [(b"a", 0, None, None)]), InvalidBlock, "fields", id="[VER-3] v null"),
    pytest.param(lambda f, k: f.node(None, [(b"a", 0, "t", V)]), InvalidBlock, "fields", id="[VER-3] t a text"),
    pytest.param(lambda f, k: f.node(None, [("a", 0, None, V)]), InvalidBlock, ".", id="[VER-3] k a text"),
    pytest.param(lambda f, k: f.node(None, [(None, 0, None, V)]), InvalidBlock, "fields", id="[VER-3] k null"),
    pytest.param(lambda f, k: f.node(None, [([1], 0, None, V)]), InvalidBlock, "fields", id="[VER-3] k a list"),
    pytest.param(lambda f, k: f.node(None, [(b"a", "0", None, V)]), InvalidBlock, "fields", id="[VER-3] p a text"),
    pytest.param(lambda f, k: f.node(None, [(b"a", False, None, V)]), InvalidBlock, "canonical", id="[VER-3] p false"),
    pytest.param(lambda f, k: f.node(None, [(b"a", 0.0, None, V)]), InvalidBlock, "fields", id="[VER-3] p a float"),
    pytest.param(lambda f, k: f.node(None, [(b"a", -1, None, V)]), InvalidBlock, "fields", id="[VER-3] p negative"),
    pytest.param(
        lambda f, k: f.node(None, [(b"abc", 0, None, V), (b"x", -1, None, V)]),
        InvalidBlock,
        "canonical|more",
        id="[VER-3] a later p negative",
    ),
    pytest.param(
        lambda f, k: changed(f, b"\x61p\x00", b"\x61p\x18\x00"), InvalidBlock, "canonical", id="[VER-3] a long 0"
    ),
    pytest.param(
        lambda f, k: changed(f, b"\x46k000", b"\x58\x06k000"), InvalidBlock, "canonical", id="[VER-3] a long 6"
    ),
    pytest.param(
        lambda f, k: changed(f, b"\xa2\x61e", b"\xbf\x61e"), InvalidBlock, ".", id="[VER-3] indefinite length"
    ),
    pytest.param(
        lambda f, k: changed(f, b"\x61l\xf6", b"\x61l\xf6\x00"), InvalidBlock, ".", id="[VER-3] a byte behind"
    ),
    pytest.param(
        lambda f, k: changed(f, b"\x61l\xf6", b"\x61l\xf7"), InvalidBlock, ".", id="[VER-3] undefined for null"
    ),
    pytest.param(lambda f, k: put(f, b"\xa2\x61l\xf6\x61e\x80"), InvalidBlock, ".", id="[VER-3] l before e"),
    pytest.param(
        lambda f, k: changed(f, b"\x61kFk00000\x61p\x00", b"\x61p\x00\x61kFk00000"),
        InvalidBlock,
        ".",
        id="[VER-3] p before k",
    ),
    pytest.param(lambda f, k: changed(f, b"\xd8\x2a", b""), InvalidBlock, ".", id="[VER-4] v without its tag"),
    # [VER-5] limits
    pytest.param(lambda f, k: put(f, bytes(NODE_BLOCK_MAX + 1)), InvalidBlock, "more than", id="[VER-5] above 1 MiB"),
    pytest.param(
        lambda f, k: f.keyed(None, [(b"%05d" % n, V, None) for n in range(NODE_ENTRIES_MAX + 1)]),
        InvalidBlock,
        "entries",
        id="[VER-5] 8,193 entries",
    ),
    pytest.param(
        lambda f, k: f.keyed(None, [(b"k" * (KEY_MAX + 1), V, None)]),
        InvalidBlock,
        "1025 bytes",
        id="[VER-5] a long key",
    ),
    pytest.param(
        lambda f, k: f.keyed(None, [(b"k" * 5000, V, None)]), InvalidBlock, "too large", id="[VER-5] a suffix of 5,000"
    ),
    pytest.param(
        lambda f, k: f.node(None, [(b"k" * 1000, 0, None, V), (b"l" * 1000, 1000, None, V)]),
        InvalidBlock,
        "2000 bytes",
        id="[VER-5] a key made long by its prefix",
    ),
    pytest.param(
        lambda f, k: f.node(None, [(b"k", 0, None, V), (b"l", 5000, None, V)]),
        InvalidBlock,
        "too large",
        id="[VER-5] a prefix of 5,000",
    ),
    # [VER-6] [VER-7] prefixes and order
    pytest.param(lambda f, k: f.node(None, [(b"a", 1, None, V)]), InvalidBlock, "0 bytes", id="[VER-6] a first p of 1"),
    pytest.param(
        lambda f, k: f.node(None, [(b"a", 0, None, V), (b"b", 2, None, V)]),
        InvalidBlock,
        "shares 2 bytes",
        id="[VER-6] p above the key before",
    ),
    pytest.param(
        lambda f, k: f.node(None, [(b"ab", 0, None, V), (b"ac", 0, None, V)]),
        InvalidBlock,
        "more than the 0",
        id="[VER-7] p too small",
    ),
    pytest.param(
        lambda f, k: f.keyed(None, [(b"b", V, None), (b"a", V, None)]), Untrue, "ascend", id="[VER-6] keys descend"
    ),
    pytest.param(lambda f, k: f.node(None, [(b"", 0, None, V)]), InvalidBlock, "empty", id="[VER-12] an empty key"),
    pytest.param(
        lambda f, k: f.node(None, [(b"a", 0, None, V), (b"", 1, None, V)]), Untrue, "ascend", id="[VER-6] a key twice"
    ),
    pytest.param(
        lambda f, k: f.node(None, [(b"ab", 0, None, V), (b"", 1, None, V)]),
        Untrue,
        "ascend",
        id="[VER-6] a key that is the start of the one before",
    ),
    # [VER-9] [VER-10] [VER-11] shape
    pytest.param(
        lambda f, k: f.keyed(None, [(key, V, None) for key in sorted(k(0, 1) + k(1, 1))]),
        Untrue,
        "height",
        id="[VER-9] keys of two heights",
    ),
    pytest.param(lambda f, k: f.node(f.node(None, []), []), Untrue, "no key", id="[VER-11] an untrimmed root"),
    pytest.param(
        lambda f, k: f.keyed(f.keyed(None, [(b"a", V, None)]), [(k(0, 1)[0], V, None)]),
        Untrue,
        "height 0 has a subtree",
        id="[VER-10] l below height 0",
    ),
    pytest.param(
        lambda f, k: f.keyed(None, [(k(0, 1)[0], V, f.node(None, []))]),
        Untrue,
        "height 0 has a subtree",
        id="[VER-10] t below height 0",
    ),
    # [VER-12] keys
    pytest.param(lambda f, k: f.keyed(None, [(b"a\xff", V, None)]), InvalidBlock, "UTF-8", id="[VER-12] not UTF-8"),
    pytest.param(
        lambda f, k: f.keyed(None, [(b"\xed\xa0\x80", V, None)]), InvalidBlock, "UTF-8", id="[VER-12] a surrogate"
    ),
    pytest.param(lambda f, k: f.keyed(None, [(b"a\0b", V, None)]), InvalidBlock, "NUL", id="[VER-12] NUL in a key"),
]


@pytest.mark.parametrize(("make", "error", "says"), NODES)
def test_a_wrong_root(forge: Any, keys_of_height: Keys, make: Wrong, error: type[Exception], says: str) -> None:
    root = make(forge, keys_of_height)
    with pytest.raises(error, match=says):
        verify_tree(forge, root)


# --- a good node at the wrong place ----------------------------------------------------------------------------------

PLACES: list[Any] = [
    pytest.param(
        lambda f, k: f.keyed(None, [(k(1, 1, b"m")[0], V, f.keyed(None, [(k(0, 1, b"a")[0], V, None)]))]),
        "between",
        id="[VER-8] a key below the one its subtree stands behind",
    ),
    pytest.param(
        lambda f, k: f.keyed(f.keyed(None, [(k(0, 1, b"z")[0], V, None)]), [(k(1, 1, b"m")[0], V, None)]),
        "between",
        id="[VER-8] a key above the one its subtree stands before",
    ),
    pytest.param(
        lambda f, k: f.keyed(
            f.keyed(None, [(k(1, 1, b"a")[0], V, f.keyed(None, [(k(0, 1, b"z")[0], V, None)]))]),
            [(k(2, 1, b"m")[0], V, None)],
        ),
        "between",
        id="[VER-8] a key that only its parent's parent contradicts",
    ),
    pytest.param(
        lambda f, k: f.keyed(f.node(f.keyed(None, [(k(0, 1, b"z")[0], V, None)]), []), [(k(2, 1, b"m")[0], V, None)]),
        "between",
        id="[VER-8] a bound handed down through an empty node",
    ),
    pytest.param(
        lambda f, k: f.keyed(None, [(k(1, 1, b"m")[0], V, f.keyed(None, [(k(1, 2, b"m")[1], V, None)]))]),
        "height",
        id="[VER-9] a child as high as its parent",
    ),
    pytest.param(
        lambda f, k: f.keyed(f.keyed(None, [(k(0, 1, b"a")[0], V, None)]), [(k(2, 1, b"m")[0], V, None)]),
        "height",
        id="[VER-9] a link that skips a height",
    ),
    pytest.param(
        lambda f, k: f.keyed(f.node(None, []), [(k(1, 1, b"m")[0], V, None)]),
        "empty",
        id="[VER-11] an empty child in l",
    ),
    pytest.param(
        lambda f, k: f.keyed(None, [(k(1, 1, b"m")[0], V, f.node(None, []))]),
        "empty",
        id="[VER-11] an empty child in t",
    ),
    pytest.param(
        lambda f, k: f.keyed(f.node(f.node(None, []), []), [(k(2, 1, b"m")[0], V, None)]),
        "empty",
        id="[VER-11] a chain that ends in an empty node",
    ),
    pytest.param(
        lambda f, k: f.keyed((low := f.keyed(None, [(k(0, 1, b"a")[0], V, None)])), [(k(1, 1, b"m")[0], V, low)]),
        "between",
        id="[VER-8] one subtree linked to twice",
    ),
]


@pytest.mark.parametrize(("make", "says"), PLACES)
def test_a_good_node_at_the_wrong_place(forge: Any, keys_of_height: Keys, make: Wrong, says: str) -> None:
    root = make(forge, keys_of_height)
    with pytest.raises(Untrue, match=says):
        verify_tree(forge, root)


def test_a_block_that_is_another_is_refused(forge: Any) -> None:
    """[VER-1]"""
    root = forge.tree({b"%d" % n: V for n in range(50)})
    for cid in list(forge):
        block = forge.get(cid)
        forge.put(cid, block[:-1] + bytes([block[-1] ^ 1]))
        with pytest.raises(HashMismatch):
            verify_tree(forge, root)
        forge.put(cid, block)
    del forge.blocks[cid]
    with pytest.raises(MissingBlock):
        verify_tree(forge, root)


@pytest.mark.parametrize("root", [raw_cid(b""), V[:-1], V + b"\0", b""], ids=["raw", "short", "long", "empty"])
def test_a_root_of_another_form_is_refused(forge: Any, root: bytes) -> None:
    """[VER-1]"""
    with pytest.raises(FormatError):
        verify_tree(forge, root)


def test_every_changed_byte_of_a_node_is_refused(forge: Any) -> None:
    """[VER-3] With the CID made to fit. What a change leaves good is another tree: other keys or values."""
    pairs = {b"photos/%02d.jpg" % n: dag_cbor_cid(b"%d" % n) for n in range(12)}
    root = forge.tree(pairs)
    (leaf,) = [cid for cid, _, node in verified_nodes(forge, root) if cid != root or not node.height][-1:]
    block = forge.get(leaf)
    rng = random.Random(1)
    for at in range(len(block)):
        for other in {block[at] ^ 1, block[at] ^ 0x80, rng.randrange(256)} - {block[at]}:
            changed = block[:at] + bytes([other]) + block[at + 1 :]
            alone = dag_cbor_cid(changed)
            forge.put(alone, changed)
            try:
                found = pairs_of(forge, alone)
            except (InvalidBlock, Untrue, MissingBlock):
                continue
            assert forge.tree(found) == alone


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=120), st.integers(0, 60), st.integers(0, 40))
def test_any_bytes_are_a_node_or_refused(forge_type: Any, noise: bytes, at: int, cut: int) -> None:
    """Bytes put into a good node; whatever is accepted is what the definition makes of the same pairs."""
    forge = forge_type()
    block = forge.get(forge.tree({b"abc": V, b"abd": V}))
    other = block[:at] + noise + block[at + cut :]
    cid = dag_cbor_cid(other)
    forge.put(cid, other)
    try:
        found = pairs_of(forge, cid)
    except (InvalidBlock, Untrue, MissingBlock):
        return
    assert forge.tree(found) == cid


def test_heights_are_those_of_the_definition(forge: Any) -> None:
    """[VER-9] Of 4,000 keys, among them some of height 5."""
    keys = [b"%d" % n for n in range(4000)]
    assert [key_height(key) for key in keys] == [forge.height(key) for key in keys]
    assert max(map(key_height, keys)) >= 5
    assert V[:4] == DAG_CBOR_PREFIX
