"""Reading the past by addresses such as `mst://bucket@3/key` ([CLI-55], [CLI-56])."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.cli.address import Address, parse_address, parse_readable
from mstbucket.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mst://b@3/key", Address("b", "key", "3")),
        ("mst://b@3", Address("b", "", "3")),
        ("mst://b@2030-01-01T00:00:00+02:00/a@b", Address("b", "a@b", "2030-01-01T00:00:00+02:00")),
        ("mst://b/a@b", Address("b", "a@b")),
        ("mst://b@x@y/k", Address("b", "k", "x@y")),
    ],
)
def test_only_what_stands_before_the_first_slash_names_a_commit(text: str, address: Address) -> None:
    """[CLI-55]"""
    assert parse_readable(text) == address
    assert parse_readable(str(address)) == address
    if address.commit is None:
        assert parse_address(text) == address
    else:
        with pytest.raises(InvalidInput, match="can only be read"):
            parse_address(text)


@pytest.fixture
def changed(cli: Any, bucket: str, tmp_path: Path) -> str:
    """A bucket of two commits: `d/a` held `one` at first, and `two` since; `d/x@y` came then; `d/gone` went."""
    for key, data in (("d/a", b"one"), ("d/gone", b"gone")):
        assert cli("cp", "-", f"mst://{bucket}/{key}", stdin=data).code == 0
    assert cli("flush", f"mst://{bucket}").code == 0
    for key, data in (("d/a", b"two"), ("d/x@y", b"at")):
        assert cli("cp", "-", f"mst://{bucket}/{key}", stdin=data).code == 0
    assert cli("rm", f"mst://{bucket}/d/gone").code == 0
    assert cli("flush", f"mst://{bucket}").code == 0
    assert cli("cp", "-", f"mst://{bucket}/d/a", stdin=b"three").code == 0
    return bucket


def test_what_reads_reads_a_commit(cli: Any, changed: str) -> None:
    """[CLI-55]"""
    past, now = f"mst://{changed}@1", f"mst://{changed}"
    assert cli("cat", f"{past}/d/a", f"{now}@2/d/a", f"{now}/d/a", f"{now}/d/x@y").out == b"onetwothreeat"
    assert cli("cat", "--range", "bytes=1-", f"{past}/d/a").out == b"ne"
    assert [record["key"] for record in cli("ls", "-r", "--json", past).records] == ["d/a", "d/gone"]
    assert [record["prefix"] for record in cli("ls", "--json", past).records] == ["d/"]
    assert [record["key"] for record in cli("ls", "--versions", "-r", "--json", f"{past}/d/").records] == ["d/a", "d/gone"]
    assert cli("stat", "--json", f"{past}/d/a").records[0]["size"] == 3
    (commit,) = cli("stat", "--json", past).records
    assert (commit["bucket"], commit["seq"], commit["objects"]) == (changed, 1, 2)
    assert cli("cat", f"{now}@{commit['commit']}/d/a").out == b"one"
    assert cli("cat", f"{now}@{commit['time']}/d/a").out == b"one"
    assert cli("verify", "--json", past).records[0]["commit"] == commit["commit"]
    assert cli("cat", f"{past}/d/x@y").code == 3
    missing = cli("cat", f"{now}@7/d/a")
    assert (missing.code, "has no commit 7: the 2 that can be read are from 1" in missing.error) == (3, True)


def test_a_commit_is_exported_as_it_was_and_nothing_is_flushed(cli: Any, changed: str, tmp_path: Path) -> None:
    """[CLI-56]"""
    first, second = (record["commit"] for record in reversed(cli("log", "--json", changed).records))
    (record,) = cli("export", "--json", f"mst://{changed}@1", tmp_path / "past.car").records
    assert record["commit"] == first
    assert [record["commit"] for record in cli("log", "--json", changed).records] == [second, first]
    assert cli("import", tmp_path / "past.car", f"mst://{changed}-copy").code == 0
    assert cli("cat", f"mst://{changed}-copy/d/a").out == b"one"


def test_a_commit_is_the_source_of_copies_and_of_a_sync(cli: Any, changed: str, tmp_path: Path) -> None:
    """[CLI-55] [PAST-34]"""
    past, now = f"mst://{changed}@1", f"mst://{changed}"
    assert cli("cp", f"{past}/d/a", "-").out == b"one"
    assert cli("cp", f"{past}/d/a", tmp_path / "a").code == 0
    assert (tmp_path / "a").read_bytes() == b"one"
    copied = cli("cp", "-v", "-r", f"{past}/d", tmp_path / "out")
    assert f"download: {past}/d/gone to " in copied.out.decode()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "gone"]
    assert cli("cp", f"{past}/d/a", f"{now}/d/a").code == 0
    assert cli("cat", f"{now}/d/a").out == b"one"
    assert cli("cp", "-r", f"{now}@2/d", f"{now}/d").code == 0  # onto itself: the past is another place
    assert cli("cat", f"{now}/d/a", f"{now}/d/x@y").out == b"twoat"
    done = cli("sync", "--delete", "--json", f"{past}/d", f"{now}/d").records
    assert {(record.get("action"), record.get("target")) for record in done[:-1]} == {
        ("copy", f"{now}/d/a"), ("copy", f"{now}/d/gone"), ("delete", f"{now}/d/x@y"),
    }  # fmt: skip
    assert cli("cat", f"{now}/d/a", f"{now}/d/gone").out == b"onegone"
    assert cli("sync", past, tmp_path / "synced").code == 0
    assert (tmp_path / "synced" / "d" / "gone").read_bytes() == b"gone"
    assert cli("cp", "-r", f"{past}/none", tmp_path / "none").code == 3


@pytest.mark.parametrize(
    "command",
    [
        ["cp", "-", "mst://b@1/k"], ["cp", "mst://b/k", "mst://b@1/k"], ["sync", ".", "mst://b@1"], ["rm", "mst://b@1/k"],
        ["rb", "mst://b@1"], ["mb", "mst://b@1"], ["tag", "mst://b@1/k"], ["lock", "mst://b@1/k"], ["flush", "mst://b@1"],
        ["log", "mst://b@1"], ["versioning", "mst://b@1"], ["lifecycle", "mst://b@1"], ["uploads", "mst://b@1"],
        ["import", "x.car", "b@1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_writes_or_asks_for_the_present_refuses_a_commit(cli: Any, bucket: str, command: list[str]) -> None:
    """[CLI-55]"""
    command = [word.replace("mst://b", f"mst://{bucket}") for word in command]
    refused = cli(*command, stdin=b"")
    assert (refused.code, "can only be read" in refused.error) == (2, True)


def test_an_address_without_the_commit_it_promises_is_refused(cli: Any, bucket: str) -> None:
    """[CLI-55]"""
    assert "names no commit" in cli("ls", f"mst://{bucket}@/k").error
    assert "names no bucket" in cli("ls", "mst://@1/k").error


def test_what_differs_is_listed_by_key(cli: Any, changed: str) -> None:
    """[CLI-57]"""
    done = cli("diff", f"mst://{changed}@1", f"mst://{changed}")
    assert done.lines[:-1] == ["~ d/a", "- d/gone", "+ d/x@y"]
    assert done.lines[-1].endswith("1 added, 1 removed, 1 changed")
    assert "has 1 change that no commit holds yet" in done.err
    assert cli("diff", f"mst://{changed}@1", f"{changed}@1").lines[-1].endswith("no object differs")
    added, summary = cli("diff", "--json", "--prefix", "d/x", f"mst://{changed}@1", f"mst://{changed}@2").records
    assert (added["type"], added["key"], added["old"], added["new"]["size"]) == ("added", "d/x@y", None, 2)
    assert (summary["added"], summary["removed"], summary["changed"]) == (1, 0, 0)
    assert cli("diff", "-q", f"mst://{changed}@2", f"mst://{changed}@1").lines[0].endswith("1 added, 1 removed, 1 changed")
    assert cli("diff", f"mst://{changed}@1", f"mst://{changed}@9").code == 3
    assert cli("diff", f"mst://{changed}/d", f"mst://{changed}").code == 2


def test_a_bucket_without_a_commit_cannot_be_compared(cli: Any, bucket: str, changed: str) -> None:
    """[CLI-57]"""
    assert cli("mb", "mst://never-flushed").code == 0
    refused = cli("diff", "mst://never-flushed", f"mst://{changed}")
    assert (refused.code, "flush it first" in refused.error) == (3, True)


def test_the_log_shows_the_names_of_snapshots(cli: Any, changed: str, store_path: Path) -> None:
    """[CLI-58]"""
    with mstbucket.open(store_path, background=False) as store:
        name_it = "INSERT INTO snapshots SELECT id, unnest(%s::text[]), 1, 0 FROM buckets WHERE name = %s"
        with store._context.db.connection() as connection:
            connection.execute(name_it, (["start", "base"], changed))
        assert [commit.names for commit in store.bucket(changed).log()] == [(), ("base", "start")]
        with store.bucket(changed).at("start") as view:
            assert (view.commit.seq, view.commit.names) == (1, ("base", "start"))
    assert [record["names"] for record in cli("log", "--json", changed).records] == [[], ["base", "start"]]
    assert cli("log", changed).lines[1].endswith("(base, start)")
    assert cli("cat", f"mst://{changed}@start/d/a").out == b"one"
