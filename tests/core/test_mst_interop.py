"""The public fixtures of atproto, and the golden roots of our own."""

from __future__ import annotations

from hashlib import sha256

import pytest

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import dag_cbor_cid, from_text, to_text
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.core.mst.diff import diff
from mstbucket.core.mst.node import common_prefix, key_height
from mstbucket.core.mst.proof import prove
from tests.core.generators import load_generator


def test_heights_of_the_fixture(oracle):
    """[MST-1]"""
    rows = oracle.json("atproto-interop/mst/key_heights.json")
    assert len(rows) == 9
    for row in rows:
        assert key_height(row["key"].encode()) == row["height"], row
        assert oracle.height(row["key"].encode()) == row["height"], row


def test_heights_of_the_example_keys(oracle):
    """[MST-1] The digit after the letter is the height."""
    keys = oracle.key_lines()
    assert len(keys) == 156
    assert [key_height(key.encode()) for key in keys] == [int(key[1]) for key in keys]


def test_common_prefixes_of_the_fixture(oracle):
    """[MST-4]"""
    rows = oracle.json("atproto-interop/mst/common_prefix.json")
    assert len(rows) == 13
    for row in rows:
        left, right = row["left"].encode(), row["right"].encode()
        assert common_prefix(left, right) == common_prefix(right, left) == row["len"], row


def test_the_example_keys_make_the_tree_of_the_definition(oracle):
    pairs = {key.encode(): oracle.value(key) for key in oracle.key_lines()}
    root, blocks = oracle.tree(pairs)
    built: dict[bytes, bytes] = {}
    assert build(sorted(pairs.items()), built.__setitem__) == root
    assert built == blocks


@pytest.mark.parametrize("at", range(6))
def test_commit_proofs_of_the_fixture(oracle, at):
    """The roots before and after, and as proof the new nodes and the ways to the changed keys and their neighbours.

    [MST-11]
    """
    cases = oracle.json("atproto-interop/firehose/commit-proof-fixtures.json")
    assert len(cases) == 6
    case = cases[at]
    value = from_text(case["leafValue"])
    blocks = MemoryBlocks()
    before = build([(key.encode(), value) for key in sorted(case["keys"])], blocks.put)
    assert to_text(before) == case["rootBeforeCommit"]
    changes = {**dict.fromkeys(case["adds"], value), **dict.fromkeys(case["dels"])}
    applied = apply(blocks, before, [(key.encode(), changes[key]) for key in sorted(changes)])
    assert to_text(applied.root) == case["rootAfterCommit"]

    for cid, block in applied.created.items():
        blocks.put(cid, block)
    assert diff(blocks, before, applied.root).created == list(applied.created)
    after = sorted((set(case["keys"]) | set(case["adds"])) - set(case["dels"]))
    in_proof = set(applied.created)
    for key in changes:
        left = [other for other in after if other < key][-1:]
        right = [other for other in after if other > key][:1]
        for wanted in (key, *left, *right):
            in_proof |= {dag_cbor_cid(node) for node in prove(blocks, applied.root, wanted.encode()).nodes}
    assert {to_text(cid) for cid in in_proof} == set(case["blocksInProof"])


@pytest.fixture(scope="module")
def generator():
    return load_generator("generate_tree")


@pytest.mark.parametrize("kind", ["photo", "text", "long", "version", "counted"])
def test_golden_roots_are_made_again(generator, oracle, kind):
    rows = oracle.json(f"tree-{kind}.json")
    assert [row["keys"] for row in rows] == list(generator.COUNTS)
    assert rows == [generator.describe(kind, count) for count in generator.COUNTS]
    for row in rows[:4]:
        assert to_text(oracle.tree(dict(generator.pairs_of(kind, row["keys"])))[0]) == row["root"]


@pytest.mark.parametrize("kind", ["photo", "text", "long", "version", "counted"])
def test_the_golden_roots_follow_from_what_the_files_and_the_specification_say(oracle, kind):
    """[MST-6] Without the generator: the keys that are listed, or counted, and the rule for their values."""
    for row in oracle.json(f"tree-{kind}.json")[:5]:
        counted = [b"k/%07d" % n for n in range(row["keys"])]
        keys = counted if kind == "counted" else [bytes.fromhex(key) for key in row.get("key_list", [])]
        if len(keys) == row["keys"]:
            values = [b"\x01\x71\x12\x20" + sha256(b"value of " + key).digest() for key in keys]
            assert to_text(oracle.tree(dict(zip(keys, values, strict=True)))[0]) == row["root"]


def test_the_worked_example_of_the_specification(oracle):
    value = from_text("bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454")
    blocks: dict[bytes, bytes] = {}
    root = build([(b"a/21", value), (b"a/23", value), (b"a/25", value)], blocks.__setitem__)
    text = (oracle.fixtures.parent / "spec" / "format" / "03-tree.md").read_text(encoding="utf-8")
    assert len(blocks) == 3
    for cid in blocks:
        assert to_text(cid) in text
    assert f"{to_text(root)}, {len(blocks[root])} bytes" in text
