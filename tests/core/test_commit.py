"""Commits: round trip, golden blocks, everything that is refused. spec/format/06-commit.md."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID as LibraryCid

from mstbucket.core import dagcbor
from mstbucket.core.cid import DAG_CBOR_PREFIX, dag_cbor_cid, raw_cid, to_text
from mstbucket.core.commit import EMPTY_TREE, Commit, check_followed, decode, encode, signing_bytes
from mstbucket.core.commit_fields import bucket_id, check_bucket_id
from mstbucket.core.dagcbor import Link
from mstbucket.errors import InvalidBlock, InvalidInput, Unsupported
from mstbucket.limits import BUCKET_TAGS_SIZE_MAX, CHUNK_SIZE, COMMIT_BLOCK_MAX, COMMIT_SEQ_MAX
from tests.core.generators import FIXTURES, load_generator

GENERATOR = load_generator("generate_formats")
GOLDEN: dict[str, dict[str, str]] = json.loads((FIXTURES / "formats-commits.json").read_text(encoding="utf-8"))

INT63 = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
CIDS = st.binary(min_size=32, max_size=32).map(lambda digest: DAG_CBOR_PREFIX + digest)
SIGNATURES = st.tuples(st.none(), st.none()) | st.tuples(
    st.binary(min_size=32, max_size=32), st.none() | st.binary(min_size=64, max_size=64)
)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    seq = draw(st.integers(1, 3) | st.integers(1, COMMIT_SEQ_MAX))
    key, sig = draw(SIGNATURES)
    return Commit(
        bucket=bucket_id(draw(st.binary(min_size=16, max_size=16))),
        name=draw(TEXT.filter(bool)),
        seq=seq,
        tree=draw(CIDS),
        time=draw(INT63),
        objects=draw(INT63),
        bytes=draw(INT63),
        versions=draw(st.none() | CIDS),
        prev=None if seq == 1 else draw(CIDS),
        forked=draw(st.none() | CIDS) if seq == 1 else None,
        merged=draw(st.none() | CIDS) if seq > 1 else None,
        message=draw(st.none() | TEXT.filter(bool)),
        tags=draw(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5)),
        key=key if sig is not None else None,
        sig=sig,
    )


def plain(commit: Commit) -> dict[str, Any]:
    value = {key: item for key, item in dataclasses.asdict(commit).items() if item is not None and item != {}}
    for name in ("tree", "versions"):
        if name in value:
            value[name] = LibraryCid.decode(value[name])
    for name in ("prev", "forked", "merged"):
        if name in value:
            value[name] = to_text(value[name])
    return value


@settings(deadline=None, max_examples=150)
@given(commits())
def test_every_commit_comes_back_and_the_oracle_writes_the_same_bytes(commit: Commit) -> None:
    """[COM-1] [COM-6] [COM-7] [COM-8]"""
    block = encode(commit)
    assert decode(block) == commit
    assert block == dag_cbor.encode(plain(commit))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_commits(name: str) -> None:
    """[COM-1]; that the files are what the generator writes is tested in test_manifest.py for both."""
    block = bytes.fromhex(GOLDEN[name]["hex"])
    assert decode(block) == GENERATOR.COMMITS[name]
    assert to_text(dag_cbor_cid(block)) == GOLDEN[name]["cid"]
    assert dag_cbor.decode(block) == plain(GENERATOR.COMMITS[name])


@pytest.mark.parametrize("name", GOLDEN)
def test_every_flipped_bit_is_noticed(name: str) -> None:
    """[COM-1] a flip is refused, or it is another commit with another CID; never a second spelling of this one."""
    block = bytes.fromhex(GOLDEN[name]["hex"])
    commit = decode(block)
    refused = 0
    for bit in range(8 * len(block)):
        flipped = bytearray(block)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        try:
            other = decode(bytes(flipped))
        except (InvalidBlock, Unsupported):
            refused += 1
        else:
            assert other != commit
            assert encode(other) == flipped
    assert refused > len(block)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_no_commit(data: bytes) -> None:
    """[COM-1]; a map that states a version is another version's commit, for all we know."""
    with pytest.raises((InvalidBlock, Unsupported)):
        decode(data)


# --- what encode refuses ---------------------------------------------------------------------------------------------

FIRST: Commit = GENERATOR.FIRST
FULL: Commit = GENERATOR.COMMITS["every field"]

REFUSED_FIELDS: dict[str, tuple[Commit, dict[str, Any], str]] = {
    "an identity of 25 characters": (FIRST, {"bucket": "a" * 25}, "26 characters"),
    "an identity in upper case": (FIRST, {"bucket": FIRST.bucket.upper()}, "26 characters"),
    "an identity with stray low bits": (FIRST, {"bucket": "a" * 25 + "b"}, "26 characters"),
    "an identity with padding": (FIRST, {"bucket": "a" * 20 + "======"}, "26 characters"),
    "an identity outside ASCII": (FIRST, {"bucket": "\u0131" * 26}, "26 characters"),
    "an identity of bytes": (FIRST, {"bucket": b"a" * 26}, "26 characters"),
    "no name": (FIRST, {"name": ""}, "name is ''"),
    "a name of 256 bytes": (FIRST, {"name": "\u00e9" * 128}, "1 to 255 bytes"),
    "a name with NUL": (FIRST, {"name": "a\0"}, "without NUL"),
    "a name with a lone surrogate": (FIRST, {"name": "\udcff"}, "name is"),
    "a name of bytes": (FIRST, {"name": b"a"}, "name is b'a'"),
    "sequence 0": (FIRST, {"seq": 0}, "seq is 0"),
    "a sequence that is a truth value": (FIRST, {"seq": True}, "seq is True"),
    "a sequence above 2^53 - 1": (FIRST, {"seq": COMMIT_SEQ_MAX + 1}, "an integer from 1 to 9007199254740991"),
    "a time before 1970": (FIRST, {"time": -1}, "time is -1"),
    "2^63 objects": (FIRST, {"objects": 2**63}, "objects is 9223372036854775808"),
    "bytes as a float": (FIRST, {"bytes": 0.0}, "bytes is float"),
    "no tree": (FIRST, {"tree": None}, "tree is None"),
    "a tree that is a raw block": (FIRST, {"tree": raw_cid(b"")}, "a CID of a dag-cbor block"),
    "a tree of 35 bytes": (FIRST, {"tree": EMPTY_TREE[:35]}, "a CID of a dag-cbor block"),
    "versions as text": (FIRST, {"versions": to_text(EMPTY_TREE)}, "a CID of a dag-cbor block"),
    "an empty tree of versions": (FIRST, {"versions": EMPTY_TREE}, "absent where the tree is empty"),
    "a first commit after another": (FIRST, {"prev": EMPTY_TREE}, "absent in commit 1"),
    "a second commit after none": (FULL, {"prev": None}, "present in commit 2"),
    "a commit after a raw block": (FULL, {"prev": raw_cid(b"")}, "a CID of a dag-cbor block"),
    "a second commit that was forked": (FULL, {"forked": EMPTY_TREE}, "absent in commit 2"),
    "a first commit that merges": (FIRST, {"merged": EMPTY_TREE}, "absent in commit 1"),  # [COM-22]
    "a merge of a raw block": (FULL, {"merged": raw_cid(b"")}, "a CID of a dag-cbor block"),
    "a fork of a raw block": (FIRST, {"forked": raw_cid(b"")}, "a CID of a dag-cbor block"),
    "an empty message": (FIRST, {"message": ""}, "message is ''"),
    "a message of 4,097 bytes": (FIRST, {"message": "\u00e9" * 2048 + "e"}, "4,097 bytes, more than 4,096"),
    "a message with NUL": (FIRST, {"message": "a\0"}, "without NUL"),
    "a message with a lone surrogate": (FIRST, {"message": "\udcff"}, "message is"),
    "a message of bytes": (FIRST, {"message": b"a"}, "message is b'a'"),
    "a message that does not fit beside the tags": (
        FIRST, {"tags": {"a": "x" * 61_400}, "message": "m" * 4096}, "more than 65536; shorten its message"
    ),
    "tags that are a list": (FIRST, {"tags": ["a"]}, "tags is list"),
    "a tag without a name": (FIRST, {"tags": {"": "a"}}, "no name empty"),
    "a tag that is a number": (FIRST, {"tags": {"a": 1}}, "texts without NUL"),
    "a tag with NUL": (FIRST, {"tags": {"a": "\0"}}, "texts without NUL"),
    "a config with another field": (FIRST, {"config": FIRST.config | {"x": 1}}, "chunk and layout"),
    "a config without a layout": (FIRST, {"config": {"chunk": 2**20}}, "chunk and layout"),
    "a config that is a text": (FIRST, {"config": "default"}, "chunk and layout"),
    "a versioning of another word": (FIRST, {"config": FIRST.config | {"versioning": "enabled"}}, "Enabled, Suspended"),
    "a chunk size of another type": (FIRST, {"config": FIRST.config | {"chunk": "1048576"}}, "an integer chunk"),
    "a signature without its key": (FIRST, {"sig": bytes(64)}, "present where there is a signature"),
    "a key without a signature": (FIRST, {"key": bytes(32)}, "present where there is a key"),
    "a key of 31 bytes": (FULL, {"key": bytes(31)}, "32 bytes"),
    "a signature of 65 bytes": (FULL, {"sig": bytes(65)}, "64 bytes"),
    "a signature as text": (FULL, {"sig": "x" * 64}, "64 bytes"),
    "more than a block may have": (FIRST, {"tags": {"a": "x" * 65536}}, "more than 65536"),
}


@pytest.mark.parametrize(("base", "change", "says"), REFUSED_FIELDS.values(), ids=REFUSED_FIELDS.keys())
def test_refused_fields(base: Commit, change: dict[str, Any], says: str) -> None:
    """[COM-2] [COM-3] [COM-5] [COM-6] [COM-7] [COM-8] [COM-9] [COM-10] [COM-14] [COM-23]"""
    with pytest.raises(InvalidInput, match=says):
        encode(dataclasses.replace(base, **change))


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "format version 0": {"version": 0},
    "format version 2": {"version": 2},
    "chunks of 256 KiB": {"config": FIRST.config | {"chunk": 2**18}},
    "another layout": {"config": FIRST.config | {"layout": "unixfs-v0-2015"}},
}


@pytest.mark.parametrize("change", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_unsupported_formats(change: dict[str, Any]) -> None:
    """[COM-4] [COM-9] both ways."""
    with pytest.raises(Unsupported):
        encode(dataclasses.replace(FIRST, **change))
    with pytest.raises(Unsupported):
        decode(dag_cbor.encode(plain(FIRST) | change))


def test_the_version_is_looked_at_before_anything_else() -> None:
    """[COM-4] a commit of a newer program is not called damaged because its fields are new."""
    with pytest.raises(Unsupported, match="format version 2; this program reads 1"):
        decode(dag_cbor.encode({"version": 2, "root": "elsewhere"}))


# --- what decode refuses ---------------------------------------------------------------------------------------------


def written(**change: Any) -> bytes:
    """Return a canonical block of the full commit with fields changed, or taken out where None."""
    value = plain(FULL) | change
    return dag_cbor.encode({key: item for key, item in value.items() if item is not None})


def with_null(name: str) -> bytes:
    return dag_cbor.encode(plain(FIRST) | {name: None})


GOOD = encode(FULL)
PREV = LibraryCid.decode(FULL.prev)
REFUSED_BLOCKS = {
    "no bytes": b"",
    "a list": dag_cbor.encode([1]),
    "no version": written(version=None),
    "a version as text": written(version="1"),
    "a version that is true": written(version=True),
    "no bucket": written(bucket=None),
    "no name": written(name=None),
    "no seq": written(seq=None),
    "no tree": written(tree=None),
    "no time": written(time=None),
    "no objects": written(objects=None),
    "no bytes total": written(bytes=None),
    "no config": written(config=None),
    "an unknown field": written(colour="red"),
    "a tree as bytes": written(tree=FULL.tree),
    "a tree as text": written(tree=to_text(FULL.tree)),
    "a tree that is raw": written(tree=LibraryCid.decode(raw_cid(b""))),
    "prev as a link": written(prev=PREV),
    "prev as bytes": written(prev=FULL.prev),
    "prev in upper case": written(prev=to_text(FULL.prev).upper()),
    "prev in base58": written(prev=str(PREV.set(base="base58btc"))),
    "prev that is no CID": written(prev="bafy"),
    "prev that is raw": written(prev=to_text(raw_cid(b""))),
    "forked in a second commit": written(forked=to_text(FULL.prev)),
    "forked as a link": dag_cbor.encode(plain(FIRST) | {"forked": PREV}),
    "forked in upper case": dag_cbor.encode(plain(FIRST) | {"forked": to_text(FULL.prev).upper()}),
    "a null forked": with_null("forked"),
    "merged in a first commit": dag_cbor.encode(plain(FIRST) | {"merged": to_text(FULL.prev)}),
    "merged as a link": dag_cbor.encode(plain(FULL) | {"merged": PREV}),
    "merged in upper case": written(merged=to_text(FULL.prev).upper()),
    "a null merged": with_null("merged"),
    "an empty message": written(message=""),
    "a message of 4,097 bytes": written(message="m" * 4097),
    "a message with NUL": written(message="\0"),
    "a message of bytes": written(message=b"m"),
    "a message that is a list": written(message=["m"]),
    "a null message": with_null("message"),
    "empty tags": written(tags={}),
    "tags as a list": written(tags=[]),
    "null tags": with_null("tags"),
    "null versions": with_null("versions"),
    "a null prev": with_null("prev"),
    "a null key": with_null("key"),
    "a key alone": written(sig=None),
    "a signature alone": written(key=None),
    "an empty config": written(config={}),
    "a chunk as a float": written(config={"chunk": 1048576.0, "layout": "unixfs-v1-2025"}),
    "a total as a float": written(objects=3.0),
    "a byte after the end": GOOD + b"\0",
    "cut by one byte": GOOD[:-1],
    "fields out of order": b"\xa2\x67version\x01\x63seq\x01",
    "a number not in its shortest form": GOOD.replace(b"\x63seq\x02", b"\x63seq\x18\x02"),
    "lists in lists without end": b"\x81" * 60_000,
    "more than a block may have": written(tags={"a": "x" * 65536}),
}


@pytest.mark.parametrize("block", REFUSED_BLOCKS.values(), ids=REFUSED_BLOCKS.keys())
def test_refused_blocks(block: bytes) -> None:
    """[COM-1] [COM-2] [COM-4] [COM-6] [COM-7] [COM-8] [COM-9] [COM-10] [COM-21] [COM-23]"""
    with pytest.raises(InvalidBlock):
        decode(block)


def test_size_is_looked_at_before_the_block_is_read() -> None:
    """[COM-2]"""
    with pytest.raises(InvalidBlock, match="a commit has 65537 bytes, more than 65536"):
        decode(b"\x81" * 65537)


def test_the_block_that_the_refused_ones_derive_from_is_good() -> None:
    assert decode(written()) == FULL
    with pytest.raises(InvalidBlock, match=f"commit {to_text(dag_cbor_cid(written(seq=0)))}: .*seq is 0"):
        decode(written(seq=0))


def test_the_empty_tree() -> None:
    """[COM-7]"""
    assert to_text(EMPTY_TREE) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"


# --- identity and signature ------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.binary(min_size=16, max_size=16))
def test_identities(random: bytes) -> None:
    """[COM-3]"""
    text = bucket_id(random)
    assert len(text) == 26
    assert check_bucket_id(text) == text


def test_identities_are_made_of_16_bytes() -> None:
    """[COM-3]"""
    assert bucket_id(bytes(16)) == "a" * 26
    assert bucket_id(b"\xff" * 16) == "7" * 25 + "4"
    with pytest.raises(InvalidInput, match="not 15"):
        bucket_id(bytes(15))


def test_a_signature_is_reported_as_not_checked() -> None:
    """[COM-11] [COM-10] kept as it is, and what it would be over is the block without it."""
    assert FIRST.signature == "absent"
    forged = dataclasses.replace(FULL, sig=bytes(64))
    assert decode(encode(forged)).signature == "present, not checked"
    assert signing_bytes(forged) == signing_bytes(FULL)
    unsigned = {key: item for key, item in plain(FULL).items() if key != "sig"}
    assert signing_bytes(FULL) == dag_cbor.encode(unsigned)
    assert signing_bytes(dataclasses.replace(FULL, sig=None)) == signing_bytes(FULL)
    assert signing_bytes(dataclasses.replace(FULL, key=bytes(32))) != signing_bytes(FULL)
    assert signing_bytes(dataclasses.replace(FULL, message="m")) != signing_bytes(FULL)  # [COM-23]
    with pytest.raises(InvalidInput, match="names none"):
        signing_bytes(FIRST)


@pytest.mark.parametrize("count", [400, 5000, 9000])
def test_tags_leave_room_exactly_as_long_as_the_largest_commit_with_them_fits(count: int) -> None:
    """[COM-14] The largest commit as the specification lists its fields, written by the generic codec."""
    names = [f"{n:04}" for n in range(count)]
    tree = Link(EMPTY_TREE)

    def largest(tags: dict[str, str]) -> int:
        fields = {
            "bucket": bucket_id(bytes(16)), "tags": tags, "name": "n" * 63, "seq": 2**53 - 1, "prev": to_text(EMPTY_TREE),
            "versions": tree, "tree": tree, "time": 2**63 - 1, "objects": 2**63 - 1, "bytes": 2**63 - 1, "version": 1,
            "config": {"chunk": CHUNK_SIZE, "layout": "unixfs-v1-2025", "versioning": "Suspended"},
        }  # fmt: skip
        return len(dagcbor.encode(fields))

    room = COMMIT_BLOCK_MAX - largest(dict.fromkeys(names, "") | {names[0]: "v" * 1000}) + 1000
    fitting = min(room, BUCKET_TAGS_SIZE_MAX - 4 * count)
    for size, fits in ((fitting - 1, True), (fitting, True), (fitting + 1, False)):
        tags = dict.fromkeys(names, "") | {names[0]: "v" * size}
        made = Commit(bucket_id(bytes(16)), "n", 1, EMPTY_TREE, 0, 0, 0, tags=tags)
        if fits:
            check_followed(made)
        else:
            with pytest.raises(Unsupported):
                check_followed(made)
