"""`inspect`, `block`, `tree`, `--expect`: what a person looks at before trusting it."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

EXPORTS = Path(__file__).parents[2] / "fixtures" / "exports"
ONE = "bafyreienqlouzbjz6o5doonm4tu6j62nj73buripjklnnfd7y2akzn2hkm"


@pytest.fixture
def filled(cli: Any, bucket: str, tmp_path: Path) -> str:
    """A bucket of forty objects and a larger one, flushed."""
    (tmp_path / "in").mkdir()
    for number in range(40):
        (tmp_path / "in" / f"{number:02}").write_bytes(b"%d" % number)
    (tmp_path / "in" / "large").write_bytes(bytes(3_000_000))
    assert cli("cp", "-q", "-r", tmp_path / "in", f"mst://{bucket}").code == 0
    assert cli("flush", bucket).code == 0
    return bucket


def test_inspect_tells_what_a_file_holds_without_a_store(cli: Any) -> None:
    """[CLI-43]"""
    lines = cli("inspect", EXPORTS / "two-levels.car").lines
    assert lines[0].endswith("two-levels.car: CAR version 1, 1 root")
    assert "commit of a bucket: name photos" in lines[2]
    (found,) = cli("inspect", EXPORTS / "two-levels.car", "--json").records
    assert found["blocks"] == {"blocks": 10, "bytes": 925}
    assert found["nodes"] == {"1": {"nodes": 1, "entries": 1}, "0": {"nodes": 2, "entries": 2}}
    assert found["roots"][0]["objects"] == 3


def test_inspect_counts_damage_and_says_where_a_file_ends(cli: Any, tmp_path: Path) -> None:
    """[CLI-43]"""
    data = bytearray((EXPORTS / "one-object.car").read_bytes())
    data[-1] ^= 1
    (tmp_path / "bad.car").write_bytes(data)
    ran = cli("inspect", tmp_path / "bad.car")
    assert ran.code == 0
    assert any("1 block: NOT what the CID says" in line for line in ran.lines)
    (tmp_path / "cut.car").write_bytes(data[:-1])
    ran = cli("inspect", tmp_path / "cut.car")
    assert ran.code == 5
    assert "cut.car" in ran.error
    assert cli("inspect", EXPORTS / "none.car").code == 3


def test_the_commit_that_is_expected_decides(cli: Any) -> None:
    """[CLI-42]"""
    file = EXPORTS / "one-object.car"
    assert cli("verify", file, "--expect", ONE).code == 0
    other = ONE[:-1] + ("q" if ONE[-1] != "q" else "a")
    for command in ("verify", "import"):
        ran = cli(command, EXPORTS / "empty.car", "--expect", ONE)
        assert ran.code == 5
        assert ONE in ran.error
        assert cli(command, file, "--expect", "baf").code == 2
    assert cli("verify", file, "--expect", other).code in (2, 5)
    assert "photos" not in "".join(cli("ls").lines)
    assert cli("verify", "mst://photos", "--expect", ONE).code == 2


def test_the_way_to_a_key_is_drawn_and_its_blocks_are_there(cli: Any, filled: str) -> None:
    """[CLI-44], [CLI-45]"""
    (found,) = cli("tree", "show", f"mst://{filled}/17", "--json").records
    heights = [node["height"] for node in found["nodes"]]
    assert heights == list(range(heights[0], heights[-1] - 1, -1))
    assert [node["holds"] for node in found["nodes"]] == [False] * (len(heights) - 1) + [True]
    assert cli("block", "get", found["content"]).out == b"17"
    assert hashlib.sha256(cli("block", "get", found["manifest"]).out).hexdigest()
    chain = [found["commit"], *(node["cid"] for node in found["nodes"]), found["manifest"], found["content"]]
    for above, below in pairwise(chain):
        assert below in [record["cid"] for record in cli("block", "ls", above, "--json").records]
    text = cli("tree", "show", f"mst://{filled}/17").lines
    assert text[0].startswith(found["commit"])
    assert "manifest of '17'" in text[-2]


def test_a_key_that_is_not_there_has_a_place(cli: Any, filled: str) -> None:
    """[CLI-45]"""
    ran = cli("tree", "show", f"mst://{filled}/170")
    assert ran.code == 0
    assert ran.lines[-1].strip() == "'170' is not in the tree"
    (found,) = cli("tree", "show", f"mst://{filled}/170", "--json").records
    assert found["manifest"] is None


def test_what_is_not_there_is_said(cli: Any, bucket: str, filled: str) -> None:
    assert cli("block", "get", ONE).code == 3
    assert cli("block", "ls", ONE).code == 3
    assert cli("block", "get", "17").code == 2
    assert cli("block", "get", ONE, "--json").code == 2
    assert cli("tree", "show", f"mst://{filled}").code == 2
    assert cli("mb", "mst://never-flushed").code == 0
    assert cli("tree", "show", "mst://never-flushed/k").code == 3
    (root,) = cli("stat", f"mst://{filled}/large", "--json").records
    assert len(cli("block", "ls", root["content"]).lines) == 3
