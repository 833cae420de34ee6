"""Versions from a shell: switch them on, see them, read and remove one."""

from __future__ import annotations

from typing import Any

import pytest


def put(cli: Any, bucket: str, body: bytes) -> None:
    assert cli("cp", "-", f"{bucket}/k", stdin=body).code == 0


@pytest.fixture
def address(cli: Any, bucket: str) -> str:
    """A versioned bucket with a null version, a version and a delete marker of one key."""
    place = bucket if bucket.startswith("mst://") else f"mst://{bucket}"
    assert cli("versioning", place).lines == [f"{place}  versioning was never set"]
    put(cli, place, b"old")
    assert cli("versioning", place, "enable").lines == [f"{place}  versioning Enabled"]
    put(cli, place, b"newer")
    ran = cli("rm", f"{place}/k")
    assert ran.lines[0].startswith(f"delete: {place}/k version ")
    assert ran.lines[0].endswith(" (delete marker)")
    return place


def test_versions_are_listed_newest_first(cli: Any, address: str) -> None:
    assert cli("ls", address).lines == []
    records = cli("ls", "--versions", address, "--json").records
    assert [(r["type"], r["key"], r["delete_marker"], r["size"], r["is_latest"]) for r in records] == [
        ("version", "k", True, None, True),
        ("version", "k", False, 5, False),
        ("version", "k", False, 3, False),
    ]
    assert records[-1]["version_id"] == "null"
    lines = cli("ls", "--versions", "--human-readable", address).lines
    assert [("DELETED" in line, " * " in line, line.endswith(" k")) for line in lines] == [
        (True, True, True),
        (False, False, True),
        (False, False, True),
    ]


def test_a_version_is_read_and_removed_by_its_id(cli: Any, address: str) -> None:
    marker, newer, _ = (r["version_id"] for r in cli("ls", "--versions", address, "--json").records)
    assert cli("cat", f"{address}/k").code == 3
    assert cli("cat", f"{address}/k", "--version-id", newer).out == b"newer"
    assert cli("cat", f"{address}/k", "--version-id", "null", "--range", "bytes=0-1").out == b"ol"
    [record] = cli("stat", f"{address}/k", "--version-id", newer, "--json").records
    assert (record["size"], record["version_id"]) == (5, newer)
    assert cli("stat", f"{address}/k", "--version-id", marker).code == 4
    assert cli("rm", f"{address}/k", "--version-id", marker).code == 0
    assert cli("cat", f"{address}/k").out == b"newer"
    [record] = cli("stat", address, "--json").records
    assert record["versioning"] == "Enabled"


def test_a_bucket_is_emptied_of_its_versions_too(cli: Any, address: str) -> None:
    assert "versions or delete markers" in cli("rb", address).error
    assert cli("rb", "--force", address).code == 0


WRONG = {
    "another state": ["versioning", "ADDRESS", "disable"],
    "a version of everything under a prefix": ["rm", "-r", "ADDRESS/k", "--version-id", "null"],
    "a version of two objects": ["cat", "ADDRESS/k", "ADDRESS/l", "--version-id", "null"],
    "a version of a bucket": ["stat", "ADDRESS", "--version-id", "null"],
    "versions of no bucket": ["ls", "--versions"],
    "a sum of versions": ["ls", "--versions", "--summarize", "ADDRESS"],
    "an empty id": ["cat", "ADDRESS/k", "--version-id", ""],
}


@pytest.mark.parametrize("argv", WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_refused(cli: Any, address: str, argv: list[str]) -> None:
    assert cli(*(argument.replace("ADDRESS", address) for argument in argv)).code == 2
