"""What changed between two trees, against two dictionaries; and how many nodes are read for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.diff import Change, diff
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT, encode_node, key_height
from mstbucket.errors import Untrue
from tests.core.counted import Counted

Pairs = dict[bytes, CID]


def tree_of(blocks: MemoryBlocks, pairs: Pairs) -> CID:
    return build(sorted(pairs.items()), blocks.put)


def oracle(old: Pairs, new: Pairs, start: bytes, end: bytes | None) -> list[Change]:
    keys = sorted(key for key in old.keys() | new.keys() if key >= start and (end is None or key < end))
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


VALUES = st.sampled_from([dag_cbor_cid(b"1"), dag_cbor_cid(b"2")])
PAIRS = st.dictionaries(st.binary(min_size=1, max_size=2), VALUES, max_size=80)


@given(PAIRS, PAIRS, st.booleans(), st.binary(max_size=2), st.none() | st.binary(min_size=1, max_size=2))
def test_it_is_what_two_dictionaries_say(base: Pairs, other: Pairs, onto: bool, start: bytes, end: bytes | None) -> None:
    """[PAST-36]"""
    old, new = base, {**base, **other} if onto else other
    here, there = Counted(), Counted()
    trees = Tree(here, tree_of(here, old)), Tree(there, tree_of(there, new))
    assert list(changes(*trees, start, end)) == oracle(old, new, start, end)


def test_all_pairs_of_small_trees() -> None:
    """[PAST-36] every two subsets of seven keys, the heights of which are 0 to 3."""
    keys = [next(k for n in range(9999) if key_height(k := b"%d-%d" % (at, n)) == height)
            for at, height in enumerate([0, 1, 0, 3, 0, 2, 0])]  # fmt: skip
    blocks = Counted()
    subsets = [{key: dag_cbor_cid(key) for at, key in enumerate(keys) if bits >> at & 1} for bits in range(128)]
    roots = [tree_of(blocks, pairs) for pairs in subsets]
    for old, a in zip(subsets, roots, strict=True):
        for new, b in zip(subsets, roots, strict=True):
            assert list(changes(Tree(blocks, a), Tree(blocks, b))) == oracle(old, new, b"", None)


@pytest.fixture(scope="module")
def large() -> tuple[Counted, Pairs, CID]:
    pairs = {b"%03d/%04d" % (folder, number): dag_cbor_cid(b"%d" % number) for folder in range(100) for number in range(300)}
    blocks = Counted()
    return blocks, pairs, tree_of(blocks, pairs)


def changed(large: tuple[Counted, Pairs, CID], some: dict[bytes, CID | None]) -> tuple[CID, list[Change]]:
    blocks, pairs, root = large
    done = apply(blocks, root, sorted(some.items()))
    for cid, block in done.created.items():
        blocks.put(cid, block)
    return done.root, [(key, pairs.get(key), value) for key, value in sorted(some.items())]


def test_few_changes_in_a_large_tree_read_the_nodes_that_differ(large: tuple[Counted, Pairs, CID]) -> None:
    """[PAST-36] 30 changes of 30,000 keys, in all of 10,000 nodes."""
    blocks, pairs, root = large
    some: dict[bytes, CID | None] = {key: dag_cbor_cid(b"new") for key in sorted(pairs)[::3000]}
    some |= dict.fromkeys(sorted(pairs)[7::3000])
    some |= {b"%03d/new" % number: dag_cbor_cid(b"new") for number in range(0, 100, 10)}
    new, wanted = changed(large, some)
    exact = diff(blocks, root, new)
    blocks.read.clear()
    blocks.calls = 0
    assert list(changes(Tree(blocks, root), Tree(blocks, new))) == wanted
    assert len(blocks.read) <= (len(exact.created) + len(exact.deleted)) * 1.2 + 10
    assert blocks.calls < 60


def test_a_prefix_is_compared_without_reading_elsewhere(large: tuple[Counted, Pairs, CID]) -> None:
    """[PAST-36]"""
    blocks, pairs, root = large
    new, wanted = changed(large, {key: dag_cbor_cid(b"new") for key in sorted(pairs)[::10]})
    blocks.read.clear()
    assert list(changes(Tree(blocks, root), Tree(blocks, new), b"050/", b"050/0100")) == [
        change for change in wanted if b"050/" <= change[0] < b"050/0100"
    ]
    assert len(blocks.read) < 200


def test_trees_that_share_nothing_are_compared_with_many_nodes_at_a_time(large: tuple[Counted, Pairs, CID]) -> None:
    """[PAST-36] and each node is read once."""
    blocks, pairs, root = large
    blocks.put(EMPTY_ROOT, EMPTY_BLOCK)
    for old, new in ((EMPTY_ROOT, root), (root, EMPTY_ROOT)):
        blocks.read.clear()
        blocks.calls = 0
        found = changes(Tree(blocks, old), Tree(blocks, new))
        assert next(found)[0] == min(pairs)
        assert len(blocks.read) < 4500
        assert sum(1 for _ in found) == len(pairs) - 1
        assert blocks.calls < 1200
        assert len(blocks.read) == len(set(blocks.read))
    other = Counted()
    there = tree_of(other, {key: dag_cbor_cid(b"other") for key in pairs})
    assert sum(1 for _ in changes(Tree(blocks, root), Tree(other, there))) == len(pairs)
    assert other.calls < 2500


def _key_of_height(height: int, prefix: bytes) -> bytes:
    return next(key for n in range(100_000) if key_height(key := b"%b%d" % (prefix, n)) == height)


def test_trees_that_break_the_rules_are_refused() -> None:
    """[MST-5] [MST-7] [MST-8]"""
    blocks = Counted()
    blocks.put(EMPTY_ROOT, EMPTY_BLOCK)

    def put(keys: list[bytes], links: list[CID | None]) -> CID:
        block = encode_node(keys, [dag_cbor_cid(key) for key in keys], links)
        blocks.put(dag_cbor_cid(block), block)
        return dag_cbor_cid(block)

    low, mid, high = _key_of_height(0, b"z"), _key_of_height(1, b"m"), _key_of_height(0, b"m")
    wrong = {
        "out of order": put([mid], [put([low], [None, None]), None]),
        "empty subtree": put([mid], [EMPTY_ROOT, None]),
        "deeper": put([high], [put([low], [None, None]), None]),
    }
    good = put([mid], [None, None])
    for said, root in wrong.items():
        for pair in ((good, root), (root, good)):
            with pytest.raises(Untrue, match=said):
                list(changes(*(Tree(blocks, one) for one in pair)))
