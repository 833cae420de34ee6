"""Directories of UnixFS: the published CIDs, and a slow oracle that is written another way. spec/format/35-files-view.md."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.cid import raw_cid, to_text
from mstbucket.core.murmur3 import murmur3_64
from mstbucket.core.unixfs_directory import Entry, directory, is_sharded, link_length, node_kind, sharded_directory
from mstbucket.core.unixfs_shape import body_length
from mstbucket.errors import Unsupported
from mstbucket.limits import DIRECTORY_BLOCK_MAX
from tests.core.test_unixfs_profile import PUBLISHED, keystream

DIRECTORIES = PUBLISHED["directories"]


class Kept:
    """Takes nodes, and keeps them by their numbers."""

    def __init__(self) -> None:
        self.nodes: list[tuple[bytes, tuple[Entry, ...]]] = []

    def __call__(self, block: bytes, links: Sequence[Entry]) -> int:
        self.nodes.append((block, tuple(links)))
        return len(self.nodes) - 1


def make(entries: list[Entry], kept: Kept) -> Entry:
    """The directory of these entries, sharded where it has to be."""
    if is_sharded(sum(link_length(len(entry.name), entry.tsize) for entry in entries)):
        return sharded_directory(sorted((murmur3_64(entry.name), entry) for entry in entries), kept)
    return directory(sorted(entries), kept)


def published_names(last: int) -> list[bytes]:
    sizes = [11] * 4765 + [last]
    stream = b"".join(keystream("hamt-unixfs-v1-2025", sum(sizes)))
    alphabet = DIRECTORIES["alphabet"].encode()
    letters = bytes(alphabet[byte % 39] for byte in stream)
    return [letters[11 * n : 11 * n + size] for n, size in enumerate(sizes)]


@pytest.mark.parametrize("case", DIRECTORIES["cases"], ids=lambda case: f"the last of {case['last_name']} characters")
def test_published_directories(case: dict[str, object]) -> None:
    """[FILES-3] [FILES-4] [FILES-5] Of exactly the bytes that one node may have, and of one byte more."""
    last = case["last_name"]
    assert isinstance(last, int)
    kept = Kept()
    made = make([Entry(name, raw_cid(b"x"), 1, 0) for name in published_names(last)], kept)
    assert to_text(made.cid) == case["cid"]
    assert (len(kept.nodes) > 1) == case["sharded"]
    assert node_kind(kept.nodes[made.place][0]) == ("sharded directory" if case["sharded"] else "directory")
    if not case["sharded"]:
        assert len(kept.nodes[0][0]) == DIRECTORY_BLOCK_MAX


def test_the_empty_directory_is_the_published_one() -> None:
    """[FILES-3]"""
    made = directory([], Kept())
    assert to_text(made.cid) == DIRECTORIES["empty"]
    assert made.tsize == 4


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "0000000000000000"),
        ("hello", "cbd8a7b341bd9b02"),
        ("hello, world", "342fac623a5ebc8e"),
        ("19 Jan 2038 at 3:14:07 AM", "b89e5988b737affc"),
        ("The quick brown fox jumps over the lazy dog.", "cd99481f9ee902c9"),
    ],
)
def test_the_hash_of_names_is_that_of_others(text: str, digest: str) -> None:
    """[FILES-5] The values that the tests of spaolacci/murmur3, which kubo uses, hold."""
    assert murmur3_64(text.encode()).hex() == digest


# --- the oracle: recursion over dictionaries, and protobuf field by field ---------------------------------------------

Found = tuple[bytes, bytes, int]  # name, CID, Tsize


def varint(number: int) -> bytes:
    digits = []
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit)
        if number == 0:
            return bytes([*(digit + 128 for digit in digits[:-1]), digits[-1]])


def number(field: int, value: int) -> bytes:
    return varint(field * 8) + varint(value)


def data(field: int, value: bytes) -> bytes:
    return varint(field * 8 + 2) + varint(len(value)) + value


def node(links: list[Found], message: bytes) -> tuple[bytes, int, list[bytes]]:
    """CID, Tsize and the block of a node."""
    block = b"".join(data(2, data(1, cid) + data(2, name) + number(3, tsize)) for name, cid, tsize in sorted(links))
    block += data(1, message)
    return b"\x01\x70\x12\x20" + sha256(block).digest(), len(block) + sum(tsize for _, _, tsize in links), [block]


def shard(entries: dict[bytes, Found], depth: int) -> tuple[bytes, int, list[bytes]]:
    """CID, Tsize and blocks, the root last, of a shard with what has these hashes."""
    links, blocks = [], []
    for slot in range(256):
        here = {digest: entry for digest, entry in entries.items() if digest[depth] == slot}
        if len(here) == 1:
            [(name, cid, tsize)] = here.values()
            links.append((f"{slot:02X}".encode() + name, cid, tsize))
        elif here:
            cid, tsize, below = shard(here, depth + 1)
            links.append((f"{slot:02X}".encode(), cid, tsize))
            blocks += below
    field = ["0"] * 256
    for name, _, _ in links:
        field[255 - int(name[:2], 16)] = "1"
    octets = [int("".join(field[at : at + 8]), 2) for at in range(0, 256, 8)]
    while octets and octets[0] == 0:
        octets.pop(0)
    cid, tsize, own = node(links, number(1, 5) + data(2, bytes(octets)) + number(5, 0x22) + number(6, 256))
    return cid, tsize, blocks + own


# Hashes out of few bytes, so that most of them begin alike.
DIGESTS = st.lists(st.sampled_from([0, 1, 7, 8, 128, 255]), min_size=8, max_size=8).map(bytes)
NEAR = st.builds(lambda digest, end: digest[: 8 - len(end)] + end, st.just(bytes(8)), st.binary(min_size=1, max_size=3))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=60).map(str.encode)
SIZES = st.integers(0, 2**50)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(DIGESTS | NEAR | st.binary(min_size=8, max_size=8), st.tuples(NAMES, SIZES), max_size=40))
def test_a_sharded_directory_is_the_one_of_the_oracle(content: dict[bytes, tuple[bytes, int]]) -> None:
    """[FILES-5] Root, Tsize, and all nodes, children before parents; and each node has the links that it was made of."""
    entries = {digest: Entry(name, raw_cid(name), tsize, 5) for digest, (name, tsize) in content.items()}
    kept = Kept()
    made = sharded_directory(sorted(entries.items()), kept)
    cid, tsize, blocks = shard({digest: entry[:3] for digest, entry in entries.items()}, 0)
    assert (made.cid, made.tsize) == (cid, tsize)
    assert [block for block, _ in kept.nodes] == blocks
    assert made.place == len(blocks) - 1
    for block, links in kept.nodes:
        below = [link for link in links if len(link.name) == 2]
        assert [kept.nodes[link.place][0] for link in below] == [one for one in blocks if is_under(one, below)]
        assert all(link.cid in block for link in links)


def is_under(block: bytes, links: list[Entry]) -> bool:
    return any(link.cid[4:] == sha256(block).digest() for link in links)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(NAMES, SIZES, max_size=40))
def test_a_directory_of_one_node_is_the_one_of_the_oracle(content: dict[bytes, int]) -> None:
    """[FILES-3] [FILES-4] And the length of its links is known before it is made."""
    entries = [Entry(name, raw_cid(name), tsize, 0) for name, tsize in sorted(content.items())]
    kept = Kept()
    made = directory(entries, kept)
    cid, tsize, blocks = node([entry[:3] for entry in entries], number(1, 1))
    assert (made.cid, made.tsize, kept.nodes[0][0]) == (cid, tsize, blocks[0])
    assert sum(link_length(len(entry.name), entry.tsize) for entry in entries) == len(blocks[0]) - 4
    assert node_kind(blocks[0]) == "directory"


def test_names_of_one_hash_are_refused_and_told() -> None:
    """[FILES-6] Whatever stands around them."""
    digest = bytes(range(8))
    around = [(bytes(8), b"before"), (digest, b"one"), (digest, b"two"), (bytes([255] * 8), b"behind")]
    entries = [(hashed, Entry(name, raw_cid(name), 1, 0)) for hashed, name in around]
    with pytest.raises(Unsupported, match=r"'one' and 'two'"):
        sharded_directory(entries, Kept())
    made = sharded_directory([entries[0], entries[1], entries[3]], Kept())
    assert made.cid == shard({hashed: (name, raw_cid(name), 1) for hashed, name in [*around[:2], around[3]]}, 0)[0]


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_the_length_of_a_body_is_that_of_its_blocks(size: int) -> None:
    """[FILES-2]: Tsize of a file."""
    from mstbucket.core.body_builder import BodyBuilder

    builder = BodyBuilder()
    blocks = [*builder.feed(bytes(size))]
    blocks += builder.finish().blocks
    assert body_length(size) == sum(len(block) for _, block in blocks)


@pytest.mark.parametrize("block", [b"", b"\x0a", b"\x12\xff", b"\x0a\x02\x08\x09", b"\x12\x05ab", b"\xff" * 40, b"\x0a\x00"])
def test_a_node_that_says_nothing_known_has_no_kind(block: bytes) -> None:
    assert node_kind(block) is None
