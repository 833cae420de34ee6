"""The walk over everything a commit reaches, against the obvious recursion; whatever of it is at hand already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core import closure as walking
from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, dagcbor, manifest
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import CID, dag_cbor_cid, dag_pb_cid, raw_cid
from mstbucket.core.closure import closure, commit_links, links_of
from mstbucket.core.commit import Commit
from mstbucket.core.dagcbor import Link
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.build import build
from mstbucket.core.unixfs_shape import body_height, encode_node
from mstbucket.errors import FormatError
from mstbucket.limits import CHUNK_SIZE, LINKS_PER_NODE

TIME = 1_766_000_000_000


class Seen(set[bytes]):
    """A set whose `add` says whether the element is new."""

    def add(self, cid: CID) -> bool:  # type: ignore[override]
        if cid in self:
            return False
        super().add(cid)
        return True


def put_commit(blocks: MemoryBlocks, pairs: dict[bytes, CID]) -> CID:
    tree = build(sorted(pairs.items()), blocks.put)
    block = commits.encode(Commit(commit_fields.bucket_id(bytes(16)), "things", 1, tree, TIME, len(pairs), 0))
    blocks.put(dag_cbor_cid(block), block)
    return dag_cbor_cid(block)


def put_object(blocks: MemoryBlocks, content: CID, size: int) -> CID:
    block = manifest.encode(Manifest(content, size, "0" * 32, "text/plain", TIME, TIME))
    blocks.put(dag_cbor_cid(block), block)
    return dag_cbor_cid(block)


def slowly(blocks: MemoryBlocks, cid: CID, seen: set[bytes], root: bool = True) -> Iterator[CID]:
    """The oracle: depth first, links as encoded, every block once."""
    if cid in seen:
        return
    seen.add(cid)
    yield cid
    block = blocks.get(cid)
    for link, _ in commit_links(block) if root else links_of(cid, block):
        yield from slowly(blocks, link, seen, False)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_closure_is_what_the_recursion_gives(data: st.DataObject) -> None:
    """[CAR-11] for every width, whatever is at hand, whatever was seen before, with bodies that are shared"""
    blocks = MemoryBlocks()
    pairs: dict[bytes, CID] = {}
    for n in range(data.draw(st.integers(0, 300))):
        body = b"%d" % (n // data.draw(st.sampled_from([1, 1, 1, 7])))
        blocks.put(raw_cid(body), body)
        pairs[b"key/%d" % n] = put_object(blocks, raw_cid(body), len(body))
    commit = put_commit(blocks, pairs)
    every = list(slowly(blocks, commit, set()))
    hand = set(data.draw(st.sampled_from([[], every, every[::2], every[len(every) // 3 :]])))
    known = set(data.draw(st.lists(st.sampled_from(every[1:]), max_size=9))) if len(every) > 1 else set()
    seen = Seen(known)
    width = data.draw(st.sampled_from([1, 3, 64]))
    found = closure(blocks, commit, seen, width, lambda cid: blocks.blocks.get(cid) if cid in hand else None)
    assert list(found) == [(cid, blocks.get(cid)) for cid in slowly(blocks, commit, set(known))]


@pytest.mark.parametrize(("width", "at_hand"), [(1, False), (64, False), (1, True)])
def test_a_body_that_is_one_chunk_five_million_times_is_four_blocks(
    width: int, at_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its nodes leads to one block by 1,024 ways. Nobody goes all of them before the first is walked."""
    read = 0

    def counting(cid: CID, block: bytes) -> tuple[walking.Link, ...]:
        nonlocal read
        read += 1
        return links_of(cid, block)

    monkeypatch.setattr(walking, "links_of", counting)
    blocks = MemoryBlocks()
    chunk = bytes(CHUNK_SIZE)
    cid, size = raw_cid(chunk), CHUNK_SIZE
    blocks.put(cid, chunk)
    for height in (1, 2):
        size *= LINKS_PER_NODE
        node = encode_node([cid] * LINKS_PER_NODE, size, height)
        cid = dag_pb_cid(node)
        blocks.put(cid, node)
    node = encode_node([cid] * 4, 4 * size, 3)
    blocks.put(dag_pb_cid(node), node)
    assert body_height(4 * size) == 3
    pairs = {b"%d" % n: put_object(blocks, dag_pb_cid(node), 4 * size) for n in range(3)}
    commit = put_commit(blocks, pairs)
    near = blocks.blocks.get if at_hand else walking.nothing_near
    assert [one for one, _ in closure(blocks, commit, Seen(), width, near)] == list(slowly(blocks, commit, set()))
    assert read <= 20


NO_LINKS = ["x", "x" * 36, 7, [1] * 36, {"a": 1}, b"x", b"x" * 36, b"\x01\x71\x12\x20", b"\x01\x71\x12\x20" + bytes(33), 0.5]


@pytest.mark.parametrize("wrong", NO_LINKS, ids=repr)
def test_what_is_no_link_is_a_declared_error(wrong: Any) -> None:
    """[CID-1] A delta and a join walk blocks that nobody has judged; a fuzzer found that."""
    good = Link(raw_cid(b"a"))
    entry = {"k": b"k", "p": 0, "t": None, "v": good}
    nodes = [[entry | {"v": wrong}], [entry | {"v": None}], [entry | {"t": wrong}], [wrong]]
    blocks: list[Any] = [{"e": entries, "l": None} for entries in nodes]
    blocks += [{"e": [entry], "l": wrong}, {"content": wrong, "size": 1}, {"content": good, "size": str(wrong)}]
    for value in blocks:
        block = dagcbor.encode(value)
        with pytest.raises(FormatError):
            links_of(dag_cbor_cid(block), block)
