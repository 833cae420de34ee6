"""Manifests: round trip, an independent encoder as oracle, and everything that is refused. spec/format/04-manifest.md."""

from __future__ import annotations

import dataclasses
import json
from hashlib import sha256
from typing import Any

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID as LibraryCid

from mstbucket.core.cid import DAG_PB_PREFIX, RAW_PREFIX, dag_cbor_cid, raw_cid, to_text
from mstbucket.core.manifest import HEADERS, Manifest, decode, encode
from mstbucket.errors import InvalidBlock, InvalidInput
from mstbucket.verify.manifest import read as judged
from tests.core.generators import FIXTURES, load_generator

GENERATOR = load_generator("generate_formats")
GOLDEN: dict[str, dict[str, str]] = json.loads((FIXTURES / "formats-manifests.json").read_text(encoding="utf-8"))

INT63 = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
NAMES = TEXT.filter(bool)
MAPS = st.dictionaries(NAMES, TEXT, max_size=4)
DIGESTS = st.binary(min_size=32, max_size=32)
ETAGS = NAMES.filter(lambda text: '"' not in text)


@st.composite
def objects(draw: st.DrawFn) -> Manifest:
    parts = tuple(draw(st.lists(st.integers(0, 2**32), max_size=5)))
    size = sum(parts) if parts else draw(st.integers(0, 50_000 * 2**30) | st.integers(0, 300))
    return Manifest(
        content=(RAW_PREFIX if size <= 2**20 else DAG_PB_PREFIX) + draw(DIGESTS),
        size=size,
        etag=draw(ETAGS),
        content_type=draw(TEXT),
        created=draw(INT63),
        modified=draw(INT63),
        sha256=draw(st.none() | DIGESTS),
        checksums=draw(MAPS),
        headers=draw(st.dictionaries(st.sampled_from(sorted(HEADERS)), TEXT)),
        metadata=draw(MAPS),
        tags=draw(MAPS),
        version_id=draw(st.none() | NAMES),
        parts=parts,
    )


MARKERS = st.builds(
    lambda created, modified, version: Manifest(
        None, None, None, None, created, modified, version_id=version, delete_marker=True
    ),
    INT63,
    INT63,
    st.none() | NAMES,
)
MANIFESTS = st.one_of(objects(), MARKERS)


def plain(manifest: Manifest) -> dict[str, Any]:
    """Return the fields as the oracle takes them: absent ones left out, the link as the library's CID."""
    value = {key: item for key, item in dataclasses.asdict(manifest).items() if item not in (None, {}, (), False)}
    value |= {key: getattr(manifest, key) for key in ("size", "content_type") if getattr(manifest, key) is not None}
    if manifest.content is not None:
        value["content"] = LibraryCid.decode(manifest.content)
    if manifest.parts:
        value["parts"] = list(manifest.parts)
    return value | {"created": manifest.created, "modified": manifest.modified}


@settings(deadline=None, max_examples=250)
@given(MANIFESTS)
def test_every_manifest_comes_back_and_the_oracle_writes_the_same_bytes(manifest: Manifest) -> None:
    """[MAN-1] [MAN-3] [MAN-5] [MAN-7]"""
    block = encode(manifest)
    assert decode(block) == manifest
    assert block == dag_cbor.encode(plain(manifest))


@settings(deadline=None, max_examples=50)
@given(objects())
def test_the_order_of_maps_does_not_matter(manifest: Manifest) -> None:
    """[MAN-3] the bytes are a function of the fields."""
    turned = {name: dict(reversed(getattr(manifest, name).items())) for name in ("checksums", "headers", "metadata", "tags")}
    assert encode(dataclasses.replace(manifest, **turned)) == encode(manifest)


# --- golden blocks ---------------------------------------------------------------------------------------------------


def test_the_golden_files_are_what_the_generator_writes() -> None:
    for file, text in GENERATOR.files().items():
        assert (FIXTURES / file).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_manifests(name: str) -> None:
    """[MAN-1] read back, named by their CID, and read by an independent decoder."""
    block = bytes.fromhex(GOLDEN[name]["hex"])
    assert decode(block) == GENERATOR.MANIFESTS[name]
    assert to_text(dag_cbor_cid(block)) == GOLDEN[name]["cid"]
    assert dag_cbor.decode(block) == plain(GENERATOR.MANIFESTS[name])


@pytest.mark.parametrize("name", GOLDEN)
def test_every_flipped_bit_is_noticed(name: str) -> None:
    """[MAN-1] a flip is refused, or it is another manifest with another CID; never a second spelling of this one."""
    block = bytes.fromhex(GOLDEN[name]["hex"])
    manifest = decode(block)
    refused = 0
    for bit in range(8 * len(block)):
        flipped = bytearray(block)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        try:
            other = decode(bytes(flipped))
        except InvalidBlock:
            refused += 1
        else:
            assert other != manifest
            assert encode(other) == flipped
    assert refused > len(block)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=100))
def test_arbitrary_bytes_give_invalid_block(data: bytes) -> None:
    """[MAN-1]"""
    with pytest.raises(InvalidBlock):
        decode(data)


# --- what encode refuses ---------------------------------------------------------------------------------------------

OBJECT: Manifest = GENERATOR.OBJECT
MARKER: Manifest = GENERATOR.MANIFESTS["a delete marker"]
NODE = DAG_PB_PREFIX + sha256(b"").digest()

REFUSED_FIELDS: dict[str, tuple[Manifest, dict[str, Any], str]] = {
    "no content": (OBJECT, {"content": None}, "content is None"),
    "a content of 35 bytes": (OBJECT, {"content": OBJECT.content[:35]}, "a CID that starts 01 55 12 20"),
    "a small body as a dag-pb node": (OBJECT, {"content": NODE}, "01 55 12 20"),
    "a large body as a raw block": (OBJECT, {"size": 2**20 + 1}, "01 70 12 20"),
    "a content of dag-cbor": (OBJECT, {"content": dag_cbor_cid(b"")}, "01 55 12 20"),
    "no size": (OBJECT, {"size": None}, "size is None"),
    "a negative size": (OBJECT, {"size": -1}, "size is -1"),
    "a size above the largest object": (OBJECT, {"size": 50_000 * 2**30 + 1, "content": NODE}, "53687091200000"),
    "a size that is a truth value": (OBJECT, {"size": True}, "size is True"),
    "a size that is a float": (OBJECT, {"size": 11.0}, "size is float"),
    "no etag": (OBJECT, {"etag": None}, "etag is None"),
    "an empty etag": (OBJECT, {"etag": ""}, "etag is ''"),
    "an etag in quotes": (OBJECT, {"etag": '"abc"'}, "without quotes"),
    "no content type": (OBJECT, {"content_type": None}, "content_type is None"),
    "a content type of bytes": (OBJECT, {"content_type": b"text/plain"}, "a text"),
    "no created": (OBJECT, {"created": None}, "created is None"),
    "a modified of 2^63": (OBJECT, {"modified": 2**63}, "2\\^63 - 1"),
    "a modified before 1970": (OBJECT, {"modified": -1}, "modified is -1"),
    "a digest of 31 bytes": (OBJECT, {"sha256": bytes(31)}, "32 bytes"),
    "a digest as text": (OBJECT, {"sha256": "0" * 32}, "32 bytes"),
    "a NUL in the content type": (OBJECT, {"content_type": "a\0"}, "without NUL"),
    "a NUL in a value": (OBJECT, {"metadata": {"a": "\0"}}, "without NUL"),
    "a NUL in a name": (OBJECT, {"tags": {"\0": "a"}}, "without NUL"),
    "a lone surrogate": (OBJECT, {"metadata": {"a": "\ud800"}}, "lone surrogate"),
    "an empty name": (OBJECT, {"metadata": {"": "a"}}, "empty name"),
    "a value that is a number": (OBJECT, {"tags": {"a": 1}}, "tags is 1"),
    "a name that is a number": (OBJECT, {"tags": {1: "a"}}, "tags is 1"),
    "a map that is a list": (OBJECT, {"headers": ["expires"]}, "headers is list"),
    "a header of another name": (OBJECT, {"headers": {"Expires": "0"}}, "headers is 'Expires'"),
    "an empty version": (OBJECT, {"version_id": ""}, "a text of 1 to 1024 bytes"),
    "a version called null": (OBJECT, {"version_id": "null"}, "other than 'null'"),
    "a version of 1,025 bytes": (OBJECT, {"version_id": "é" * 512 + "e"}, "a text of 1 to 1024 bytes"),
    "parts that do not add up": (OBJECT, {"parts": (10, 2)}, "add up to 11"),
    "a negative part": (OBJECT, {"parts": (12, -1)}, "parts is -1"),
    "10,001 parts": (OBJECT, {"parts": (0,) * 10_000 + (11,)}, "10000 sizes"),
    "a delete marker by another truth": (OBJECT, {"delete_marker": 1}, "delete_marker is 1"),
    "a delete marker that is null": (OBJECT, {"delete_marker": None}, "delete_marker is None"),
    "a delete marker with content": (MARKER, {"content": OBJECT.content}, "content .* absent in a delete marker"),
    "a delete marker with a size": (MARKER, {"size": 0}, "size .* absent in a delete marker"),
    "a delete marker with an etag": (MARKER, {"etag": "x"}, "etag .* absent in a delete marker"),
    "a delete marker with a type": (MARKER, {"content_type": ""}, "content_type .* absent in a delete marker"),
    "a delete marker with a digest": (MARKER, {"sha256": bytes(32)}, "sha256 .* absent in a delete marker"),
    "a delete marker with tags": (MARKER, {"tags": {"a": "b"}}, "tags .* absent in a delete marker"),
    "a delete marker with metadata": (MARKER, {"metadata": {"a": "b"}}, "absent in a delete marker"),
    "a delete marker with headers": (MARKER, {"headers": {"expires": "0"}}, "absent in a delete marker"),
    "a delete marker with checksums": (MARKER, {"checksums": {"crc32": "x"}}, "absent in a delete marker"),
    "a delete marker with parts": (MARKER, {"parts": (1,)}, "absent in a delete marker"),
    "more than a block may have": (OBJECT, {"metadata": {"a": "x" * 2**20}}, "more than 1048576"),
}


@pytest.mark.parametrize(("base", "change", "says"), REFUSED_FIELDS.values(), ids=REFUSED_FIELDS.keys())
def test_refused_fields(base: Manifest, change: dict[str, Any], says: str) -> None:
    """[MAN-2] [MAN-5] [MAN-4] [MAN-6] [MAN-7] [MAN-8] [MAN-9] [MAN-10] [MAN-11] [MAN-12] [MAN-13]"""
    with pytest.raises(InvalidInput, match=says):
        encode(dataclasses.replace(base, **change))


# --- what decode refuses ---------------------------------------------------------------------------------------------


def written(**change: Any) -> bytes:
    """Return a canonical block of the plain object with fields changed, or taken out where None."""
    value = plain(OBJECT) | change
    return dag_cbor.encode({key: item for key, item in value.items() if item is not None})


def with_null(name: str) -> bytes:
    return dag_cbor.encode(plain(OBJECT) | {name: None})


GOOD = encode(OBJECT)
MARKER_HEAD, MARKER_TAIL = b"\xa3", b"\x6ddelete_marker\xf5"
REFUSED_BLOCKS = {
    "no bytes": b"",
    "a list": dag_cbor.encode([]),
    "a text": dag_cbor.encode("size"),
    "an unknown field": written(colour="red"),
    "no content": written(content=None),
    "content as bytes, not a link": written(content=OBJECT.content),
    "content as text": written(content=to_text(raw_cid(b""))),
    "no size": written(size=None),
    "no etag": written(etag=None),
    "no content type": written(content_type=None),
    "no created": written(created=None),
    "no modified": written(modified=None),
    "a null version": with_null("version_id"),
    "a null digest": with_null("sha256"),
    "null tags": with_null("tags"),
    "a null delete marker": with_null("delete_marker"),
    "empty tags": written(tags={}),
    "empty headers": written(headers={}),
    "empty metadata": written(metadata={}),
    "empty checksums": written(checksums={}),
    "empty parts": written(parts=[]),
    "tags as a list": written(tags=["a"]),
    "tags as an empty list": written(tags=[]),
    "metadata as a number": written(metadata=7),
    "headers as zero": written(headers=0),
    "parts as a map": written(parts={"a": 1}),
    "parts as text": written(parts="11"),
    "parts as null": with_null("parts"),
    "a delete marker that is false": written(delete_marker=False),
    "a delete marker with the fields of an object": written(delete_marker=True),
    "a size that is a float": written(size=11.0),
    "an etag of bytes": written(etag=b"x"),
    "lists in lists for a size": b"\xa1\x64size" + b"\x81" * 900 + b"\x00",
    "lists in lists without end": b"\x81" * 100_000,
    "a byte after the end": GOOD + b"\0",
    "cut by one byte": GOOD[:-1],
    "fields out of order": MARKER_HEAD + b"\x68modified\x00\x67created\x00" + MARKER_TAIL,
    "a field twice": b"\xa4\x67created\x00\x67created\x00\x68modified\x00" + MARKER_TAIL,
    "an indefinite map": b"\xbf" + GOOD[1:] + b"\xff",
    "a number not in its shortest form": GOOD.replace(b"\x64size\x0b", b"\x64size\x18\x0b"),
    "a length not in its shortest form": GOOD.replace(b"\x64size", b"\x78\x04size"),
    "a link without its zero byte": GOOD.replace(b"\xd8\x2a\x58\x25\x00", b"\xd8\x2a\x58\x24"),
    "more than a block may have": written(metadata={"a": "x" * 2**20}),
}


@pytest.mark.parametrize("block", REFUSED_BLOCKS.values(), ids=REFUSED_BLOCKS.keys())
def test_refused_blocks(block: bytes) -> None:
    """[MAN-1] [MAN-2] [MAN-5] [MAN-6] [MAN-12] [MAN-14]"""
    with pytest.raises(InvalidBlock):
        decode(block)


@pytest.mark.parametrize(
    ("size", "parts"), [(0, (0,)), (5, (5, 0)), (5, (0, 5)), (5, (1, 4))], ids=["only", "last", "first", "small"]
)
def test_sizes_of_parts_are_looked_at_for_their_sum_alone(size: int, parts: tuple[int, ...]) -> None:
    """[MAN-13] [MAN-16] A part may have no bytes, and be smaller than S3 wants it."""
    made = dataclasses.replace(OBJECT, size=size, parts=parts)
    assert decode(encode(made)) == made


FOREIGN: dict[str, dict[str, Any]] = {
    "metadata beyond 2 KB": {"metadata": {"a": "b" * 5000}},
    "a name of metadata in upper case": {"metadata": {"Camera": "x", "camera": "y"}},
    "a line break in metadata and headers": {"metadata": {"a": "b\r\nc"}, "headers": {"expires": "\n"}},
    "eleven tags": {"tags": {str(n): "" for n in range(11)}},
    "a long tag": {"tags": {"a" * 129: "b" * 257}},
    "a checksum of no known algorithm": {"checksums": {"xxh3": "?"}},
    "a checksum that is no base64": {"checksums": {"crc32": "not base64"}},
}


@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN)
def test_rules_for_who_stores_an_object_do_not_bind_a_reader(fields: dict[str, Any]) -> None:
    """[MAN-16]"""
    made = dataclasses.replace(OBJECT, **fields)
    assert decode(encode(made)) == made
    assert judged(encode(made)) == (made.content, made.size, made.sha256, made.version_id)


def test_size_is_looked_at_before_the_block_is_read() -> None:
    """[MAN-2] [MAN-14]"""
    with pytest.raises(InvalidBlock, match="a manifest has 1048577 bytes, more than 1048576"):
        decode(b"\x81" * 1048577)
    with pytest.raises(InvalidBlock, match=r"unknown fields .*colour"):
        decode(written(colour="red"))


def test_the_blocks_that_the_refused_ones_derive_from_are_good() -> None:
    assert decode(written()) == OBJECT
    assert decode(MARKER_HEAD + b"\x67created\x00\x68modified\x00" + MARKER_TAIL).delete_marker is True


def test_the_message_names_the_block_and_the_field() -> None:
    block = written(etag='"x"')
    with pytest.raises(InvalidBlock, match=f"{to_text(dag_cbor_cid(block))}.*etag.*quotes"):
        decode(block)
