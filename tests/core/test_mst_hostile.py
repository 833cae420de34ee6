"""Trees that are not what they claim, from sources that lie: every reader ends, soon, and with a declared error.

What a reader must notice is only what keeps it safe; that a tree is right in every respect is `verify.tree`'s to say.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT, encode_node
from mstbucket.core.mst.proof import prove
from mstbucket.core.mst.walk import get, walk, walk_blocks
from mstbucket.errors import CorruptionError, FormatError, InvalidBlock, InvalidInput, MissingBlock, Untrue

VALUE = dag_cbor_cid(b"value")


class Bench:
    """Nodes put together by hand."""

    def __init__(self) -> None:
        self.blocks = MemoryBlocks({EMPTY_ROOT: EMPTY_BLOCK})

    def node(self, keys: list[bytes], links: list[bytes | None] | None = None) -> bytes:
        block = encode_node(keys, [VALUE] * len(keys), [None] * (len(keys) + 1) if links is None else links)
        cid = dag_cbor_cid(block)
        self.blocks.put(cid, block)
        return cid


READERS = {
    "get": get,
    "prove": prove,
    "walk": lambda blocks, root, key: list(walk(blocks, root)),
    "walk from": lambda blocks, root, key: list(walk(blocks, root, key)),
    "walk to": lambda blocks, root, key: list(walk(blocks, root, b"", key)),
    "walk_blocks": lambda blocks, root, key: list(walk_blocks(blocks, root)),
    "insert": lambda blocks, root, key: apply(blocks, root, [(key, VALUE)]),
    "delete": lambda blocks, root, key: apply(blocks, root, [(key, None)]),
    "diff from nothing": lambda blocks, root, key: diff(blocks, EMPTY_ROOT, root),
    "diff to nothing": lambda blocks, root, key: diff(blocks, root, EMPTY_ROOT),
}
WALKS = ("walk", "walk_blocks")


def outcomes(blocks, root, key):
    """Run every reader; return the class of the declared error of each, or None."""
    found = {}
    for name, reader in READERS.items():
        try:
            reader(blocks, root, key)
            found[name] = None
        except (FormatError, CorruptionError, InvalidInput) as error:
            found[name] = type(error)
    return found


@pytest.fixture(scope="module")
def key(oracle):
    """One key each of heights 0 to 4, in order of letters: c0 < e1 < g2 < i3 < k4."""
    return {height: oracle.mined(height, 1, "cegik"[height])[0] for height in range(5)}


def test_a_child_outside_its_interval(oracle, key):
    """[MST-7] The key of the left child is above the parent's: no search finds it, no walk may give it."""
    bench = Bench()
    wrong = oracle.mined(0, 1, "z")[0]
    root = bench.node([key[1]], [bench.node([wrong]), None])
    found = outcomes(bench.blocks, root, key[0])
    assert {name: found[name] for name in (*WALKS, "insert", "delete")} == dict.fromkeys(
        (*WALKS, "insert", "delete"), Untrue
    )
    with pytest.raises(Untrue, match="order"):
        list(walk(bench.blocks, root))


def test_two_children_in_the_wrong_order_that_grow_together(oracle, key):
    """[MST-7] With the key between them gone, nothing outside the two says that they are out of order."""
    bench = Bench()
    root = bench.node([key[1]], [bench.node([oracle.mined(0, 1, "z")[0]]), bench.node([oracle.mined(0, 1, "y")[0]])])
    with pytest.raises(Untrue, match="further left"):
        apply(bench.blocks, root, [(key[1], None)])


def test_the_same_child_twice(key):
    """[MST-7]"""
    bench = Bench()
    child = bench.node([key[0]])
    root = bench.node([key[1]], [child, child])
    found = outcomes(bench.blocks, root, b"zz")
    assert found["walk"] is found["walk_blocks"] is Untrue


def test_an_empty_child(key):
    """[MST-5]"""
    bench = Bench()
    root = bench.node([key[1]], [bench.node([]), None])
    found = outcomes(bench.blocks, root, key[0])
    assert {found[name] for name in (*WALKS, "insert", "delete")} == {Untrue}


def test_a_root_that_was_not_trimmed(key):
    """[MST-6]"""
    bench = Bench()
    root = bench.node([], [bench.node([key[0]])])
    found = outcomes(bench.blocks, root, key[0])
    assert {found[name] for name in ("insert", "delete", "diff from nothing", "diff to nothing")} == {Untrue}
    with pytest.raises(Untrue, match="trimmed"):
        diff(bench.blocks, root, EMPTY_ROOT)


def test_a_subtree_below_height_0(key):
    """[MST-8]"""
    bench = Bench()
    root = bench.node([key[0]], [bench.node([b"a"]), None])
    found = outcomes(bench.blocks, root, b"b")
    assert {found[name] for name in ("insert", "diff from nothing", "diff to nothing")} == {Untrue}


def test_a_key_at_another_height_than_its_own(key):
    """[MST-8] Writing it again would put it into the tree twice."""
    bench = Bench()
    root = bench.node([key[0], key[2]])
    with pytest.raises(Untrue, match="height"):
        apply(bench.blocks, root, [(key[2], None)])
    root = bench.node([key[2]], [bench.node([key[0]]), None])
    with pytest.raises(Untrue, match="height"):
        apply(bench.blocks, root, [(key[0], VALUE)])


def test_empty_nodes_above_the_only_key_when_it_goes(key):
    """[MST-6] What is left under a deleted key is trimmed, and must not be empty nodes only."""
    bench = Bench()
    hollow = bench.node([], [bench.node([], [bench.node([])])])
    root = bench.node([key[3]], [hollow, None])
    with pytest.raises(Untrue, match="empty"):
        apply(bench.blocks, root, [(key[3], None)])


def test_a_tree_deeper_than_any(key):
    """[MST-10] A chain of nodes without keys; no recursion, and an end after 65 levels."""
    bench = Bench()
    link = bench.node([key[0]])
    for _ in range(5000):
        link = bench.node([], [link])
    for name, found in outcomes(bench.blocks, link, key[0]).items():
        assert found is Untrue, name
    root = bench.node([key[4]], [link, None])
    for name, found in outcomes(bench.blocks, root, key[0]).items():
        assert found is Untrue, name


def test_nodes_that_link_to_themselves(key):
    """[MST-10] No honest hash allows it; a source that does not check hashes can."""
    a, b = dag_cbor_cid(b"a"), dag_cbor_cid(b"b")
    blocks = MemoryBlocks({EMPTY_ROOT: EMPTY_BLOCK})
    blocks.put(a, encode_node([], [], [b]))
    blocks.put(b, encode_node([], [], [a]))
    for name, found in outcomes(blocks, a, key[0]).items():
        assert found is Untrue, name
    root = dag_cbor_cid(b"root")
    blocks.put(root, encode_node([key[4]], [VALUE], [a, None]))
    with pytest.raises(Untrue, match="empty nodes"):
        apply(blocks, root, [(key[4], None)])
    blocks.put(a, encode_node([key[4]], [VALUE], [a, a]))
    for name, found in outcomes(blocks, a, key[0]).items():
        assert found is Untrue or name.startswith("diff"), name


def test_few_nodes_that_unfold_to_a_tree_without_end(key):
    """[MST-7] [MST-10] 60 nodes with the same child a thousand times over are 1000**60 nodes to a naive walk."""
    bench = Bench()
    wide = [b"%06d" % n for n in range(1000)]
    link = bench.node([b"x"])
    for _ in range(60):
        link = bench.node(wide, [link] * 1001)
    found = outcomes(bench.blocks, link, b"000500x")
    assert {found[name] for name in WALKS} == {Untrue}


def test_walks_do_not_read_ahead_what_is_large(oracle):
    """[MST-10] 300 nodes of 100 KB each, where honest ones have 300 bytes."""
    bench = Bench()
    keys = oracle.mined(1, 300)
    links = [None, *(bench.node([b"%s/%02d%s" % (key, n, b"y" * 1000) for n in range(100)]) for key in keys)]
    root = bench.node(keys, links)
    source = Watched(bench.blocks.blocks)
    walker = walk(source, root)
    assert next(walker) == (keys[0], VALUE)
    assert source.read <= 130
    assert sum(1 for _ in walker) == 300 * 101 - 1


class Watched(MemoryBlocks):
    """Counts the blocks that were read."""

    __slots__ = ("read",)

    def __init__(self, blocks):
        super().__init__(blocks)
        self.read = 0

    def get_many(self, cids):
        self.read += len(cids)
        return super().get_many(cids)


def test_a_missing_block_is_named_and_is_not_an_absent_key(oracle):
    pairs = {key: oracle.value(key) for height in range(4) for key in oracle.mined(height, 12)}
    blocks: dict[bytes, bytes] = {}
    root = build(sorted(pairs.items()), blocks.__setitem__)
    for gone in blocks:
        source = MemoryBlocks({cid: block for cid, block in blocks.items() if cid != gone} | {EMPTY_ROOT: EMPTY_BLOCK})
        for name in ("walk", "walk_blocks", "diff from nothing", "diff to nothing"):
            with pytest.raises(MissingBlock, match=to_text(gone)):
                READERS[name](source, root, b"")
        seen = {key: value for key in pairs if (value := quiet_get(source, root, key)) is not MissingBlock}
        assert seen.items() < pairs.items()


def quiet_get(source, root, key):
    try:
        return get(source, root, key)
    except MissingBlock:
        return MissingBlock


@pytest.fixture(scope="module")
def honest(oracle):
    pairs = {key: oracle.value(key) for height in range(4) for key in oracle.mined(height, 8)}
    blocks: dict[bytes, bytes] = {EMPTY_ROOT: EMPTY_BLOCK}
    root = build(sorted(pairs.items()), blocks.__setitem__)
    return root, sorted(pairs), blocks


@settings(deadline=None, max_examples=250)
@given(st.data())
def test_damage_anywhere_in_a_tree_gives_declared_errors(honest, data):
    """Bytes changed, or blocks swapped, in a source that answers with whatever it has under the name."""
    root, keys, blocks = honest
    names = sorted(blocks)
    bad = dict(blocks)
    victim = data.draw(st.sampled_from(names))
    if data.draw(st.booleans()):
        bad[victim] = blocks[data.draw(st.sampled_from(names))]
    else:
        block = bytearray(blocks[victim])
        at = data.draw(st.integers(0, len(block) - 1))
        block[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        bad[victim] = bytes(block)
    outcomes(MemoryBlocks(bad), root, data.draw(st.sampled_from(keys)))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_a_root_of_any_bytes_gives_declared_errors(block):
    root = dag_cbor_cid(block)
    found = outcomes(MemoryBlocks({root: block, EMPTY_ROOT: EMPTY_BLOCK}), root, b"k")
    if block != EMPTY_BLOCK:
        assert set(found.values()) <= {InvalidBlock, Untrue}
