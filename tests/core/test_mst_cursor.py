"""A cursor in a tree: what it gives, against a sorted list, and how many nodes it reads for that."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.mst.build import build
from mstbucket.core.mst.cursor import Cursor
from mstbucket.core.mst.node import EMPTY_BLOCK, encode_node, key_height
from mstbucket.errors import MissingBlock, Untrue
from tests.core.counted import Counted


def tree_of(keys: Collection[bytes]) -> tuple[Counted, CID]:
    blocks = Counted()
    return blocks, build([(key, dag_cbor_cid(key)) for key in sorted(keys)], blocks.put)


def taken(cursor: Cursor, count: int = 1 << 30) -> list[bytes]:
    keys = []
    while len(keys) < count and (pair := cursor.next()) is not None:
        assert pair[1] == dag_cbor_cid(pair[0])
        keys.append(pair[0])
    return keys


KEYS = st.binary(min_size=1, max_size=3)
MOVES = st.lists(st.one_of(st.integers(1, 40), KEYS), max_size=12)


@given(st.sets(KEYS, max_size=120), st.binary(max_size=3), st.none() | KEYS, st.sampled_from([0, 3, 20, 1000]), MOVES)
def test_any_steps_and_jumps_give_what_a_sorted_list_gives(
    keys: set[bytes], start: bytes, end: bytes | None, expected: int, moves: list[int | bytes]
) -> None:
    blocks, root = tree_of(keys)
    ordered = sorted(key for key in keys if key >= start and (end is None or key < end))
    cursor = Cursor(blocks, root, start, end, expected=expected)
    at = 0
    for move in moves:
        if isinstance(move, bytes):
            cursor.seek(move)
            at = max(at, bisect_left(ordered, move))
        else:
            assert taken(cursor, move) == ordered[at : at + move]
            at = min(at + move, len(ordered))
    assert taken(cursor) == ordered[at:]
    assert cursor.next() is None


@pytest.fixture(scope="module")
def large() -> tuple[Counted, CID, list[bytes]]:
    keys = [b"%03d/%04d" % (folder, number) for folder in range(100) for number in range(300)]
    return (*tree_of(keys), keys)


def test_a_jump_over_a_folder_reads_the_way_and_not_the_folder(large: tuple[Counted, CID, list[bytes]]) -> None:
    """[PAST-32] 100 folders of 300 keys: 10,000 nodes."""
    blocks, root, _ = large
    before = len(blocks.read)
    cursor = Cursor(blocks, root)
    folders = []
    while (pair := cursor.next()) is not None:
        folders.append(pair[0][:4])
        cursor.seek(pair[0][:4] + b"\xff")
    assert folders == [b"%03d/" % number for number in range(100)]
    assert len(blocks.read) - before < 100 * 10  # the height of the tree is 7; what two ways have in common is read once


def test_a_long_run_takes_few_calls_and_reads_no_node_twice(large: tuple[Counted, CID, list[bytes]]) -> None:
    blocks, root, keys = large
    for expected, calls in ((0, 150), (1000, 50)):
        read, called = len(blocks.read), blocks.calls
        assert taken(Cursor(blocks, root, expected=expected), 1000) == keys[:1000]
        assert blocks.calls - called < calls
        assert len(blocks.read) - read < 600
    read = len(blocks.read)
    assert taken(Cursor(blocks, root)) == keys
    assert len(blocks.read) - read == len(blocks)


def test_an_end_is_not_read_over(large: tuple[Counted, CID, list[bytes]]) -> None:
    blocks, root, keys = large
    read = len(blocks.read)
    assert taken(Cursor(blocks, root, b"050/", b"050/0010", expected=1000)) == keys[15000:15010]
    assert len(blocks.read) - read < 40


def test_what_is_missing_is_an_error_and_the_pairs_before_it_are_right() -> None:
    keys = [b"%04d" % number for number in range(300)]
    blocks, root = tree_of(keys)
    leaf = next(cid for cid, block in reversed(blocks.blocks.items()) if len(block) < 200 and cid != root)
    del blocks.blocks[leaf]
    cursor = Cursor(blocks, root)
    got: list[bytes] = []
    with pytest.raises(MissingBlock):
        got.extend(key for key, _ in iter(cursor.next, None))
    assert got == keys[: len(got)]


def _key_of_height(height: int, prefix: bytes) -> bytes:
    return next(key for n in range(100_000) if key_height(key := b"%b%d" % (prefix, n)) == height)


def test_a_key_out_of_the_interval_of_its_node_is_refused() -> None:
    """[MST-7]"""
    low, high = _key_of_height(0, b"z"), _key_of_height(1, b"m")
    blocks = Counted()
    leaf = encode_node([low], [dag_cbor_cid(low)], [None, None])
    blocks.put(dag_cbor_cid(leaf), leaf)
    top = encode_node([high], [dag_cbor_cid(high)], [dag_cbor_cid(leaf), None])
    blocks.put(dag_cbor_cid(top), top)
    with pytest.raises(Untrue, match="out of order"):
        taken(Cursor(blocks, dag_cbor_cid(top)))
    top = encode_node([high], [dag_cbor_cid(high)], [None, dag_cbor_cid(leaf)])
    blocks.put(dag_cbor_cid(top), top)
    cursor = Cursor(blocks, dag_cbor_cid(top))
    cursor.seek(b"zz")
    assert cursor.next() is None


def test_an_empty_node_below_the_root_and_one_below_height_0_are_refused() -> None:
    """[MST-5] [MST-8]"""
    for height, message in ((1, "empty subtree"), (0, "deeper")):
        key = _key_of_height(height, b"k")
        blocks = Counted()
        empty = dag_cbor_cid(EMPTY_BLOCK)
        blocks.put(empty, EMPTY_BLOCK)
        top = encode_node([key], [dag_cbor_cid(key)], [None, empty])
        blocks.put(dag_cbor_cid(top), top)
        with pytest.raises(Untrue, match=message):
            taken(Cursor(blocks, dag_cbor_cid(top)))
