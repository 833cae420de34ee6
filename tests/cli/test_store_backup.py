"""`store dump` and `store restore`: a backup of a whole store, and a new store made of it, with real processes' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's backup goes."""
    return tmp_path_factory.mktemp("backup") / "backup"


def test_a_store_goes_into_a_backup_and_a_new_store_comes_out(cli: Any, bucket: str, backup: Path, tmp_path: Path) -> None:
    """[CLI-153] [CLI-154] flushed or not: what was put is in the database or in the blobs, and both are in the backup."""
    (tmp_path / "f").write_bytes(bytes(range(256)) * 1000)
    assert cli("cp", tmp_path / "f", f"mst://{bucket}/flushed").code == 0
    assert cli("flush", bucket).code == 0
    assert cli("cp", "-", f"mst://{bucket}/waiting", stdin=b"in no commit yet").code == 0
    assert cli("snapshot", "create", bucket, "v1").code == 0
    assert cli("cp", "-", f"mst://{bucket}/later", stdin=b"in no commit at all").code == 0
    first = cli("store", "dump", backup, "--json").records[0]
    assert first["copied"] > 0
    again = cli("store", "dump", backup, "--json").records[0]
    assert (again["copied"], again["present"]) == (0, first["copied"])
    assert (backup / "database.dump").stat().st_mode & 0o077 == 0  # the secrets of access keys are in it

    new = tmp_path / "new"
    ran = cli("--store", new, "store", "restore", backup)
    assert (ran.code, ran.err) == (0, "")
    assert "check --level presence" in ran.lines[-1]
    assert cli("--store", new, "check", "--level", "data").code == 0
    bodies = {"flushed": bytes(range(256)) * 1000, "waiting": b"in no commit yet", "later": b"in no commit at all"}
    for key, body in bodies.items():
        assert cli("--store", new, "cat", f"mst://{bucket}/{key}").out == body
    log = [record["commit"] for record in cli("log", bucket, "--json").records]
    assert [record["commit"] for record in cli("--store", new, "log", bucket, "--json").records] == log
    assert cli("--store", new, "snapshot", "ls", bucket).code == 0
    assert not list(tmp_path.glob(".*partial"))

    ran = cli("--store", new, "store", "restore", backup)  # there is a store now
    assert (ran.code, "is not empty" in ran.error) == (4, True)
    assert cli("--store", new, "cat", f"mst://{bucket}/later").code == 0


def test_a_damaged_backup_makes_no_store(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-154]"""
    assert cli("store", "dump", tmp_path / "b").code == 0
    with (tmp_path / "b" / "database.dump").open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    ran = cli("--store", tmp_path / "new", "store", "restore", tmp_path / "b")
    assert (ran.code, "is damaged" in ran.error) == (5, True)
    (tmp_path / "b" / "dump.json").write_text("{")
    assert cli("--store", tmp_path / "new", "store", "restore", tmp_path / "b").code == 5
    assert not (tmp_path / "new").exists()


def test_a_backup_is_not_put_beside_something_else(cli: Any, bucket: str, home: Path, tmp_path: Path) -> None:
    """[CLI-153]"""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("dear")
    ran = cli("store", "dump", tmp_path / "full")
    assert (ran.code, "holds no backup" in ran.error) == (4, True)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter"]
    assert cli("store", "dump", tmp_path / "full" / "letter").code == 2
    assert cli("--store", tmp_path / "new", "store", "restore", tmp_path / "full").code == 3
    assert not (tmp_path / "new").exists()


def test_usage_counts_objects_older_versions_and_uploads(cli: Any, bucket: str) -> None:
    """[CLI-155]"""
    assert cli("versioning", bucket, "enable").code == 0
    for body in (b"1", b"22", b"333"):
        assert cli("cp", "-", f"mst://{bucket}/k", stdin=body).code == 0
    assert cli("cp", "-", f"mst://{bucket}/gone", stdin=b"4444").code == 0
    assert cli("rm", f"mst://{bucket}/gone").code == 0
    (record,) = cli("status", "--usage", "--json").records
    (mine,) = (one for one in record["usage"]["buckets"] if one["bucket"] == bucket)
    assert mine == {
        "bucket": bucket, "objects": 1, "bytes": 3, "older": 4, "older_bytes": 7, "uploads": 0, "upload_bytes": 0
    }  # fmt: skip
    assert record["usage"]["database"] > 1_000_000
    lines = cli("status", "--usage").lines
    assert f"  mst://{bucket}  1 object (3 Bytes), older versions 4 (7 Bytes)" in lines
    assert "usage" not in cli("status", "--json").records[0]
