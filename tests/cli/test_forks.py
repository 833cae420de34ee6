"""Forks and restores from a shell."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def place(bucket: str) -> str:
    return bucket if bucket.startswith("mst://") else f"mst://{bucket}"


def test_a_bucket_is_forked_as_it_is_and_as_it_was(cli: Any, place: str) -> None:
    """[CLI-51]: without a commit, what was not flushed is in the fork, too."""
    cli("cp", "-", f"{place}/k", stdin=b"first")
    cli("snapshot", "create", place, "before")
    cli("cp", "-", f"{place}/k", stdin=b"second")
    ((then,), (now,)) = (
        cli("fork", source, f"{place}-{name}", "--json").records
        for source, name in ((f"{place}@before", "then"), (place, "now"))
    )
    assert cli("cat", f"{place}-then/k").out == b"first"
    assert cli("cat", f"{place}-now/k").out == b"second"
    (newest, first) = cli("log", place, "--json").records
    assert (then["forked"], now["forked"]) == (first["commit"], newest["commit"])
    assert then["commit"] == cli("log", f"{place}-then", "--json").records[0]["commit"]
    assert cli("fork", f"{place}@before", f"{place}-then").code == 4
    assert cli("fork", f"{place}@nothing", f"{place}-other").code == 3
    assert cli("fork", place, f"{place}-other@1").code == 2


def test_a_key_a_folder_and_a_bucket_are_restored(cli: Any, place: str) -> None:
    """[CLI-52]: a dry run prints the same lines and changes nothing."""
    for key in ("a", "f/1", "f/2"):
        cli("cp", "-", f"{place}/{key}", stdin=b"old")
    cli("snapshot", "create", place, "before")
    for key in ("a", "f/1", "f/3"):
        cli("cp", "-", f"{place}/{key}", stdin=b"new")
    cli("rm", f"{place}/f/2")
    (dry, summary) = cli("restore", f"{place}@before/f/1", "-n").lines
    assert dry == f"(dryrun) replace: {place}/f/1"
    assert summary.startswith("(dryrun) 1 key changed, still at commit ")
    assert cli("cat", f"{place}/f/1").out == b"new"
    records = cli("restore", f"{place}@before/f", "-r", "--json").records
    assert [(r["action"], r.get("key")) for r in records] == [
        ("replace", "f/1"), ("put", "f/2"), ("delete", "f/3"), ("restore", None),
    ]  # fmt: skip
    assert cli("cat", f"{place}/a").out == b"new"
    assert f"for what is below it write {place}@before/f/" in cli("restore", f"{place}@before/f").err  # [CLI-233]
    assert cli("restore", f"{place}@before/f/").lines[0].startswith("0 keys changed")
    assert cli("restore", f"{place}@before", "-q").lines[0].startswith("1 key changed")
    assert cli("cat", f"{place}/a", f"{place}/f/1", f"{place}/f/2").out == b"old" * 3
    assert cli("restore", f"{place}/a").code == 2
    assert cli("restore", f"{place}@nothing").code == 3


def test_a_fork_is_merged_home(cli: Any, place: str) -> None:
    """[CLI-104] With a conflict it ends with 4, and nothing was changed; -n lists, --theirs decides."""
    cli("cp", "-", f"{place}/both", stdin=b"first")
    cli("fork", place, f"{place}-fork")
    cli("cp", "-", f"{place}/both", stdin=b"here")
    cli("cp", "-", f"{place}-fork/both", stdin=b"there")
    cli("cp", "-", f"{place}-fork/new", stdin=b"new")
    assert cli("merge", f"{place}-fork", place, "--fail").code == 4
    failed = cli("merge", f"{place}-fork", place)
    assert failed.code == 4
    assert "both" in failed.err
    listed = cli("merge", f"{place}-fork", place, "-n", "--json").records
    assert [(one["action"], one.get("key")) for one in listed] == [("conflict", "both"), ("put", "new"), ("merge", None)]
    assert cli("cat", f"{place}/both").out == b"here"
    done = cli("merge", f"{place}-fork", place, "--theirs", "--json").records
    assert (done[-1]["changed"], done[-1]["conflicts"]) == (2, 1)
    assert cli("cat", f"{place}/both").out == b"there"
    assert cli("cat", f"{place}/new").out == b"new"
    newest = cli("log", place, "--json").records[0]
    assert newest["merged"] == cli("log", f"{place}-fork", "--json").records[0]["commit"] == done[-1]["merged"]
