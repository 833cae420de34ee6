"""An export is unpacked by a program that has nothing of ours: packages of the IPLD and IPFS world, in JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.core.unixfs_directory import link_length
from mstbucket.files.tree import Tree
from mstbucket.limits import DIRECTORY_BLOCK_MAX

FOREIGN = Path(__file__).parents[2] / "fixtures" / "foreign"
EXPORTS = Path(__file__).parents[2] / "fixtures" / "exports"
MIB = 1 << 20

pytestmark = pytest.mark.node

Run = Callable[..., subprocess.CompletedProcess[str]]
Unpack = Callable[[Path, Path], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs one of the programs, with the packages as the lock file has them."""
    place = tmp_path_factory.mktemp("foreign") / "program"
    shutil.copytree(FOREIGN, place, ignore=shutil.ignore_patterns("node_modules"))
    npm = shutil.which("npm")
    assert npm is not None, "npm is required by MSTBUCKET_TEST_NODE, and is not there"
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    ran = subprocess.run(command, check=False, cwd=place, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr

    def run(name: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
        command = ["node", str(place / name), *map(str, arguments)]
        env = {**os.environ, "NO_COLOR": "1"}
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200, env=env)

    return run


@pytest.fixture
def unpack(program: Run) -> Unpack:
    """Runs the unpacker of exports."""
    return partial(program, "unpack.mjs")


def read(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "objects.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["key"]: line for line in map(json.loads, lines)}


def test_a_bucket_is_unpacked_with_all_that_s3_shows(bucket: mstbucket.Bucket, unpack: Unpack, tmp_path: Path) -> None:
    bodies = {f"many/{n:03}": b"%d" % n for n in range(300)}
    bodies |= {"a//b": b"1", "..": b"2", "é/写真": b"3", "a\nb": b"4", "empty": b""}
    bodies |= {"one chunk": bytes(MIB), "large": bytes(range(256)) * 4096 * 3 + b"end", "twice": bytes(MIB)}
    for key, body in bodies.items():
        shown = {"metadata": {"place": "pier"}, "headers": {"cache-control": "no-store"}}
        bucket.put_object(key, body, content_type="text/x", **shown)
    bucket.put_object_tagging("large", {"kind": "raw"})
    bucket.flush()
    bucket.export_car(tmp_path / "x.car")
    ran = unpack(tmp_path / "x.car", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith(f'{len(bodies)} objects of bucket "things", as the commit says: true')
    found = read(tmp_path / "out")
    assert list(found) == sorted(bodies, key=str.encode)
    for key, body in bodies.items():
        assert (tmp_path / "out" / found[key]["file"]).read_bytes() == body
        info = bucket.head_object(key)
        said = found[key]
        assert (said["etag"], said["size"], said["content_type"]) == (info.etag, info.size, info.content_type)
        assert (said["metadata"], said["headers"]) == ({"place": "pier"}, {"cache-control": "no-store"})
    assert found["large"]["tags"] == {"kind": "raw"}


@pytest.mark.parametrize(
    "name", ["empty", "two-levels", "empty-intermediate-node", "shared-blocks", "versions-and-a-marker"]
)
def test_golden_exports_are_unpacked(unpack: Unpack, tmp_path: Path, name: str) -> None:
    ran = unpack(EXPORTS / f"{name}.car", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert len(read(tmp_path / "out")) == mstbucket.verify_car(EXPORTS / f"{name}.car").objects


def test_a_changed_byte_is_refused(unpack: Unpack, tmp_path: Path) -> None:
    data = bytearray((EXPORTS / "two-levels.car").read_bytes())
    data[-1] ^= 1
    (tmp_path / "bad.car").write_bytes(data)
    ran = unpack(tmp_path / "bad.car", tmp_path / "out")
    assert ran.returncode != 0
    assert "is not what its CID says" in ran.stderr


# --- the files view ---------------------------------------------------------------------------------------------------


def test_a_files_view_is_unpacked_and_is_what_ipfs_add_gives(bucket: mstbucket.Bucket, program: Run, tmp_path: Path) -> None:
    """[FILES-1] to [FILES-8]: a sharded folder of 2,000 names beside deep, empty, large and awkward ones, byte for byte.

    The CID is that of the same folder, made by ipfs-unixfs-importer of what `cp -r` of the bucket wrote.
    """
    bodies = {f"sharded/{n:04}-{'name' * 25}": b"%d" % n for n in range(2000)}
    bodies |= {"one/two/three/four.txt": b"deep", "one/empty": b"", "large": bytes(range(256)) * 4096 * 3 + b"end"}
    bodies |= {"three MiB": bytes(3 * MIB), "a": b"1", "a/b": b"2", "a//c": b"3", "..": b"4", "/x": b"5", ".hidden": b"6"}
    bodies |= {"long" * 100: b"7", "long" * 100 + "/x": b"8", "%=odd": b"9", "é/写真": b"10", "folder/": b"", "a\nb": b"11"}
    bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in bodies.items())
    bucket.flush()
    report = bucket.export_files(tmp_path / "files.car")
    ran = program("unpack-files.mjs", tmp_path / "files.car", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == f"{report.root}: {len(bodies)} files"
    with Tree(str(tmp_path / "copied")) as tree:
        for key in sorted(bodies):
            tree.write(key, [bodies[key]])
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "copied")
    added = program("add.mjs", tmp_path / "copied")
    assert added.returncode == 0, added.stderr
    assert added.stdout.strip() == report.root


def read_tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("more", [0, 1])
def test_a_folder_at_the_threshold_is_what_ipfs_add_gives(
    bucket: mstbucket.Bucket, program: Run, tmp_path: Path, more: int
) -> None:
    """[FILES-4] One of exactly the bytes that a node may have, and one of a byte more."""
    names = [f"{n:04}".ljust(100, "-") for n in range(1806)] + ["z" * (224 + more)]
    assert 4 + sum(link_length(len(name), 1) for name in names) == DIRECTORY_BLOCK_MAX + more
    bucket.put_objects(mstbucket.PutRequest(name, b"x") for name in names)
    bucket.flush()
    report = bucket.export_files(tmp_path / "files.car")
    assert (report.blocks == 2) == (more == 0)  # one node, and the one body that all have
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes(b"x")
    added = program("add.mjs", tmp_path / "in")
    assert added.stdout.strip() == report.root, added.stderr


def test_a_files_view_that_lacks_a_block_is_refused(bucket: mstbucket.Bucket, program: Run, tmp_path: Path) -> None:
    """The foreign program finds it, so the agreement above means something."""
    bucket.put_objects(mstbucket.PutRequest(f"k/{n}", b"%d" % n) for n in range(5))
    bucket.flush()
    bucket.export_files(tmp_path / "files.car")
    data = (tmp_path / "files.car").read_bytes()
    (tmp_path / "cut.car").write_bytes(data[: data.rindex(b"\x01\x55\x12\x20") - 1])
    ran = program("unpack-files.mjs", tmp_path / "cut.car", tmp_path / "out")
    assert ran.returncode != 0
    assert "is missing" in ran.stderr
