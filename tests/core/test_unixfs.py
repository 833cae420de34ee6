"""Bodies: building, strict reading, range plans. spec/format/05-body.md; published CIDs are in test_unixfs_profile.py."""

from __future__ import annotations

import tracemalloc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core import body_builder, unixfs, unixfs_shape
from mstbucket.core.body_builder import BodyBuilder, DagBuilder
from mstbucket.core.cid import CID, DAG_PB_PREFIX, RAW_PREFIX, dag_pb_cid, raw_cid
from mstbucket.core.unixfs import decode_file, open_block, plan_range
from mstbucket.core.unixfs_shape import body_height, encode_node, span
from mstbucket.errors import EntityTooLarge, InvalidBlock, InvalidInput, InvalidRange, Untrue

MIB = 2**20

# --- the oracle: protobuf written field by field, levels grouped from below ----------------------------------------


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def number(field: int, n: int) -> bytes:
    return varint(field << 3) + varint(n)


def string(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def link(cid: CID, tsize: int, name: bytes = b"\x12\x00") -> bytes:
    return string(2, string(1, cid) + name + number(3, tsize))


def file_data(size: int, sizes: list[int]) -> bytes:
    return string(1, number(1, 2) + number(3, size) + b"".join(number(4, one) for one in sizes))


def oracle(data: bytes, chunk: int, width: int) -> tuple[CID, dict[CID, bytes]]:
    chunks = [data[i : i + chunk] for i in range(0, len(data), chunk)] or [b""]
    blocks = {raw_cid(one): one for one in chunks}
    level = [(raw_cid(one), len(one), len(one)) for one in chunks]
    while len(level) > 1:
        groups = [level[i : i + width] for i in range(0, len(level), width)]
        level = []
        for group in groups:
            size = sum(one[1] for one in group)
            block = b"".join(link(cid, tsize) for cid, _, tsize in group) + file_data(size, [one[1] for one in group])
            blocks[dag_pb_cid(block)] = block
            level.append((dag_pb_cid(block), size, len(block) + sum(one[2] for one in group)))
    return level[0][0], blocks


@contextmanager
def tiny(chunk: int = 4, width: int = 3, largest: int = 1000) -> Iterator[None]:
    """Make chunks and nodes so small that every shape can be built."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (body_builder, unixfs_shape):
            patch.setattr(module, "CHUNK_SIZE", chunk)
        for module in (body_builder, unixfs, unixfs_shape):
            patch.setattr(module, "LINKS_PER_NODE", width)
        for module in (body_builder, unixfs):
            patch.setattr(module, "OBJECT_SIZE_MAX", largest)
        patch.setattr(body_builder, "PUT_SIZE_MAX", largest)
        unixfs_shape._tree_length.cache_clear()
        yield
    unixfs_shape._tree_length.cache_clear()


def build(*pieces: bytes) -> tuple[CID, dict[CID, bytes]]:
    """Return root and blocks, having checked that every child came before its parent."""
    builder = BodyBuilder()
    blocks: dict[CID, bytes] = {}
    size = sum(map(len, pieces))
    handed = [block for piece in pieces for block in builder.feed(piece)]
    body = builder.finish()
    for cid, block in handed + body.blocks:
        assert cid == (raw_cid(block) if cid.startswith(RAW_PREFIX) else dag_pb_cid(block))
        if cid.startswith(DAG_PB_PREFIX):
            assert all(child in blocks for child, _ in decode_file(block).links)
        blocks[cid] = block
    assert body.size == size
    return body.root, blocks


def read(root: CID, size: int, blocks: dict[CID, bytes]) -> bytes:
    """Read a body as a strict reader does: every block at its place."""
    out, pending = [], [(root, size, body_height(size))]
    while pending:
        cid, size, height = pending.pop()
        links = open_block(blocks[cid], size, height)
        if height == 0:
            out.append(blocks[cid])
        pending += [(child, below, height - 1) for child, below in reversed(links)]
    return b"".join(out)


# --- building --------------------------------------------------------------------------------------------------------


def test_every_small_shape_against_the_oracle() -> None:
    """[BODY-2] [BODY-3] [BODY-4] [BODY-5] [BODY-7] four levels of nodes, every size, distinct bytes."""
    data = bytes(range(256))
    with tiny():
        for size in range(250):
            root, blocks = build(data[:size])
            assert (root, blocks) == oracle(data[:size], 4, 3)
            assert read(root, size, blocks) == data[:size]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=30), max_size=12))
def test_the_blocks_do_not_depend_on_how_the_stream_was_cut(pieces: list[bytes]) -> None:
    """[BODY-1]"""
    with tiny():
        assert build(*pieces) == build(b"".join(pieces)) == oracle(b"".join(pieces), 4, 3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3 * MIB + 5), st.sampled_from([999, 65536, MIB - 1, MIB, MIB + 1, 4 * MIB]), st.binary(min_size=9))
def test_real_chunks_against_the_oracle(size: int, step: int, seed: bytes) -> None:
    """[BODY-1] [BODY-3]"""
    data = (seed * (size // len(seed) + 1))[:size]
    assert build(*(data[i : i + step] for i in range(0, size, step))) == oracle(data, MIB, 1024)


def test_single_bytes_and_reused_buffers() -> None:
    """[BODY-1] the builder keeps no reference to a buffer that the caller may change."""
    with tiny(chunk=1000, largest=10000):
        data = sha256(b"x").digest() * 80
        assert build(*(data[i : i + 1] for i in range(len(data)))) == oracle(data, 1000, 3)
        builder, buffer, blocks = BodyBuilder(), bytearray(7), []
        for i in range(0, len(data), 7):
            part = data[i : i + 7]
            buffer[: len(part)] = part
            blocks += list(builder.feed(memoryview(buffer)[: len(part)]))
        body = builder.finish()
        assert (body.root, dict(blocks + body.blocks)) == oracle(data, 1000, 3)
        builder = BodyBuilder()
        wide = list(builder.feed(memoryview(array("Q", data))))
        body = builder.finish()
        assert (body.root, dict(wide + body.blocks)) == oracle(data, 1000, 3)


@pytest.mark.parametrize("chunks", [1, 2, 1023, 1024, 1025, 2048, 2049])
def test_chunks_without_bytes_compose_the_same_body(chunks: int) -> None:
    """[BODY-1] [BODY-4] the DAG follows from (CID, size) of the chunks: here of bodies of up to 2 GiB."""
    leaves = [(RAW_PREFIX + sha256(b"%d" % i).digest(), MIB) for i in range(chunks - 1)]
    leaves.append((RAW_PREFIX + sha256(b"last").digest(), 17))
    builder = DagBuilder()
    made = [block for leaf in leaves for block in builder.add(*leaf)]
    body = builder.finish()
    level = [(cid, size, size) for cid, size in leaves]
    count = 0
    while len(level) > 1:
        groups = [level[i : i + 1024] for i in range(0, len(level), 1024)]
        level = []
        for group in groups:
            block = b"".join(link(cid, t) for cid, _, t in group) + file_data(
                sum(size for _, size, _ in group), [size for _, size, _ in group]
            )
            level.append((dag_pb_cid(block), sum(g[1] for g in group), len(block) + sum(g[2] for g in group)))
            count += 1
    assert (body.root, body.size, len(made) + len(body.blocks)) == (level[0][0], (chunks - 1) * MIB + 17, count)


def test_a_tebibyte_and_a_byte_holds_a_thousand_links_a_level() -> None:
    """[BODY-4] height 3 in bounded memory, without its bytes."""
    builder = DagBuilder()
    leaf = raw_cid(b"one of many")
    nodes = 0
    for _ in range(1024 * 1024):
        nodes += len(builder.add(leaf, MIB))
    assert max(map(len, builder._cids)) <= 1024
    assert nodes == 1024 + 1
    builder.add(leaf, 1)
    body = builder.finish()
    assert body.size == 2**40 + 1
    assert body_height(body.size) == 3
    root = decode_file(body.blocks[-1][1])
    assert [size for _, size in root.links] == [2**40, 1]
    assert [len(decode_file(block).links) for _, block in body.blocks] == [1, 1, 2]


def test_memory_does_not_grow_with_the_body() -> None:
    builder, piece = BodyBuilder(), bytes(65536)
    tracemalloc.start()
    for _ in range(1024):
        for _block in builder.feed(piece):
            pass
    builder.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_a_whole_chunk_is_not_copied() -> None:
    piece = bytes(MIB)
    [(_, block)] = BodyBuilder().feed(piece)
    assert block is piece


def test_misuse_of_the_builders() -> None:
    """[BODY-3]"""
    builder = BodyBuilder()
    builder.feed(b"taken by nobody")
    with pytest.raises(InvalidInput, match="not all taken"):
        builder.feed(b"more")
    with pytest.raises(InvalidInput, match="not all taken"):
        builder.finish()
    dag = DagBuilder()
    with pytest.raises(InvalidInput, match="at least one chunk"):
        dag.finish()
    for size in (-1, MIB + 1):
        with pytest.raises(InvalidInput, match="cannot follow at byte 0"):
            dag.add(raw_cid(b""), size)
    dag.add(raw_cid(b"a"), MIB)
    with pytest.raises(InvalidInput, match="0 bytes cannot follow"):
        dag.add(raw_cid(b""), 0)
    dag.add(raw_cid(b"b"), 5)
    with pytest.raises(InvalidInput, match="1 bytes cannot follow"):
        dag.add(raw_cid(b"c"), 1)
    with pytest.raises(InvalidInput, match="2 children"):
        encode_node([raw_cid(b"a")] * 2, 10, 1)


def test_bodies_above_the_largest_size_are_refused() -> None:
    with tiny():
        builder = BodyBuilder()
        list(builder.feed(bytes(1000)))
        with pytest.raises(EntityTooLarge, match="1000 bytes"):
            builder.feed(b"x")
        dag = DagBuilder()
        for _ in range(250):
            dag.add(raw_cid(bytes(4)), 4)
        with pytest.raises(EntityTooLarge):
            dag.add(raw_cid(b"x"), 1)


# --- reading ---------------------------------------------------------------------------------------------------------

A, B, C = (raw_cid(one) for one in (b"a", b"b", b"c"))
NODE_CID = dag_pb_cid(b"node")
GOOD = link(A, MIB) + link(B, 5) + file_data(MIB + 5, [MIB, 5])


def test_the_block_that_the_refused_ones_derive_from_is_good() -> None:
    node = decode_file(GOOD)
    assert (node.links, node.size, node.height) == (((A, MIB), (B, 5)), MIB + 5, 1)
    assert encode_node([A, B], MIB + 5, 1) == GOOD


REFUSED = {
    "no bytes": b"",
    "data before the links": file_data(MIB + 5, [MIB, 5]) + link(A, MIB) + link(B, 5),
    "no links: a small file wrapped in a node": string(1, number(1, 2) + string(2, b"hello") + number(3, 5)),
    "no data": link(A, MIB) + link(B, 5),
    "an absent name": link(A, MIB, b"") + link(B, 5) + file_data(MIB + 5, [MIB, 5]),
    "a name": link(A, MIB, string(2, b"x")) + link(B, 5) + file_data(MIB + 5, [MIB, 5]),
    "Tsize one too high": link(A, MIB + 1) + link(B, 5) + file_data(MIB + 5, [MIB, 5]),
    "no Tsize": string(2, string(1, A) + b"\x12\x00") + link(B, 5) + file_data(MIB + 5, [MIB, 5]),
    "a file size that is not the sum": link(A, MIB) + link(B, 5) + file_data(MIB + 6, [MIB, 5]),
    "block sizes missing": link(A, MIB) + link(B, 5) + file_data(MIB + 5, []),
    "block sizes packed": link(A, MIB)
    + link(B, 5)
    + string(1, number(1, 2) + number(3, MIB + 5) + string(4, varint(MIB) + varint(5))),
    "block sizes that swap": link(A, MIB) + link(B, 5) + file_data(MIB + 5, [5, MIB]),
    "a short chunk first": link(A, 5) + link(B, MIB) + file_data(MIB + 5, [5, MIB]),
    "chunks of 256 KiB": link(A, 2**18) + link(B, 5) + file_data(2**18 + 5, [2**18, 5]),
    "inline data": link(A, MIB)
    + link(B, 5)
    + string(1, number(1, 2) + string(2, b"") + number(3, MIB + 5) + number(4, MIB) + number(4, 5)),
    "type raw": link(A, MIB) + link(B, 5) + string(1, number(1, 0) + number(3, MIB + 5) + number(4, MIB) + number(4, 5)),
    "a directory": string(2, string(1, A) + string(2, b"a") + number(3, 5)) + string(1, number(1, 1)),
    "a mode": link(A, MIB)
    + link(B, 5)
    + string(1, number(1, 2) + number(3, MIB + 5) + number(4, MIB) + number(4, 5) + number(7, 0o644)),
    "a byte after the end": GOOD + b"\0",
    "a field after the end": GOOD + number(9, 1),
    "cut by one byte": GOOD[:-1],
    "cut in a link": GOOD[:20],
    "a length above the block": b"\x12\xff\xff\xff\xff\x0f\x0a\x24" + A,
    "a varint of ten bytes": b"\x12" + b"\xff" * 9 + b"\x01",
    "a length not minimal": b"\x12\xad\x00" + GOOD[2:],
    "a chunk and a node": link(A, MIB) + link(NODE_CID, 5) + file_data(MIB + 5, [MIB, 5]),
    "a link to dag-cbor": link(b"\x01\x71\x12\x20" + A[4:], MIB) + link(B, 5) + file_data(MIB + 5, [MIB, 5]),
    "a CIDv0": string(2, string(1, b"\x12\x20" + A[4:]) + b"\x12\x00" + number(3, 5)) + file_data(5, [5]),
    "a link over no bytes": link(A, 0) + file_data(0, [0]),
    "an empty last chunk": link(A, MIB) + link(B, 0) + file_data(MIB, [MIB, 0]),
    "a size above the largest object": link(NODE_CID, 5) + file_data(2**60, [2**60]),
    "1,025 links": link(A, MIB) * 1025 + file_data(1025 * MIB, [MIB] * 1025),
    "more than a node may have": bytes(256 * 1024 + 1),
}


@pytest.mark.parametrize("block", REFUSED.values(), ids=REFUSED.keys())
def test_refused_nodes(block: bytes) -> None:
    """[BODY-3] [BODY-4] [BODY-5] [BODY-6] [BODY-7] [BODY-8] [BODY-9] [BODY-11] [BODY-12]"""
    with pytest.raises(InvalidBlock):
        decode_file(block)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("data before the links", "does not start with a link"),
        ("no data", "no UnixFS data after its 2 links"),
        ("a directory", "type File"),
        ("a CIDv0", "link 0 of a file node"),
        ("a length above the block", "link 0 of a file node"),
        ("a varint of ten bytes", "not dag-pb"),
        ("a link over no bytes", "states 0 bytes"),
        ("a size above the largest object", "states 1152921504606846976 bytes"),
        ("1,025 links", "more than 1024 links"),
        ("more than a node may have", "262145 bytes, more than 262144"),
        ("an absent name", "unixfs-v1-2025"),
    ],
)
def test_messages_say_what_is_wrong(name: str, says: str) -> None:
    """[BODY-11] the size is looked at first, so its message wins."""
    with pytest.raises(InvalidBlock, match=says):
        decode_file(REFUSED[name])


def test_every_flipped_bit_is_noticed() -> None:
    """[BODY-9] a flip is refused, or changes nothing but the digest of a child."""
    upper = encode_node([NODE_CID, dag_pb_cid(b"other")], span(1) + 77, 2)
    for block in (GOOD, upper):
        whole = decode_file(block)
        accepted = 0
        for bit in range(8 * len(block)):
            flipped = bytearray(block)
            flipped[bit >> 3] ^= 1 << (bit & 7)
            try:
                node = decode_file(bytes(flipped))
            except InvalidBlock:
                continue
            accepted += 1
            assert (node.size, node.height, len(node.links)) == (whole.size, whole.height, 2)
            assert [cid[:4] for cid, _ in node.links] == [cid[:4] for cid, _ in whole.links]
        assert accepted == 2 * 32 * 8


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: GOOD[:60] + tail))
def test_arbitrary_bytes_give_a_node_or_invalid_block(block: bytes) -> None:
    """[BODY-9]"""
    try:
        node = decode_file(block)
    except InvalidBlock:
        return
    assert encode_node([cid for cid, _ in node.links], node.size, node.height) == block


def test_a_node_with_one_link_has_one_height() -> None:
    """[BODY-10] the last node of a level may have one child; Tsize tells how many levels lie below."""
    low = encode_node([NODE_CID], 7, 2)
    high = encode_node([NODE_CID], 7, 3)
    assert low != high
    assert (decode_file(low).height, decode_file(high).height) == (2, 3)


def test_blocks_out_of_place() -> None:
    """[BODY-10] good blocks, wrong sizes and heights."""
    assert open_block(GOOD, MIB + 5, 1) == ((A, MIB), (B, 5))
    assert open_block(b"", 0, 0) == ()
    with pytest.raises(Untrue, match="4 bytes where 5"):
        open_block(b"four", 5, 0)
    with pytest.raises(Untrue, match="height 1 over 1048581 bytes stands where height 1 over 1048582"):
        open_block(GOOD, MIB + 6, 1)
    with pytest.raises(Untrue, match="height 2"):
        open_block(GOOD, MIB + 5, 2)


@pytest.mark.parametrize(
    ("size", "height"),
    [(0, 0), (MIB, 0), (MIB + 1, 1), (2**30, 1), (2**30 + 1, 2), (2**40, 2), (2**40 + 1, 3), (50_000 * 2**30, 3)],
)
def test_heights(size: int, height: int) -> None:
    """[BODY-4]"""
    assert body_height(size) == height


# --- range plans -----------------------------------------------------------------------------------------------------


def test_every_range_of_small_bodies() -> None:
    """Planning again in children that are nodes, then cutting, gives exactly the bytes asked for."""
    data = bytes(range(100))
    with tiny():
        for size in (5, 12, 13, 36, 37, 41, 100):
            root, blocks = build(data[:size])
            for start in range(size):
                for end in range(start + 1, size + 1):
                    assert fetch(root, start, end, blocks) == data[start:end]


def fetch(cid: CID, start: int, end: int, blocks: dict[CID, bytes]) -> bytes:
    if cid.startswith(RAW_PREFIX):
        assert start < end, "a child without a byte of the range was planned"
        return blocks[cid][start:end]
    plan = plan_range(decode_file(blocks[cid]), start, end)
    return b"".join(fetch(child, max(start - offset, 0), min(end - offset, size), blocks) for child, offset, size in plan)


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (4, 3), (0, MIB + 6)])
def test_ranges_outside_the_node(start: int, end: int) -> None:
    with pytest.raises(InvalidRange):
        plan_range(decode_file(GOOD), start, end)
