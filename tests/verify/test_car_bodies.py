"""Bodies of several chunks in an export: every height, shared parts, and every way not to be the profile's."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from mstbucket.core import unixfs_shape
from mstbucket.core.cid import DAG_PB_PREFIX, RAW_PREFIX, dag_pb_cid, raw_cid
from mstbucket.errors import ExtraBlock, InvalidBlock, MissingBlock, Untrue
from mstbucket.limits import MIB
from mstbucket.verify import replay
from mstbucket.verify.car import CarReport, verify_car


def verify(data: bytes) -> CarReport:
    return verify_car(io.BytesIO(data))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 4 bytes and 3 links a node, so that small bodies have every shape."""
    from mstbucket.core import body_builder, manifest, unixfs
    from mstbucket.verify import manifest as quick

    for module in (unixfs_shape, unixfs, body_builder, manifest, quick, replay):
        if hasattr(module, "CHUNK_SIZE"):
            monkeypatch.setattr(module, "CHUNK_SIZE", 4)
        if hasattr(module, "LINKS_PER_NODE"):
            monkeypatch.setattr(module, "LINKS_PER_NODE", 3)
    unixfs_shape._tree_length.cache_clear()


@pytest.fixture
def deep(forge: Any, small_chunks: None) -> Iterator[Any]:
    yield forge
    unixfs_shape._tree_length.cache_clear()


def test_bodies_of_every_height_and_shared_parts_pass(deep: Any) -> None:
    """[VER-17] Every length up to four levels; of equal bytes, so that chunks and whole subtrees are shared."""
    objects = {b"%03d" % n: deep.manifest(b"x" * n) for n in range(130)}
    objects |= {b"other/%03d" % n: deep.manifest(bytes(range(n))) for n in range(100, 130)}
    root = deep.bucket(objects)
    report = verify(deep.car(root))
    assert report.objects == 160
    assert report.blocks == len(deep.order(root))


def test_each_block_of_deep_bodies_missing_is_noticed(deep: Any) -> None:
    """[VER-18]"""
    root = deep.bucket({b"a": deep.manifest(bytes(range(40))), b"b": deep.manifest(bytes(range(12)))})
    order = deep.order(root)
    verify(deep.car(root))
    for at in range(len(order)):
        with pytest.raises((MissingBlock, ExtraBlock)):
            verify(deep.car(root, order[:at] + order[at + 1 :]))
        with pytest.raises((MissingBlock, ExtraBlock)):
            verify(deep.car(root, [*order[: at + 1], order[at], *order[at + 1 :]]))


def node(forge: Any, children: list[bytes], size: int, height: int) -> bytes:
    block = unixfs_shape.encode_node(children, size, height)
    forge.put(dag_pb_cid(block), block)
    return dag_pb_cid(block)


def raw(forge: Any, data: bytes) -> bytes:
    forge.put(raw_cid(data), data)
    return raw_cid(data)


BODIES: list[Any] = [
    pytest.param(lambda f: (node(f, [raw(f, b"abcd"), raw(f, b"efg")], 8, 1), 8), id="a last chunk that is short"),
    pytest.param(lambda f: (node(f, [raw(f, b"abc"), raw(f, b"efgh")], 8, 1), 8), id="a first chunk that is short"),
    pytest.param(lambda f: (node(f, [raw(f, b"abcd"), raw(f, b"efgh")], 8, 1), 7), id="a size that is not the node's"),
    pytest.param(lambda f: (node(f, [raw(f, b"abcd")], 4, 1), 5), id="a root of one link"),
    pytest.param(
        lambda f: (node(f, [node(f, [raw(f, b"abcd"), raw(f, b"efgh")], 8, 1)], 8, 2), 8), id="a level too many"
    ),
    pytest.param(
        lambda f: (
            node(f, [node(f, [raw(f, b"abcd")] * 3, 12, 1), node(f, [raw(f, b"abcd"), raw(f, b"e")], 5, 1)], 16, 2),
            16,
        ),
        id="a node of another size",
    ),
    pytest.param(
        lambda f: (node(f, [(deep := node(f, [raw(f, b"abcd")] * 3, 12, 1)), deep, raw(f, b"e")], 25, 2), 25),
        id="a chunk among nodes",
    ),
    pytest.param(lambda f: (node(f, [f.value({}), raw(f, b"efgh")], 8, 1), 8), id="a link to dag-cbor"),
    pytest.param(lambda f: (dag_pb_cid(b""), 8) if f.put(dag_pb_cid(b""), b"") is None else None, id="an empty node"),
]


@pytest.mark.parametrize("make", BODIES)
@pytest.mark.parametrize("before", [False, True], ids=["alone", "with its chunks shared"])
def test_a_body_that_is_not_the_profiles(deep: Any, make: Any, before: bool) -> None:
    """[VER-17]"""
    content, size = make(deep)
    wrong = deep.manifest(b"", content=content, size=size)
    objects = {b"z": wrong}
    if before:
        objects |= {b"%d" % n: deep.manifest(data) for n, data in enumerate([b"abcd", b"efgh", b"efg", b"abc", b"e"])}
    del deep.blocks[raw_cid(b"")]
    root = deep.bucket(objects)
    order = _walk(deep, root)
    with pytest.raises((Untrue, InvalidBlock)):
        verify(deep.car(root, order))


def _walk(forge: Any, root: bytes) -> list[bytes]:
    """The order of an export, for bodies whose nodes a strict reader refuses."""
    seen: dict[bytes, None] = {}
    stack = [root]
    while stack:
        cid = stack.pop()
        if cid in seen or cid not in forge:
            continue
        seen[cid] = None
        if cid.startswith(DAG_PB_PREFIX):
            block = forge.get(cid)
            found = [block[at + 4 : at + 40] for at in range(len(block)) if block[at + 2 : at + 4] == b"\x0a\x24"]
            stack += reversed(found)
        elif not cid.startswith(RAW_PREFIX):
            stack += reversed(forge.links(cid))
    return list(seen)


def test_a_subtree_shared_at_another_height_is_noticed(deep: Any) -> None:
    """[VER-17] A chunk of one byte and a node over that chunk have one size, not one height."""
    chunk = raw(deep, b"x")
    full = node(deep, [raw(deep, b"abcd")] * 3, 12, 1)
    low = node(deep, [chunk], 1, 1)
    high = node(deep, [node(deep, [full] * 3, 36, 2), node(deep, [low], 1, 2)], 37, 3)
    wrong = node(deep, [node(deep, [full] * 3, 36, 2), low], 37, 3)
    good = deep.manifest(b"", content=high, size=37)
    bad = deep.manifest(b"", content=wrong, size=37)
    del deep.blocks[raw_cid(b"")]
    root = deep.bucket({b"a": good})
    assert verify(deep.car(root, _walk(deep, root))).blocks == 10
    for keys in ({b"a": good, b"b": bad}, {b"b": bad}):
        root = deep.bucket(keys)
        with pytest.raises(Untrue, match="height"):
            verify(deep.car(root, _walk(deep, root)))


def test_a_body_of_real_chunks_passes(forge: Any) -> None:
    """One mebibyte and a byte, and three mebibytes of which two are equal."""
    objects = {b"a": forge.manifest(bytes(MIB) + b"x"), b"b": forge.manifest(bytes(2 * MIB) + b"y" * MIB)}
    report = verify(forge.car(forge.bucket(objects)))
    assert report.bytes == 4 * MIB + 1
    assert report.blocks == 1 + report.nodes + 2 + 2 + 3


def test_memory_does_not_follow_the_file(forge: Any) -> None:
    """[CAR-9] [VER-20] A body of 40 MiB is verified in a few."""
    data = forge.car(forge.bucket({b"a": forge.manifest(b"".join(bytes([n]) * MIB for n in range(40)))}))
    stream = io.BytesIO(data)
    tracemalloc.start()
    try:
        assert verify_car(stream).bytes == 40 * MIB
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
