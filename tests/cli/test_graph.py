"""`log --graph` of a bucket with a fork that came back, and how lines with a CID are broken on a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mstbucket.cli.output import fold

CID = "bafyreiblfovcanc6ijsjgcabubyeutywp66x7vzzvs6qljp5ap6gjavd5m"


def test_forks_and_merges_are_drawn(cli: Any, bucket: str) -> None:
    """[CLI-157]"""
    fork = f"{bucket}-fork"
    assert cli("cp", "-", f"mst://{bucket}/a", stdin=b"1").code == 0
    assert cli("snapshot", "create", bucket, "v1").code == 0
    assert cli("fork", bucket, fork).code == 0
    assert cli("cp", "-", f"mst://{fork}/b", stdin=b"2").code == 0
    assert cli("flush", fork).code == 0
    assert cli("merge", fork, bucket).code == 0
    shown = [re.sub(r"\d{4}-\S+ \S+,", "TIME,", line) for line in cli("log", "--graph", bucket).lines]
    commits = {record["seq"]: record["commit"] for record in cli("log", bucket, "--json").records}
    theirs = {record["seq"]: record["commit"] for record in cli("log", fork, "--json").records}
    assert shown == [
        "*  commit 2, TIME, 2 objects", f"|  {commits[2]}",
        "|\\", f"| o merged from mst://{fork}, commit 2", f"| | {theirs[2]}", "|/",
        "*  commit 1, TIME, 1 object  (v1)", f"|\\ forked to mst://{fork}", f"|  {commits[1]}",
    ]  # fmt: skip
    assert cli("log", "--graph", fork).lines[-2:] == [f"o  forked from mst://{bucket}, commit 1", f"   {commits[1]}"]
    assert cli("log", "--graph", "--json", fork).code == 2


def test_messages_stand_below_their_commits(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-160] [COM-24] Nothing of a foreign message drives the terminal."""
    file = tmp_path / "photos.car"
    assert cli("cp", "-", f"mst://{bucket}/a", stdin=b"1").code == 0
    assert cli("flush", bucket, "-m", "first import").code == 0
    refused = cli("flush", bucket, "-m", "other").error
    assert refused.endswith("allow an empty commit (--allow-empty) to record it [NothingToCommit]")
    assert cli("flush", bucket, "-m", "other").code == 4
    evil = "day 2: \x1b[31mred\r\n\n\u202ebody " + "x" * 80 + "\n"
    assert cli("flush", bucket, "--message", evil, "--allow-empty").code == 0
    shown = [re.sub(r"^\d{4}-\S+ \S+ .*", "COMMIT", line) for line in cli("log", bucket).lines]
    assert shown == [
        "COMMIT", "    day 2: \\x1b[31mred", "", "    \\u202ebody " + "x" * 80, "COMMIT", "    first import",
    ]  # fmt: skip
    drawn = [line for line in cli("log", "--graph", bucket).lines if not re.search(r"baf|commit", line)]
    assert drawn == ["|  day 2: \\x1b[31mred", "|  first import"]
    assert [record["message"] for record in cli("log", bucket, "--json").records] == [evil, "first import"]
    assert cli("export", bucket, file).code == 0
    told = cli("inspect", file)
    assert "         message: day 2: \\x1b[31mred" in told.out.decode()
    assert b"\x1b" not in told.out
    assert cli("inspect", file, "--json").records[0]["roots"][0]["message"] == evil
    assert cli("stat", f"mst://{bucket}@1", "--json").records[0]["message"] == "first import"
    assert cli("snapshot", "create", bucket, "v1", "--commit", "1").code == 0
    shown = dict(line.split(maxsplit=1) for line in cli("stat", f"mst://{bucket}@1").lines)
    assert (shown["names"], shown["message"]) == ("v1", "first import")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", shown["time"])


def test_a_long_first_line_is_cut_in_the_drawing(cli: Any, bucket: str) -> None:
    """[CLI-160]"""
    assert cli("flush", bucket, "-m", "\n" + "x" * 100).code == 0
    assert cli("log", "--graph", bucket).lines[1] == "|  " + "x" * 71 + "…"


@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_a_cid_is_never_broken_on_a_terminal(columns: int) -> None:
    """[CLI-158]"""
    line = f"flush: mst://photos is at commit 1 {CID}, 2 objects, 277,788 bytes"
    lines = fold(line, columns).split("\n")
    assert any(CID in one for one in lines)
    assert " ".join(one.strip() for one in lines) == line
    assert all(len(one) <= columns or CID in one for one in lines)


def test_other_lines_stay_as_they_are() -> None:
    assert fold("a key " + "x " * 200, 80) == "a key " + "x " * 200
    assert fold(f"{CID} fits", 80) == f"{CID} fits"
