"""Every pair of trees over a small set of keys: building, folding changes in, and comparing, against the slow tree."""

from __future__ import annotations

import dag_cbor
import pytest

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff
from mstbucket.core.mst.node import EMPTY_ROOT
from mstbucket.core.mst.proof import prove
from mstbucket.core.mst.walk import get, walk, walk_blocks


@pytest.fixture(scope="module")
def trees(oracle):
    """All subsets of seven keys: pairs, root and nodes."""
    found = []
    for keys in oracle.subsets(oracle.universe()):
        pairs = {key: oracle.value(key) for key in keys}
        found.append((pairs, *oracle.tree(pairs)))
    assert len(found) == 128
    return found


@pytest.fixture(scope="module")
def everything(trees):
    return MemoryBlocks({cid: block for _, _, blocks in trees for cid, block in blocks.items()})


def encoded_order(oracle_blocks, root, decode):
    """The nodes by the definition of the order: a node, the subtrees of its entries, its left subtree."""
    node = decode(oracle_blocks[root])
    found = [root]
    for link in [entry["t"] for entry in node["e"]] + [node["l"]]:
        if link is not None:
            found += encoded_order(oracle_blocks, bytes(link), decode)
    return found


def test_build_writes_exactly_the_nodes_of_the_definition(trees):
    """[MST-1] [MST-3] [MST-4] [MST-5] [MST-6] [MST-7] [MST-8]"""
    for pairs, root, blocks in trees:
        built: dict[bytes, bytes] = {}
        assert build(sorted(pairs.items()), built.__setitem__) == root
        assert built == blocks


def test_walks_and_lookups_give_the_pairs_back(trees, oracle):
    for pairs, root, blocks in trees:
        source = MemoryBlocks(blocks)
        assert list(walk(source, root)) == sorted(pairs.items())
        for key in oracle.universe():
            assert get(source, root, key) == pairs.get(key)


def test_nodes_come_in_encoded_link_order(trees):
    """[MST-9]"""
    for pairs, root, blocks in trees:
        walked = list(walk_blocks(MemoryBlocks(blocks), root))
        assert [cid for cid, block in walked if block is not None] == encoded_order(blocks, root, dag_cbor.decode)
        assert {cid: block for cid, block in walked if block is not None} == blocks
        assert sorted(cid for cid, block in walked if block is None) == sorted(pairs.values())


def test_apply_between_all_pairs_gives_the_root_and_exactly_the_new_nodes(trees):
    """[MST-6] [MST-9]"""
    orders = {root: encoded_order(blocks, root, dag_cbor.decode) for _, root, blocks in trees}
    for old, old_root, old_blocks in trees:
        source = MemoryBlocks(old_blocks)
        for new, new_root, new_blocks in trees:
            # Only what differs: a key written again with its old value would hide that it was lost on the way.
            changes = [(key, new.get(key)) for key in sorted(old.keys() ^ new.keys())]
            applied = apply(source, old_root, changes)
            assert applied.root == new_root
            order = [cid for cid in orders[new_root] if cid not in old_blocks]
            assert applied.created == {cid: new_blocks[cid] for cid in order}
            assert list(applied.created) == order
            assert applied.left == old_blocks.keys() - new_blocks.keys()


def slow_diff(old, new):
    keys = sorted(old.keys() | new.keys())
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def test_diff_of_all_pairs_gives_the_changes_and_exactly_the_nodes(trees, everything):
    orders = {root: encoded_order(blocks, root, dag_cbor.decode) for _, root, blocks in trees}
    for old, old_root, old_blocks in trees:
        for new, new_root, new_blocks in trees:
            found = diff(everything, old_root, new_root)
            assert found.changes == slow_diff(old, new)
            assert found.created == [cid for cid in orders[new_root] if cid not in old_blocks]
            assert found.deleted == [cid for cid in orders[old_root] if cid not in new_blocks]


def test_updates_of_every_subset_in_every_tree(trees, oracle):
    """Values change, keys stay: the shape stays, and exactly the ways to those keys are new."""
    universe = oracle.universe()
    for pairs, root, blocks in trees[::3]:
        for keys in list(oracle.subsets(universe))[::5]:
            changes = [(key, oracle.value((key, "new"))) for key in keys if key in pairs]
            wanted_root, wanted = oracle.tree({**pairs, **dict(changes)})
            applied = apply(MemoryBlocks(blocks), root, changes)
            assert applied.root == wanted_root
            assert applied.created == {cid: block for cid, block in wanted.items() if cid not in blocks}
            assert applied.left == blocks.keys() - wanted.keys()


def test_deleting_what_is_not_there_and_writing_what_is_there_changes_nothing(trees, oracle):
    for pairs, root, blocks in trees:
        for key in oracle.universe():
            applied = apply(MemoryBlocks(blocks), root, [(key, pairs.get(key))])
            assert (applied.root, applied.created) == (root, {})
            assert not applied.left


def test_a_proof_is_the_nodes_on_the_way_to_the_key(trees, oracle):
    """[MST-11]"""
    for _, root, blocks in trees:
        for key in oracle.universe():
            proof = prove(MemoryBlocks(blocks), root, key)
            assert (proof.root, proof.key) == (root, key)
            assert list(proof.nodes) == slow_path(blocks, root, key, dag_cbor.decode)


def slow_path(blocks, root, key, decode):
    node = decode(blocks[root])
    link, before = node["l"], b""
    for entry in node["e"]:
        before = before[: entry["p"]] + entry["k"]
        if before == key:
            return [blocks[root]]
        if before > key:
            break
        link = entry["t"]
    return [blocks[root]] + ([] if link is None else slow_path(blocks, bytes(link), key, decode))


def test_the_empty_tree_is_the_one_everybody_knows(trees):
    """[MST-6]"""
    from mstbucket.core.cid import to_text

    assert to_text(EMPTY_ROOT) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
    assert trees[0][1] == EMPTY_ROOT
