"""Proofs: every key and every gap of small trees, and every way to tamper with a proof."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.keys import version_key
from mstbucket.core.mst.proof import prove
from mstbucket.errors import HashMismatch, InvalidBlock, InvalidInput, MissingBlock, MstBucketError, Untrue
from mstbucket.limits import VERSION_KEY_MAX
from mstbucket.verify.key_path import verify_proof

NAMES = [b"%03d" % n for n in range(0, 40, 2)]


def value(key: bytes) -> bytes:
    return dag_cbor_cid(key)


def path(forge: Any, root: bytes, key: bytes) -> list[bytes]:
    """The proof by definition: the nodes that a search passes."""
    nodes: list[bytes] = []
    link: bytes | None = root
    while link is not None:
        nodes.append(forge.get(link))
        link, entries = forge.read(nodes[-1])
        if key in dict(entries):
            return nodes
        for found, after in entries:
            link = after if found < key else link
    return nodes


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 20])
def test_every_key_and_every_gap(forge: Any, count: int) -> None:
    """[VER-13] [VER-14] Of trees of several sizes: each key, and the gap before, between and after all keys."""
    pairs = {key: value(key) for key in NAMES[:count]}
    root = forge.tree(pairs)
    for n in range(-1, 2 * count + 1):
        key = b"%03d" % n if n >= 0 else b"!"
        nodes = path(forge, root, key)
        assert verify_proof(root, key, nodes) == pairs.get(key)
        # [VER-14] one node less, anywhere: the end is missing, or the next one is another block
        for at in range(len(nodes)):
            with pytest.raises((MissingBlock, HashMismatch)):
                verify_proof(root, key, nodes[:at] + nodes[at + 1 :])
        # [VER-14] one node more, anywhere
        for at in range(len(nodes) + 1):
            for extra in (nodes[0], nodes[-1], b"\xa0"):
                with pytest.raises((Untrue, HashMismatch)):
                    verify_proof(root, key, [*nodes[:at], extra, *nodes[at:]])


def test_the_provers_proofs_are_those_by_definition(forge: Any) -> None:
    root = forge.tree({key: value(key) for key in NAMES})
    for n in range(41):
        key = b"%03d" % n
        assert list(prove(forge, root, key).nodes) == path(forge, root, key)


@settings(deadline=None, max_examples=40)
@given(st.sets(st.binary(min_size=1, max_size=3).filter(lambda k: k.isascii() and 0 not in k), max_size=40), st.data())
def test_a_proof_of_one_key_proves_no_other(forge_type: Any, keys: set[bytes], data: Any) -> None:
    """Of any proof and any key: the answer is the tree's, or there is none."""
    forge = forge_type()
    pairs = {key: value(key) for key in keys}
    root = forge.tree(pairs)
    asked = st.one_of(st.sampled_from(sorted(keys)), st.binary(min_size=1, max_size=3)) if keys else st.just(b"x")
    one, other = data.draw(asked), data.draw(asked)
    nodes = path(forge, root, one)
    assert verify_proof(root, one, nodes) == pairs.get(one)
    try:
        assert verify_proof(root, other, nodes) == pairs.get(other)
    except (MissingBlock, HashMismatch, Untrue):
        assert path(forge, root, other) != nodes


def test_every_flipped_bit_of_a_proof_is_noticed(forge: Any) -> None:
    """[VER-13]"""
    root = forge.tree({key: value(key) for key in NAMES})
    nodes = path(forge, root, NAMES[3])
    for number, block in enumerate(nodes):
        for at in range(len(block)):
            wrong = block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]
            with pytest.raises(HashMismatch):
                verify_proof(root, NAMES[3], [*nodes[:number], wrong, *nodes[number + 1 :]])


def test_the_nodes_of_another_tree_prove_nothing(forge: Any) -> None:
    """[VER-13] A tree without the key is shown for one with it."""
    root = forge.tree({key: value(key) for key in NAMES})
    without = forge.tree({key: value(key) for key in NAMES[1:]})
    with pytest.raises(HashMismatch):
        verify_proof(root, NAMES[0], path(forge, without, NAMES[0]))


def test_a_node_at_the_wrong_place_is_refused(forge: Any, keys_of_height: Any) -> None:
    """[VER-13] The hashes fit, the tree does not: what a search would find here is hidden from others."""
    (top,), (stray,) = keys_of_height(1, 1, b"m"), keys_of_height(0, 1, b"a")
    child = forge.keyed(None, [(stray, value(stray), None)])
    root = forge.keyed(None, [(top, value(top), child)])
    with pytest.raises(Untrue, match="between"):
        verify_proof(root, b"n", [forge.get(root), forge.get(child)])


def test_no_nodes_prove_nothing(forge: Any) -> None:
    """[VER-14]"""
    with pytest.raises(MissingBlock):
        verify_proof(forge.tree({}), b"a", [])


def test_a_versions_tree_is_proved_by_its_own_rules(forge: Any) -> None:
    key = version_key(b"a", 5)
    root = forge.tree({key: value(key)})
    assert verify_proof(root, key, [forge.get(root)], key_max=VERSION_KEY_MAX) == value(key)
    with pytest.raises(InvalidBlock):
        verify_proof(root, key, [forge.get(root)])
    with pytest.raises(InvalidInput):
        verify_proof(root, key, [forge.get(root)], key_max=5)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=36), st.binary(max_size=5), st.lists(st.binary(max_size=50), max_size=3))
def test_any_bytes_are_refused_with_a_declared_error(root: bytes, key: bytes, nodes: list[bytes]) -> None:
    with pytest.raises(MstBucketError):
        verify_proof(root, key, nodes)
