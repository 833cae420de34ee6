"""Foreign bytes do no harm: every decoder and verifier, on noise, on damaged good input, and on input made to hurt.

The decoders' own tests know what each has to refuse. Here all of them stand in one table, so that a new one is not
forgotten, and only the manner of refusing is looked at.
"""

from __future__ import annotations

import ast
import io
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.names import Kind
from mstbucket.core import body_builder, car, car_reader, cid, commit, commit_fields, dagcbor, keys, manifest, unixfs, varint
from mstbucket.core.mst.build import build
from mstbucket.core.mst.node import decode_node
from mstbucket.core.s3rules import ranges
from mstbucket.errors import MstBucketError
from mstbucket.limits import CAR_SECTION_MAX, CHUNK_SIZE, KEY_MAX, MIB
from mstbucket.packs.frames import format as frames
from mstbucket.packs.frames import zstd
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.verify import manifest as judged_manifest
from mstbucket.verify.car import verify_car
from mstbucket.verify.key_path import verify_proof
from mstbucket.verify.node import judge

BODY = b"a small body"
MANIFEST = manifest.encode(
    manifest.Manifest(cid.raw_cid(BODY), len(BODY), "0" * 32, "text/plain", 1, 2, metadata={"a": "b"}, tags={"c": "d"})
)
NODES: dict[bytes, bytes] = {}
TREE = build([(b"key", cid.dag_cbor_cid(MANIFEST))], NODES.__setitem__)
COMMIT = commit.encode(commit.Commit(commit_fields.bucket_id(bytes(16)), "name", 1, TREE, 3, 1, len(BODY)))
ROOT = cid.dag_cbor_cid(COMMIT)


def file_node() -> bytes:
    """A UnixFS node over two chunks."""
    builder = body_builder.BodyBuilder()
    blocks = [*builder.feed(bytes(CHUNK_SIZE + 1)), *builder.finish().blocks]
    return next(block for name, block in blocks if cid.codec(name) == cid.DAG_PB)


SECRET = DataKey(bytes(32))
SECTIONS = [(ROOT, COMMIT), (TREE, NODES[TREE]), (cid.dag_cbor_cid(MANIFEST), MANIFEST), (cid.raw_cid(BODY), BODY)]
EXPORT = car.header(ROOT) + b"".join(car.section(name, block) for name, block in SECTIONS)


def read_all(data: bytes) -> object:
    return list(car_reader.CarReader(io.BytesIO(data)))


DECODERS: dict[str, Callable[[bytes], object]] = {
    "a CID": cid.check_cid,
    "a CID as text": lambda data: cid.from_text(data.decode("latin-1")),
    "a varint": lambda data: varint.decode(data, 0),
    "a key": keys.decode_key,
    "a bucket name": lambda data: keys.check_bucket_name(data.decode("latin-1")),
    "a range": lambda data: ranges.parse_range("bytes=" + data.decode("latin-1"), 1000),
    "strict DAG-CBOR": dagcbor.decode,
    "DAG-CBOR, fast": dagcbor.decode_fast,
    "a manifest": manifest.decode,
    "a manifest, judged": judged_manifest.read,
    "a commit": commit.decode,
    "a UnixFS node": unixfs.decode_file,
    "a tree node": decode_node,
    "a tree node, judged": lambda data: judge(data, (cid.dag_cbor_cid(data), None, b"", None), KEY_MAX),
    "a proof": lambda data: verify_proof(TREE, b"key", [data, data]),
    "a trailer of frames": lambda data: frames.decode_trailer(data, len(data), "packs/x"),
    "a list of frames": lambda data: frames.Segment("packs/x", 0, 0, 0, frames.unpack_lengths(data, "packs/x")),
    "a compressed frame": lambda data: zstd.decompress(data, 1000),
    "an encrypted frame": lambda data: SECRET.cipher(Kind.AES, bytes(16)).open(0, 0, 1000, data),
    "a window of a pack": lambda data: car.parse_window(data, 0),
    "a CAR": read_all,
    "an export": lambda data: verify_car(io.BytesIO(data)),
}
GOOD = {
    "a CID": ROOT,
    "a CID as text": cid.to_text(ROOT).encode(),
    "a manifest": MANIFEST,
    "a commit": COMMIT,
    "a UnixFS node": file_node(),
    "a tree node": NODES[TREE],
    "an export": EXPORT,
    "a trailer of frames": frames.Trailer(Kind.ZSTD, (), bytes(16)).encode(),
    "a compressed frame": zstd.Compressor(3).compress(bytes(1000)),
}
HOSTILE = {
    "lists in lists": b"\x81" * 200_000,
    "maps in maps": b"\xa1\x61a" * 100_000,
    "tags on tags": b"\xd8\x2a" * 100_000,
    "a list that says it has 2^63 items": b"\x9b" + b"\x7f" + b"\xff" * 7,
    "a text that says it has 2^62 bytes": b"\x7b\x40" + bytes(7),
    "a map without an end": b"\xbf\x61a\x01",
    "a varint of nothing but continuations": b"\xff" * 1000,
    "dag-pb that says a field has 2^60 bytes": b"\x12" + b"\x80" * 8 + b"\x10",
    "a CAR whose header says it has 2^40 bytes": varint.encode(2**40) + bytes(176),
    "a CAR whose first section says it has 2^40 bytes": car.header(ROOT) + varint.encode(2**40) + bytes(100),
    "a float that is not a number": b"\xfb\x7f\xf8" + bytes(6),
    "bytes that are not UTF-8": b"\x63\xed\xa0\x80",
    "nothing": b"",
}


def decode_or_refuse(decoder: str, data: bytes) -> None:
    """Any value is fine, and any declared error; anything else ends the test."""
    with suppress(MstBucketError):
        DECODERS[decoder](data)


@pytest.mark.parametrize("decoder", [name for name in DECODERS if name in GOOD])
def test_the_good_input_that_is_damaged_below_is_good(decoder: str) -> None:
    DECODERS[decoder](GOOD[decoder])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_input_made_to_hurt_is_refused_with_a_declared_error(decoder: str, hostile: str) -> None:
    """[THR-1]"""
    decode_or_refuse(decoder, HOSTILE[hostile])


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=60)
@given(data=st.binary(max_size=200))
def test_noise_is_refused_with_a_declared_error(decoder: str, data: bytes) -> None:
    """[THR-1]"""
    decode_or_refuse(decoder, data)


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=150)
@given(good=st.sampled_from(sorted(GOOD)), data=st.data())
def test_damaged_good_input_is_refused_with_a_declared_error(decoder: str, good: str, data: st.DataObject) -> None:
    """[THR-1] a piece is taken out, put in or overwritten, anywhere."""
    whole = GOOD[good]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 9)))
    decode_or_refuse(decoder, whole[:start] + data.draw(st.binary(max_size=9)) + whole[end:])


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_input_says_of_its_length_allocates_nothing(decoder: str) -> None:
    """[THR-2] hostile inputs of a few bytes; more than one window of a CAR is never taken for them."""
    short = [data for data in HOSTILE.values() if len(data) < 1000]
    tracemalloc.start()
    try:
        for data in short:
            decode_or_refuse(decoder, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(short) > 5
    assert peak < CAR_SECTION_MAX + MIB


def names_used(tree: ast.AST) -> set[str]:
    """Names of functions that are called, as far as they are called by a name of their own."""
    return {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def test_no_input_is_ever_run(modules: dict[str, Any], imports: dict[str, Any]) -> None:
    """[THR-3] `import_module` serves the two tables of names, of the package and of its commands, and `later`.

    What `later` is given are literals that name imports: `test_what_is_loaded_later_is_what_type_checkers_see`.
    """
    runs = {"pickle", "marshal", "shelve", "code", "runpy", "imp"}
    calls = {"eval", "exec", "compile", "__import__"}
    tables = {"mstbucket", "mstbucket.cli.main", "mstbucket.later"}
    wrong = [
        *(f"{name} imports {one.target}" for name, found in imports.items() for one in found if one.target in runs),
        *(f"{name} calls {call}" for name, module in modules.items() for call in names_used(module.tree) & calls),
        *(f"{name} imports importlib" for name, found in imports.items() for one in found
          if one.target == "importlib" and name not in tables),
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_no_module_can_open_a_network_connection_but_the_databases_driver(imports: dict[str, Any]) -> None:
    """[THR-4] below mstbucket/pg there may be sockets: those of the embedded server. The gateway listens."""
    network = {"socket", "socketserver", "ssl", "http", "urllib.request", "ftplib", "smtplib", "xmlrpc", "asyncio"}
    wrong = [
        f"{name}:{one.line} imports {one.target}"
        for name, found in imports.items()
        if not name.startswith(("mstbucket.pg.", "mstbucket.gateway."))
        for one in found
        if any(one.target == module or one.target.startswith(module + ".") for module in network)
    ]
    assert not wrong, "\n".join(wrong)
