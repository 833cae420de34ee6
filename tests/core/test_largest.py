"""The largest object that S3 takes, 10,000 parts of 5 GiB, fits every form: by arithmetic, without writing it."""

from __future__ import annotations

import hashlib
from itertools import islice, repeat
from pathlib import Path

import pytest

from mstbucket.core import manifest as manifests
from mstbucket.core import varint
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.body_builder import DagBuilder
from mstbucket.core.cid import dag_pb_cid, raw_cid
from mstbucket.core.compose import DIGEST, Composer
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.parts import check_sizes
from mstbucket.core.unixfs import body_height, decode_file, open_block, plan_range
from mstbucket.core.unixfs_shape import _node_length, _tree_length, child_sizes, encode_node, span
from mstbucket.errors import EntityTooLarge, InvalidBlock, InvalidInput
from mstbucket.limits import (
    CHUNK_SIZE,
    LINKS_PER_NODE,
    MANIFEST_BLOCK_MAX,
    OBJECT_SIZE_MAX,
    PART_SIZE_MAX,
    PARTS_MAX,
    PUT_SIZE_MAX,
    SEQ_MAX,
    UNIXFS_NODE_MAX,
)
from mstbucket.spill.seen import NUMBER_BITS
from mstbucket.verify import manifest as judge
from mstbucket.verify.replay import _SIZES

CHUNK = raw_cid(bytes(CHUNK_SIZE))
NODE = dag_pb_cid(b"some node")


def test_it_is_what_ten_thousand_parts_can_be() -> None:
    """[MPU-2] and every number about it is one that Postgres and DAG-CBOR peers hold."""
    assert OBJECT_SIZE_MAX == PARTS_MAX * PART_SIZE_MAX == 50_000 * 2**30
    assert PART_SIZE_MAX % CHUNK_SIZE == 0
    check_sizes([PART_SIZE_MAX] * PARTS_MAX)
    with pytest.raises(EntityTooLarge):
        check_sizes([PART_SIZE_MAX] * PARTS_MAX + [1])
    assert _tree_length(OBJECT_SIZE_MAX, 3) < SEQ_MAX  # Tsize of the root, with all nodes below
    assert len(varint.encode(_tree_length(OBJECT_SIZE_MAX, 3))) <= 9
    assert 100_000 * OBJECT_SIZE_MAX < SEQ_MAX  # what a commit sums up


def test_the_digests_of_a_part_are_a_value_that_postgres_takes() -> None:
    """1 GB is the most in one value; what a completion holds at a time is 64 of these."""
    assert DIGEST * PART_SIZE_MAX // CHUNK_SIZE == 160 * 1024


def test_every_node_of_it_stays_far_below_the_limit() -> None:
    """[BODY-4] three levels, [BODY-11] at most 256 KiB; the last node of each level is the odd one."""
    assert body_height(OBJECT_SIZE_MAX) == 3
    assert span(3) >= OBJECT_SIZE_MAX
    size = OBJECT_SIZE_MAX
    for height in (3, 2, 1):
        count, each, last = child_sizes(size, height)
        block = encode_node([NODE if height > 1 else CHUNK] * count, size, height)
        assert len(block) == _node_length(size, height) < UNIXFS_NODE_MAX
        assert len(encode_node([NODE if height > 1 else CHUNK] * LINKS_PER_NODE, span(height), height)) < UNIXFS_NODE_MAX
        node = decode_file(block)
        assert (node.size, node.height, len(node.links)) == (size, height, count)
        assert open_block(block, size, height) == node.links
        [(_, at, length)] = plan_range(node, size - 1, size)
        assert (at + length, length) == (size, last)
        assert each == span(height - 1)
        size = last
    assert size == CHUNK_SIZE


def test_the_nodes_of_it_are_as_many_as_the_specification_says() -> None:
    """The table of spec/format/05-body.md."""
    chunks = OBJECT_SIZE_MAX // CHUNK_SIZE
    nodes = 0
    while chunks > 1:
        chunks = -(-chunks // LINKS_PER_NODE)
        nodes += chunks
    text = (Path(__file__).parents[2] / "spec" / "format" / "05-body.md").read_text(encoding="utf-8")
    assert f"| up to 48.8 TiB | 3 | up to {nodes:,} |" in text


def test_its_manifest_names_ten_thousand_parts_and_the_judge_takes_it() -> None:
    """[MAN-7] [MAN-13]"""
    made = Manifest(
        content=NODE, size=OBJECT_SIZE_MAX, etag=f"{'0' * 32}-{PARTS_MAX}", content_type="x", created=1, modified=1,
        parts=(PART_SIZE_MAX,) * PARTS_MAX,
    )  # fmt: skip
    block = manifests.encode(made)
    assert len(block) < MANIFEST_BLOCK_MAX // 8
    assert manifests.decode(block) == made
    assert judge.read(block).size == OBJECT_SIZE_MAX
    with pytest.raises(InvalidInput):
        manifests.encode(Manifest(NODE, OBJECT_SIZE_MAX + 1, "0", "x", 1, 1))


def test_the_judge_remembers_its_size_beside_the_height() -> None:
    """`verify` keeps height and size of each body block as one number."""
    assert body_height(OBJECT_SIZE_MAX) * _SIZES + OBJECT_SIZE_MAX < (1 << NUMBER_BITS) - 1


def test_a_level_of_it_is_built_as_its_arithmetic_says() -> None:
    """[BODY-7] a whole subtree of 1 GiB, chunk by chunk, has the size and the Tsize that stand in the nodes above."""
    dag = DagBuilder()
    made = [block for _ in range(LINKS_PER_NODE) for block in dag.add(CHUNK, CHUNK_SIZE)]
    assert [len(block) for _, block in made] == [_node_length(span(1), 1)]
    assert _tree_length(span(1), 1) == span(1) + len(made[0][1])
    above = encode_node([made[0][0]] * LINKS_PER_NODE, span(2), 2)
    assert _tree_length(span(2), 2) == LINKS_PER_NODE * _tree_length(span(1), 1) + len(above)


@pytest.mark.slow
def test_the_whole_of_it_is_composed_of_its_parts_digests_alone() -> None:
    """[MPU-7] 51,200,000 chunks, of which no byte is read: the root is the one that the arithmetic gives."""
    digests = hashlib.sha256(bytes(CHUNK_SIZE)).digest() * (PART_SIZE_MAX // CHUNK_SIZE)
    nodes = []
    composer = Composer(MemoryBlocks(), lambda _, block: nodes.append(len(block)))
    for part in repeat(digests, PARTS_MAX):
        composer.add(PART_SIZE_MAX, part)
    body = composer.finish()
    assert body.size == OBJECT_SIZE_MAX
    assert body.root == _root_of_equal_chunks()
    assert OBJECT_SIZE_MAX + sum(nodes) == _tree_length(OBJECT_SIZE_MAX, 3)


def _root_of_equal_chunks() -> bytes:
    """The root of the largest body of zeros: full nodes are all alike, so each level takes two."""
    full = last = CHUNK
    for height in (1, 2, 3):
        size = OBJECT_SIZE_MAX - (-(-OBJECT_SIZE_MAX // span(height)) - 1) * span(height)
        node = encode_node([full] * (child_sizes(size, height)[0] - 1) + [last], size, height)
        full, last = dag_pb_cid(encode_node([full] * LINKS_PER_NODE, span(height), height)), dag_pb_cid(node)
    return last


def test_a_body_above_it_is_refused_chunk_by_chunk_and_in_one_put_far_earlier() -> None:
    """[MPU-22] one put ends where one blob ends."""
    dag = DagBuilder()
    dag.size = OBJECT_SIZE_MAX
    with pytest.raises(EntityTooLarge):
        dag.add(CHUNK, CHUNK_SIZE)
    with pytest.raises(InvalidBlock):
        decode_file(encode_node([NODE] * child_sizes(OBJECT_SIZE_MAX + 1, 3)[0], OBJECT_SIZE_MAX + 1, 3))
    assert PUT_SIZE_MAX < OBJECT_SIZE_MAX


@pytest.mark.parametrize(
    ("sizes", "anew"),
    [
        ([PART_SIZE_MAX] * PARTS_MAX, 0),
        ([*([PART_SIZE_MAX] * (PARTS_MAX - 1)), PART_SIZE_MAX - 1], 0),
        ([PART_SIZE_MAX - 1, *([PART_SIZE_MAX] * 1023), PART_SIZE_MAX], 1024 * PART_SIZE_MAX),
        ([PART_SIZE_MAX - 1, *([PART_SIZE_MAX] * 1024), 1], 1024 * PART_SIZE_MAX + 1),
        ([PART_SIZE_MAX - 1, PART_SIZE_MAX - CHUNK_SIZE + 1, *([PART_SIZE_MAX] * 9000)], PART_SIZE_MAX - CHUNK_SIZE + 1),
        ([PART_SIZE_MAX - 1] * PARTS_MAX, 9999 * PART_SIZE_MAX),
    ],
    ids=["whole", "a short last one", "just so", "one byte more", "whole again after two", "never whole"],
)
def test_what_would_have_to_be_cut_anew_is_known_before_anything_is_read(sizes: list[int], anew: int) -> None:
    """[MPU-22] up to what one blob takes."""
    if anew <= PUT_SIZE_MAX:
        check_sizes(sizes)
        return
    with pytest.raises(EntityTooLarge, match="parts of whole MiB"):
        check_sizes(sizes)


def test_the_sum_of_what_is_cut_anew_is_what_a_composition_reads() -> None:
    """[MPU-22] against the composer itself, on small parts."""
    parts = [3 * CHUNK_SIZE, CHUNK_SIZE // 2, CHUNK_SIZE, CHUNK_SIZE // 2, 2 * CHUNK_SIZE, 7]
    blocks, cut = MemoryBlocks(), list[int]()
    composer = Composer(blocks, lambda cid, block: cut.append(len(block)) if cid.startswith(CHUNK[:2]) else None)
    for size in parts:
        chunks = [bytes(min(CHUNK_SIZE, size - at)) for at in range(0, size, CHUNK_SIZE)]
        for chunk in chunks:
            blocks.put(raw_cid(chunk), chunk)
        composer.add(size, b"".join(hashlib.sha256(chunk).digest() for chunk in chunks))
    composer.finish()
    starts = [sum(islice(parts, number)) for number in range(len(parts))]
    anew = sum(size for size, start in zip(parts, starts, strict=True) if start % CHUNK_SIZE)
    assert anew == CHUNK_SIZE + CHUNK_SIZE // 2
    assert sum(cut) == anew + CHUNK_SIZE // 2  # and the short chunk before them
