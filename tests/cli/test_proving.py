"""`prove` and `check-proof`: what is printed, what is refused, and that nothing is left of what does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def commit(cli: Any, bucket: str, tmp_path: Path) -> str:
    """The commit of a bucket with some folders and a body of several chunks."""
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "in" / folder / f"{number:02}").write_bytes(b"%d" % number)
    (tmp_path / "in" / "large").write_bytes(bytes(range(250)) * 10_000)
    assert cli("cp", "-q", "-r", tmp_path / "in", f"mst://{bucket}").code == 0
    (record,) = cli("flush", bucket, "--json").records
    return str(record["commit"])


def test_a_key_is_proved_to_who_knows_the_commit(cli: Any, bucket: str, commit: str, tmp_path: Path) -> None:
    """[CLI-46]"""
    proof = tmp_path / "proof.car"
    assert cli("prove", f"mst://{bucket}/a/07", proof).lines[-1] == commit
    lines = cli("check-proof", proof, "--commit", commit).lines
    assert lines[0] == "proved: 'a/07' is there"
    assert lines[2] == commit
    (record,) = cli("check-proof", proof, "--commit", commit, "--json").records
    assert (record["ok"], record["key"], record["objects"][0]["size"]) == (True, "a/07", 1)
    assert cli("prove", f"mst://{bucket}/none", proof).code == 4  # it is there already
    assert cli("prove", f"mst://{bucket}/none", proof, "--force").code == 0
    assert cli("check-proof", proof, "--commit", commit).lines[0] == "proved: 'none' is NOT there"


def test_a_page_is_proved_to_be_complete(cli: Any, bucket: str, commit: str, tmp_path: Path) -> None:
    """[CLI-46]"""
    proof = tmp_path / "page.car"
    assert cli("prove", f"mst://{bucket}", proof, "--prefix", "", "--delimiter", "/").code == 0
    lines = cli("check-proof", proof, "--commit", commit).lines
    assert lines[0] == "proved: 1 object and 2 common prefixes, and no other, with prefix ''"
    assert lines[3:5] == [f"{'PRE':>30} a/", f"{'PRE':>30} b/"]
    assert cli("prove", f"mst://{bucket}", proof, "--force", "--prefix", "a/", "--max-keys", "3").code == 0
    (record,) = cli("check-proof", proof, "--commit", commit, "--json").records
    assert [one["key"] for one in record["objects"]] == ["a/00", "a/01", "a/02"]
    assert record["next_start_after"] == "a/02"
    more = ("--prefix", "a/", "--start-after", "a/02", "--max-keys", "1")
    assert cli("prove", f"mst://{bucket}", proof, "--force", *more).code == 0
    (record,) = cli("check-proof", proof, "--commit", commit, "--json").records
    assert [one["key"] for one in record["objects"]] == ["a/03"]


def test_bytes_are_proved_and_left_only_if_they_are(cli: Any, bucket: str, commit: str, tmp_path: Path) -> None:
    """[CLI-46]"""
    proof, out = tmp_path / "body.car", tmp_path / "out"
    assert cli("prove", f"mst://{bucket}/large", proof, "--range", "bytes=1000000-1100000").code == 0
    assert cli("check-proof", proof, "--commit", commit, "--output", out).code == 0
    assert out.read_bytes() == (tmp_path / "in" / "large").read_bytes()[1_000_000:1_100_001]
    assert cli("check-proof", proof, "--commit", commit, "--output", out).code == 4
    data = bytearray(proof.read_bytes())
    data[-1] ^= 1
    proof.write_bytes(data)
    ran = cli("check-proof", proof, "--commit", commit, "--output", tmp_path / "bad")
    assert ran.code == 5
    assert "body.car" in ran.error
    assert not (tmp_path / "bad").exists()


def test_wrong_input(cli: Any, bucket: str, commit: str, tmp_path: Path) -> None:
    """[CLI-46]"""
    proof = tmp_path / "p.car"
    at = f"mst://{bucket}"
    for arguments, code in (
        ([at, proof], 2), ([f"{at}/k", proof, "--prefix", ""], 2), ([f"{at}/k", proof, "--max-keys", "3"], 2),
        ([at, proof, "--prefix", "", "--body"], 2), ([at, proof, "--prefix", "", "--max-keys", "0"], 2),
        ([f"{at}/none", proof, "--body"], 3), (["mst://none/k", proof], 3), ([f"{at}/a/07", tmp_path / "no" / "p.car"], 3),
        ([f"{at}/a/07", f"{tmp_path}/"], 2),
    ):  # fmt: skip
        assert cli("prove", *arguments).code == code, arguments
        assert not proof.exists()
    assert cli("prove", f"{at}/a/07", proof).code == 0
    assert cli("check-proof", proof).code == 2
    assert cli("check-proof", proof, "--commit", "baf").code == 2
    other = cli("check-proof", proof, "--commit", "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm")
    assert other.code == 5
    assert commit in other.error
    ran = cli("check-proof", proof, "--commit", commit, "--output", tmp_path / "out")
    assert (ran.code, (tmp_path / "out").exists()) == (2, False)
    assert "without --body" in ran.error


def test_what_changed_between_two_commits_is_proved(cli: Any, bucket: str, commit: str, tmp_path: Path) -> None:
    """[CLI-210]"""
    proof, at = tmp_path / "changes.car", f"mst://{bucket}"
    assert cli("rm", f"{at}/a/03").code == 0
    assert cli("cp", tmp_path / "in" / "a" / "04", f"{at}/new").code == 0
    assert cli("cp", tmp_path / "in" / "a" / "05", f"{at}/b/07").code == 0
    (record,) = cli("flush", bucket, "--json").records
    later = str(record["commit"])
    assert cli("prove", at, proof, "--changes", commit, later).lines[-1] == later
    said = cli("check-proof", proof, "--commit", later, "--since", commit)
    assert said.code == 0
    assert said.lines[0] == "proved: 3 changes of objects and 0 changes of noncurrent versions, and no other, since commit 1"
    assert said.lines[2:] == [later, "since commit 1 of it, which it names as the one before it", commit,
                              "- a/03", "~ b/07", "+ new"]  # fmt: skip
    (record,) = cli("check-proof", proof, "--commit", later, "--json").records
    assert (record["since"], record["is_next"]) == (commit, True)
    assert [(one["key"], one["old"] is None, one["new"] is None) for one in record["objects"]] == [
        ("a/03", False, True), ("b/07", False, False), ("new", True, False)
    ]  # fmt: skip
    assert cli("check-proof", proof, "--commit", later, "--since", later).code == 5
    assert cli("check-proof", proof, "--commit", commit).code == 5
    key = tmp_path / "key.car"
    assert cli("prove", f"{at}/new", key).code == 0
    assert cli("check-proof", key, "--commit", later, "--since", commit).code == 2
    for arguments, code in (
        ([f"{at}/new", "--changes", "1", "2"], 2), ([at, "--changes", "1", "2", "--prefix", ""], 2),
        ([at, "--changes", "1", "2", "--max-keys", "3"], 2), ([at, "--changes", "1", "2", "--body"], 2),
        ([at, "--changes", "2", "1"], 2), ([at, "--changes", "1", "9"], 3),
    ):  # fmt: skip
        ran = cli("prove", arguments[0], tmp_path / "none.car", *arguments[1:])
        assert ran.code == code, arguments
        assert not (tmp_path / "none.car").exists()


def test_a_part_of_a_bucket_leaves_as_a_proof(cli: Any, bucket: str, commit: str, tmp_path: Path) -> None:
    """[CLI-211]"""
    part, at = tmp_path / "part.car", f"mst://{bucket}"
    (record,) = cli("export", at, part, "--prefix", "a/1", "--json").records
    assert (record["commit"], record["bytes"]) == (commit, part.stat().st_size)
    said = cli("check-proof", part, "--commit", commit)
    assert said.code == 0
    assert said.lines[0] == "proved: the complete state of prefix 'a/1': 10 objects, 20 bytes, and 0 noncurrent versions"
    (record,) = cli("check-proof", part, "--commit", commit, "--json").records
    assert (record["prefix"], record["objects"], record["bytes"], record["versions"]) == ("a/1", 10, 20, 0)
    for refused in (cli("verify", part), cli("import", part, "mst://made")):
        assert refused.code == 5
        assert "the complete state of its keys with prefix 'a/1'" in refused.error
    assert cli("ls", "mst://made").code == 3
    for options in (["--since", "1"], ["--car-version", "2"], ["--resume"]):
        assert cli("export", at, tmp_path / "none.car", "--prefix", "a/", *options).code == 2
    assert not (tmp_path / "none.car").exists()
