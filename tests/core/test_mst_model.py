"""Trees of any keys against a dictionary and the slow tree: in any order, in any batches, over all of UTF-8."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT, key_height
from mstbucket.core.mst.proof import prove
from mstbucket.core.mst.walk import get, walk, walk_blocks, walk_prefix
from mstbucket.errors import InvalidInput
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX

text_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).map(str.encode)
values = st.integers(0, 5).map(lambda n: dag_cbor_cid(b"%d" % n))


def hard_keys() -> list[bytes]:
    """Keys that codecs and trees have tripped over."""
    cid = dag_cbor_cid(b"x")
    return [
        cid,  # 36 bytes that look like a link
        cid + b"/a",
        b"\x00" + cid,
        b"\xd8\x2a\x58\x25\x00" + cid,
        b"a",
        b"a\x00",
        b"a\x00\x00",
        b"a\x00\x01",
        b"k" * (KEY_MAX - 1),
        b"k" * KEY_MAX,
        b"k" * (KEY_MAX - 1) + b"l",
        b"k" * KEY_MAX + b"\x00" + b"f" * 16,
        b"k" * 23,
        b"k" * 24,
        b"k" * 255,
        b"k" * 256,
        "写真/0001.jpg".encode(),
        "写真/0002.jpg".encode(),
        "\U0010ffff".encode(),
        "\ud7ff\ue000".encode(),
        b"\x7f",
        "\x80".encode(),
        b"\xff\xff",
        b"\xff" * VERSION_KEY_MAX,
    ]


keys = st.one_of(
    text_keys,
    st.sampled_from(hard_keys()),
    st.integers(0, 60).map(lambda n: b"photos/%04d.jpg" % n),
    st.binary(min_size=1, max_size=40),
)
maps = st.dictionaries(keys, values, max_size=25)


@settings(deadline=None, max_examples=150)
@given(maps)
def test_build_is_the_tree_of_the_definition(oracle, pairs):
    """[MST-1] [MST-4] [MST-5] [MST-6]"""
    blocks: dict[bytes, bytes] = {}
    root = build(sorted(pairs.items()), blocks.__setitem__)
    assert (root, blocks) == oracle.tree(pairs)
    source = MemoryBlocks(blocks)
    assert list(walk(source, root)) == sorted(pairs.items())
    for key in pairs:
        assert get(source, root, key) == pairs[key]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.dictionaries(keys, st.none() | values, max_size=12), max_size=6))
def test_any_history_of_batches_gives_the_tree_of_the_pairs(oracle, batches):
    """History independence, exact created nodes, and a diff that sees the same."""
    store = MemoryBlocks({EMPTY_ROOT: EMPTY_BLOCK})
    root, pairs = EMPTY_ROOT, {}
    old_nodes = {EMPTY_ROOT: EMPTY_BLOCK}
    for batch in batches:
        new = {key: value for key, value in {**pairs, **batch}.items() if value is not None}
        applied = apply(store, root, sorted(batch.items()))
        wanted_root, nodes = oracle.tree(new)
        assert applied.root == wanted_root
        assert applied.created == {cid: block for cid, block in nodes.items() if cid not in old_nodes}
        assert applied.left == old_nodes.keys() - nodes.keys()
        assert sorted(applied.replaced) == sorted(pairs[key] for key in batch.keys() & pairs.keys())
        store.blocks.update(applied.created)
        found = diff(store, root, applied.root)
        assert found.changes == [
            (key, pairs.get(key), new.get(key))
            for key in sorted(pairs.keys() | new.keys())
            if pairs.get(key) != new.get(key)
        ]
        assert found.created == list(applied.created)
        assert set(found.deleted) == old_nodes.keys() - nodes.keys()
        assert sorted(cid for cid, block in walk_blocks(store, applied.root) if block is not None) == sorted(nodes)
        root, pairs, old_nodes = applied.root, new, nodes


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(keys, values, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_one_by_one_in_any_order_with_detours_gives_the_same_root(oracle, pairs, rng):
    """Every key in random order; some written with another value or deleted on the way."""
    store = MemoryBlocks()
    wanted = build(sorted(pairs.items()), {}.__setitem__)
    steps = [(key, dag_cbor_cid(b"other")) for key in pairs] + [(key, None) for key in pairs][::2]
    rng.shuffle(steps)
    final = list(pairs.items())
    rng.shuffle(final)
    root = EMPTY_ROOT
    for step in steps + final:
        applied = apply(store, root, [step])
        store.blocks.update(applied.created)
        root = applied.root
    assert root == wanted
    for key in pairs:
        applied = apply(store, root, [(key, None)])
        store.blocks.update(applied.created)
        root = applied.root
    assert root == EMPTY_ROOT


@settings(deadline=None, max_examples=60)
@given(maps, st.binary(max_size=8) | keys, st.none() | st.binary(max_size=8) | keys)
def test_ranges_and_prefixes_are_the_dictionarys(pairs, start, end):
    store = MemoryBlocks()
    root = build(sorted(pairs.items()), store.put)
    inside = [(k, v) for k, v in sorted(pairs.items()) if k >= start and (end is None or k < end)]
    assert list(walk(store, root, start, end)) == inside
    assert list(walk_prefix(store, root, start)) == [(k, v) for k, v in sorted(pairs.items()) if k.startswith(start)]


def test_every_range_between_and_at_the_keys_of_a_larger_tree(oracle):
    pairs = {b"%03d" % n: oracle.value(n) for n in range(0, 300, 3)}
    store = MemoryBlocks()
    root = build(sorted(pairs.items()), store.put)
    bounds = [b"%03d" % n for n in range(0, 302, 4)]
    for start in bounds:
        for end in bounds:
            assert list(walk(store, root, start, end)) == [(k, v) for k, v in pairs.items() if start <= k < end]


LOPSIDED = {
    "one height only": lambda mined: mined(0, 40),
    "height 1 only": lambda mined: mined(1, 30),
    "heights 0 and 4, so that empty nodes lie between": lambda mined: mined(0, 12) + mined(4, 4),
    "heights 0 and 5, low keys on one side only": lambda mined: mined(0, 20, "a") + mined(5, 2, "t"),
    "one key": lambda mined: mined(6, 1),
    "falling heights": lambda mined: [mined(5 - at, 1, stem)[0] for at, stem in enumerate("abcdef")],
    "rising heights": lambda mined: [mined(at, 1, stem)[0] for at, stem in enumerate("abcdef")],
    "all heights in disorder": lambda mined: [key for at in range(5) for key in mined(at, 5)],
}


@pytest.mark.parametrize("name", LOPSIDED)
def test_keys_chosen_for_their_heights(oracle, name):
    """[MST-5] [MST-6] Every single deletion and insertion, and a random half against the other."""
    names = sorted(LOPSIDED[name](oracle.mined))
    pairs = {key: oracle.value(key) for key in names}
    root, nodes = oracle.tree(pairs)
    store = MemoryBlocks(nodes)
    for key in names:
        fewer = {other: value for other, value in pairs.items() if other != key}
        fewer_root, fewer_nodes = oracle.tree(fewer)
        gone = apply(store, root, [(key, None)])
        assert (gone.root, gone.created) == (fewer_root, {c: b for c, b in fewer_nodes.items() if c not in nodes})
        assert gone.left == nodes.keys() - fewer_nodes.keys()
        back = apply(MemoryBlocks(fewer_nodes), fewer_root, [(key, pairs[key])])
        assert (back.root, back.created) == (root, {c: b for c, b in nodes.items() if c not in fewer_nodes})
        assert back.left == fewer_nodes.keys() - nodes.keys()
    rng = random.Random(name)
    for _ in range(10):
        half = set(rng.sample(names, len(names) // 2))
        one = {key: pairs[key] for key in half}
        other = {key: pairs[key] for key in names if key not in half}
        one_root, one_nodes = oracle.tree(one)
        swapped = apply(MemoryBlocks(one_nodes), one_root, [(key, other.get(key)) for key in names])
        other_root, other_nodes = oracle.tree(other)
        assert swapped.root == other_root
        assert swapped.created == {cid: block for cid, block in other_nodes.items() if cid not in one_nodes}
        assert swapped.left == one_nodes.keys() - other_nodes.keys()


def test_a_large_tree_in_large_batches(oracle):
    """Ten thousand keys; changes that hit every level, against `build`, which the slow tree holds to account."""
    rng = random.Random(7)
    pairs = {b"%08x" % rng.getrandbits(32): oracle.value(n) for n in range(10_000)}
    store = MemoryBlocks()
    root = build(sorted(pairs.items()), store.put)
    for size in (1, 30, 1000, 6000):
        changes = {rng.choice(list(pairs)): None for _ in range(size // 2)}
        changes |= {b"%08x" % rng.getrandbits(32): oracle.value(n) for n in range(size)}
        new = {key: value for key, value in {**pairs, **changes}.items() if value is not None}
        nodes: dict[bytes, bytes] = {}
        wanted = build(sorted(new.items()), nodes.__setitem__)
        applied = apply(store, root, sorted(changes.items()))
        assert applied.root == wanted
        assert applied.created == {cid: block for cid, block in nodes.items() if cid not in store}
        both = MemoryBlocks({**store.blocks, **applied.created})
        found = diff(both, root, wanted)
        assert found.created == list(applied.created)
        assert set(found.deleted) == store.blocks.keys() - nodes.keys()
        for key in rng.sample(sorted(pairs), 20):
            proof = prove(store, root, key)
            assert len(proof.nodes) <= max(map(key_height, pairs)) + 1


class Counting(MemoryBlocks):
    """Counts what a store behind it would pay for."""

    __slots__ = ("calls", "read")

    def __init__(self, blocks):
        super().__init__(blocks)
        self.calls = self.read = 0

    def get(self, cid):
        self.calls += 1
        self.read += 1
        return super().get(cid)

    def get_many(self, cids):
        self.calls += 1
        self.read += len(cids)
        return super().get_many(cids)


def test_sources_are_asked_once_a_level(oracle):
    pairs = {b"%08d" % n: oracle.value(n) for n in range(20_000)}
    blocks: dict[bytes, bytes] = {}
    root = build(sorted(pairs.items()), blocks.__setitem__)
    height = max(map(key_height, pairs))
    changes = [(key, None if at % 3 else oracle.value("new")) for at, key in enumerate(sorted(pairs)[::50])]
    source = Counting(blocks)
    applied = apply(source, root, changes)
    assert source.calls <= height + 2
    assert source.read < 5 * len(changes)
    source = Counting({**blocks, **applied.created})
    diff(source, root, applied.root)
    assert source.calls <= height + 2
    source = Counting(blocks)
    assert list(walk(source, root)) == sorted(pairs.items())
    assert source.read == len(blocks)
    assert source.calls < len(blocks) / 20
    source = Counting(blocks)
    assert len(list(walk_blocks(source, root))) == len(blocks) + len(pairs)
    assert source.read == len(blocks)
    assert source.calls < len(blocks) / 20
    source = Counting(blocks)
    assert list(walk(source, root, b"00010000", b"00010010")) == sorted(pairs.items())[10_000:10_010]
    assert source.read < 40
    for key in sorted(pairs)[::997]:
        source = Counting(blocks)
        assert list(walk(source, root, key, key)) == []
        assert source.read <= len(prove(MemoryBlocks(blocks), root, key).nodes)


def test_a_small_tree_is_read_in_a_few_calls_and_a_wide_one_not_all_at_once(oracle):
    small = {key: oracle.value(key) for key in oracle.mined(0, 200) + oracle.mined(1, 60) + oracle.mined(2, 10)}
    blocks: dict[bytes, bytes] = {}
    root = build(sorted(small.items()), blocks.__setitem__)
    source = Counting(blocks)
    assert list(walk(source, root)) == sorted(small.items())
    assert source.calls <= 4
    wide = {key: oracle.value(key) for key in oracle.mined(0, 12_000) + oracle.mined(1, 3000)}
    root = build(sorted(wide.items()), blocks.__setitem__)
    source = Counting(blocks)
    assert next(walk(source, root)) == min(wide.items())
    assert source.read < 2100
    assert list(walk(source, root)) == sorted(wide.items())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([(b"", EMPTY_ROOT)], id="an empty key"),
        pytest.param([(b"", None)], id="deleting an empty key"),
        pytest.param([(b"k" * (VERSION_KEY_MAX + 1), EMPTY_ROOT)], id="a key too long"),
        pytest.param([(b"b", None), (b"a", None)], id="keys that descend"),
        pytest.param([(b"a", EMPTY_ROOT), (b"a", None)], id="a key twice"),
        pytest.param([(b"a", b"")], id="an empty value, which is not None"),
    ],
)
def test_changes_that_apply_refuses(changes):
    """[MST-2] [MST-7]"""
    with pytest.raises(InvalidInput):
        apply(MemoryBlocks({EMPTY_ROOT: EMPTY_BLOCK}), EMPTY_ROOT, changes)


def test_proving_a_key_that_no_tree_holds_is_refused():
    """[MST-2]"""
    with pytest.raises(InvalidInput):
        prove(MemoryBlocks({EMPTY_ROOT: EMPTY_BLOCK}), EMPTY_ROOT, b"")
