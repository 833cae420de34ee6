"""Bodies composed of parts against the body of the same bytes in one go; and what was read to make them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.cid import raw_cid
from mstbucket.core.compose import Composer
from mstbucket.errors import InvalidInput, MissingBlock
from mstbucket.limits import CHUNK_SIZE, LINKS_PER_NODE

DATA = random.Random(4).randbytes(7 * CHUNK_SIZE)


class Counting(MemoryBlocks):
    """Blocks that note which of them were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def get(self, cid: bytes) -> bytes:
        self.asked.append(cid)
        return super().get(cid)

    def get_many(self, cids: Collection[bytes]) -> Mapping[bytes, bytes]:
        self.asked += cids
        return super().get_many(cids)


def chunks_of(part: bytes) -> list[bytes]:
    return [part[at : at + CHUNK_SIZE] for at in range(0, len(part), CHUNK_SIZE)] or [b""]


def in_one_go(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    builder = BodyBuilder()
    blocks = dict(builder.feed(data))
    body = builder.finish()
    return body.root, blocks | dict(body.blocks)


def composed(sizes: list[int]) -> tuple[bytes, bytes, Counting, dict[bytes, bytes], bytes | None]:
    """Compose parts of these sizes: the bytes, the root, the blocks with what was read of them, what was put, `kept`."""
    stored, made = Counting(), dict[bytes, bytes]()
    composer = Composer(stored, made.__setitem__)
    at = 0
    for size in sizes:
        part, at = DATA[at : at + size], at + size
        for chunk in chunks_of(part):
            stored.put(raw_cid(chunk), chunk)
        composer.add(size, b"".join(hashlib.sha256(chunk).digest() for chunk in chunks_of(part)))
    body = composer.finish()
    assert (body.size, body.blocks) == (at, [])
    return DATA[:at], body.root, stored, made, composer.kept


SIZES = st.one_of(
    st.integers(0, 3),
    st.builds(lambda n, off: max(0, n * CHUNK_SIZE + off), st.integers(0, 2), st.sampled_from([-1, 0, 0, 0, 1])),
    st.integers(0, 2 * CHUNK_SIZE),
)


@settings(max_examples=60)
@given(st.lists(SIZES, max_size=6).filter(lambda sizes: sum(sizes) <= len(DATA)))
def test_any_split_gives_the_body_of_the_same_bytes(sizes: list[int]) -> None:
    """[MPU-7], [BODY-1]; every block of the body was stored with a part or put, and nothing else was put."""
    data, root, stored, made, kept = composed(sizes)
    wanted_root, wanted = in_one_go(data)
    assert root == wanted_root
    assert made.items() <= wanted.items()
    assert all(cid in made or stored.get(cid) == block for cid, block in wanted.items())
    if kept is not None:
        assert kept == raw_cid(chunks_of(data)[-1])


@pytest.mark.parametrize(
    ("sizes", "read"),
    [
        ([3 * CHUNK_SIZE, CHUNK_SIZE, 2 * CHUNK_SIZE], []),
        ([3 * CHUNK_SIZE, CHUNK_SIZE, 5], []),
        ([2 * CHUNK_SIZE + 1, 3], [(2 * CHUNK_SIZE, 1), (2 * CHUNK_SIZE + 1, 3)]),
        ([2 * CHUNK_SIZE + 1, 0], []),
        ([CHUNK_SIZE + 9, CHUNK_SIZE - 9, CHUNK_SIZE], [(CHUNK_SIZE, 9), (CHUNK_SIZE + 9, CHUNK_SIZE - 9)]),
        ([7, CHUNK_SIZE], [(0, 7), (7, CHUNK_SIZE)]),
    ],
    ids=["multiples", "a short last part", "one byte too many", "an empty part behind", "fits again", "all of it"],
)
def test_only_what_lies_across_a_boundary_is_read(sizes: list[int], read: list[tuple[int, int]]) -> None:
    """[MPU-8]."""
    _, _, stored, _, _ = composed(sizes)
    assert stored.asked == [raw_cid(DATA[at : at + size]) for at, size in read]


def test_many_chunks_make_nodes_of_nodes() -> None:
    digest = hashlib.sha256(bytes(CHUNK_SIZE)).digest()
    made: dict[bytes, bytes] = {}
    composer = Composer(MemoryBlocks(), made.__setitem__)
    for _ in range(LINKS_PER_NODE // 8 + 1):
        composer.add(8 * CHUNK_SIZE, digest * 8)
    body = composer.finish()
    assert body.size == (LINKS_PER_NODE + 8) * CHUNK_SIZE
    assert len(made) == 3


def test_what_cannot_be_composed_is_refused() -> None:
    composer = Composer(MemoryBlocks(), dict[bytes, bytes]().__setitem__)
    with pytest.raises(InvalidInput, match=r"does not have 2 chunks"):
        composer.add(CHUNK_SIZE, bytes(64))
    composer.add(1, bytes(32))
    with pytest.raises(MissingBlock):
        composer.add(1, bytes(32))
