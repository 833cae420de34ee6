"""An export is unpacked by a program that has nothing of ours: packages of the IPLD and IPFS world, in JavaScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mstbucket

FOREIGN = Path(__file__).parents[2] / "fixtures" / "foreign"
EXPORTS = Path(__file__).parents[2] / "fixtures" / "exports"
MIB = 1 << 20

pytestmark = pytest.mark.node

Unpack = Callable[[Path, Path], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Unpack:
    """Runs the program, with its packages as its lock file has them."""
    place = tmp_path_factory.mktemp("foreign") / "program"
    shutil.copytree(FOREIGN, place, ignore=shutil.ignore_patterns("node_modules"))
    npm = shutil.which("npm")
    assert npm is not None, "npm is required by MSTBUCKET_TEST_NODE, and is not there"
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    ran = subprocess.run(command, check=False, cwd=place, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr

    def run(car: Path, out: Path) -> subprocess.CompletedProcess[str]:
        command = ["node", str(place / "unpack.mjs"), str(car), str(out)]
        env = {**os.environ, "NO_COLOR": "1"}
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=200, env=env)

    return run


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
