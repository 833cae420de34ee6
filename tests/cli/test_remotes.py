"""Two stores kept in step from a shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import mstbucket

_NUMBERS = count()


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a second store, whose server runs as long as the module's tests."""
    path = tmp_path_factory.mktemp("mirror") / "store"
    with mstbucket.open(path, background=False):
        yield path


def test_names_are_added_listed_and_removed(cli: Any) -> None:
    """[CLI-180]"""
    assert cli("remote", "add", "disk", "/mnt/disk").code == 0
    (record,) = cli("remote", "ls", "--json").records
    assert record == {"name": "disk", "place": "/mnt/disk", "blobs": None}
    refused = cli("remote", "add", "db", "postgresql://me:geheim@host/db", "--blobs", "/b")
    assert refused.code == 2
    assert "password" in refused.error
    assert "geheim" not in refused.err
    assert cli("remote", "rm", "disk").code == 0
    assert cli("remote", "ls").out == b""
    assert cli("remote", "rm", "disk").code == 3


def test_a_bucket_goes_there_and_comes_back_merged(cli: Any, bucket: str, mirror: Path) -> None:
    """[CLI-181]: what is no fast-forward ends with 4, and --merge brings the two together."""
    name, place = f"r{next(_NUMBERS)}", f"mst://{bucket}"
    cli("remote", "add", name, mirror)
    cli("cp", "-", f"{place}/k", stdin=b"one")
    (made,) = cli("push", place, name, "--json").records
    assert (made["action"], made["outcome"], made["bucket"]) == ("push", "made", bucket)
    assert b"both are at one commit" in cli("pull", place, name).out
    there = ("--store", str(mirror))
    assert cli(*there, "cat", f"{place}/k").out == b"one"
    cli(*there, "cp", "-", f"{place}/k", stdin=b"theirs")
    cli(*there, "flush", place)
    cli("cp", "-", f"{place}/mine", stdin=b"mine")
    assert cli("pull", place, name).code == 4  # [RMT-9]
    cli("flush", place)
    refused = cli("push", place, name)
    assert refused.code == 4
    assert "fetch first" in refused.error
    assert cli("fetch", place, name, "--json").records[0]["bucket"] == f"{bucket}.{name}"
    cli("mb", f"mst://other.{name}")  # a bucket of one's own that is called so, beside another that is not the same
    cli("mb", "mst://other")
    fetched = {record["bucket"]: record["fetched_from"] for record in cli("ls", "--json").records}
    assert {key: value for key, value in fetched.items() if value} == {f"{bucket}.{name}": name}  # [CLI-252]
    assert [line[20:] for line in cli("ls").lines if "fetched" in line] == [f"{bucket}.{name}  (fetched from {name})"]
    cli("rb", f"mst://other.{name}")
    cli("rb", "mst://other")
    assert cli("cat", f"{place}.{name}/k").out == b"theirs"
    assert cli("pull", place, name, "--ours").code == 2
    records = cli("pull", place, name, "--merge", "--json").records
    assert [one["action"] for one in records] == ["pull", "merge"]
    assert cli("push", place, name).code == 0
    heads = [cli(*where, "log", place, "--json").records[0]["commit"] for where in ((), there)]
    assert heads[0] == heads[1]
    assert cli(*there, "cat", f"{place}/mine").out == b"mine"
    assert cli("verify", place).code == cli(*there, "verify", place).code == 0


def test_what_was_fetched_and_is_no_longer_there_is_pruned(cli: Any, bucket: str, mirror: Path) -> None:
    """[CLI-183] [CLI-184] [CLI-186] A dry run changes nothing; to go, a bucket has to be gone there."""
    name, place, there = f"r{next(_NUMBERS)}", f"mst://{bucket}", ("--store", str(mirror))
    cli("remote", "add", name, mirror)
    cli("cp", "-", f"{place}/k", stdin=b"one")
    (made,) = cli("push", place, name, "--to", f"{bucket}-there", "--json").records
    assert (made["outcome"], made["bucket"]) == ("made", f"{bucket}-there")
    assert cli(*there, "cat", f"{place}-there/k").out == b"one"
    for other in ("a", "b"):
        cli(*there, "mb", f"{place}-{other}")
        cli(*there, "flush", f"{place}-{other}")
        assert cli("fetch", f"{place}-{other}", name).code == 0
    assert cli("remote", "prune", name).out == b""
    cli(*there, "rb", f"{place}-a")
    (dry,) = cli("remote", "prune", name, "--dry-run", "--json").records
    assert (dry["bucket"], dry["removed"], dry["kept"]) == (f"{bucket}-a.{name}", False, None)
    assert cli("remote", "prune", name, "--dry-run").lines == [f"(dryrun) remove: {place}-a.{name}"]
    assert cli("remote", "prune", name).lines == [f"removed {place}-a.{name}"]
    assert cli("ls", f"{place}-a.{name}").code == 3
    assert f"{bucket}-b.{name} stays" in cli("remote", "rm", name).out.decode()
    assert cli("ls", f"{place}-b.{name}").code == 0
    cli("remote", "add", name, mirror)
    cli("fetch", f"{place}-b", name)
    assert b"removed" in cli("remote", "rm", name, "--fetched").out
    assert cli("ls", f"{place}-b.{name}").code == 3
    cli(*there, "rb", f"{place}-b")


def test_no_store_is_made_at_a_mistyped_place(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-182]"""
    cli("remote", "add", "nowhere", tmp_path / "nothing")
    cli("cp", "-", f"mst://{bucket}/k", stdin=b"one")
    ran = cli("push", f"mst://{bucket}", "nowhere")
    assert ran.code == 3
    assert "nothing" in ran.error
    assert not (tmp_path / "nothing").exists()
    assert cli("fetch", f"mst://{bucket}").code == 3  # there is no origin
    cli("remote", "rm", "nowhere")


def test_files_are_a_remote_like_another(cli: Any, bucket: str, mirror: Path, tmp_path: Path) -> None:
    """[CLI-250] [CLI-251]"""
    name, place = f"r{next(_NUMBERS)}", f"mst://{bucket}"
    there = ("--store", str(mirror))
    (record,) = cli("remote", "add", name, "--files", tmp_path / "backup", "--json").records
    assert record["place"] == f"files://{tmp_path}/backup"
    assert cli("remote", "add", name, f"files://{tmp_path}/backup").code == 0  # the same
    assert cli("remote", "add", f"{name}-s3", "s3://things/backup", "--files").code == 0
    assert cli("remote", "add", f"{name}-odd", "s3://key:secret@things/backup").code == 2
    cli("cp", "-", f"{place}/k", stdin=b"one")
    missing = cli("push", place, name)
    assert missing.code not in (0, 2)
    assert "backup" in missing.error
    assert not (tmp_path / "backup").exists()
    (tmp_path / "backup").mkdir()
    assert cli("fetch", place, name).code == 3  # nothing was pushed
    (made,) = cli("push", place, name, "--json").records
    assert (made["action"], made["outcome"], made["bucket"]) == ("push", "made", bucket)
    assert b"both are at one commit" in cli("push", place, name).out
    cli(*there, "remote", "add", name, f"files://{tmp_path}/backup")
    assert cli(*there, "pull", place, name).code == 0
    cli(*there, "cp", "-", f"{place}/theirs", stdin=b"theirs")
    assert cli(*there, "push", place, name).code == 0
    cli("cp", "-", f"{place}/ours", stdin=b"ours")
    refused = cli("push", place, name)
    assert refused.code == 4
    assert "fetch first" in refused.error
    assert cli("pull", place, name, "--merge").code == 0
    assert cli("push", place, name).code == 0
    assert cli(*there, "pull", place, name).code == 0
    assert cli(*there, "cat", f"{place}/ours").out == b"ours"
