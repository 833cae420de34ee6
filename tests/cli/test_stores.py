"""Stores as the commands meet them: a server of one's own, several commands at once, and what does not answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_a_server_of_ones_own(run: Any, database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-6] by environment and by config file; no directory of a store is made."""
    monkeypatch.setenv("MSTBUCKET_DATABASE", database_url)
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(home / "packs"))
    assert run("mb", "mst://abc").code == 0
    assert run("cp", "-", "mst://abc/key", stdin=b"x" * 100_000).code == 0
    assert run("flush").code == 0
    assert run("verify", "mst://abc").code == 0
    (status,) = run("status", "--json").records
    assert (status["kind"], status["named_by"], status["blobs"]) == ("server", "the environment", str(home / "packs"))
    assert [info["bucket"] for info in status["buckets"]] == ["abc"]
    monkeypatch.delenv("MSTBUCKET_DATABASE")
    monkeypatch.delenv("MSTBUCKET_BLOBS")
    (home / ".config" / "mstbucket").mkdir(parents=True)
    (home / ".config" / "mstbucket" / "config.toml").write_text(f'database = "{database_url}"\nblobs = "~/packs"\n')
    assert run("cat", "mst://abc/key").out == b"x" * 100_000
    assert sorted(os.listdir(home)) == [".config", "packs"]


@pytest.mark.parametrize("argv", [["ls"], ["mb", "mst://abc"]], ids=" ".join)
def test_a_server_that_does_not_answer(
    process: Any, argv: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CLI-2] [CLI-3] [CLI-24] one line, without the password."""
    monkeypatch.setenv("MSTBUCKET_DATABASE", "postgresql://somebody:secret@127.0.0.1:1/db?connect_timeout=2")
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(home / "packs"))
    ran = process(*argv)
    assert ran.returncode == 6
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith("mstbucket: error: ")
    assert "secret" not in line


def test_several_commands_at_once(cli: Any, bucket: str, tmp_path: Path, store_path: Path) -> None:
    """Each has its own process; none sees or loses a half of another."""
    children = []
    for number in range(3):
        source = tmp_path / f"in-{number}"
        source.mkdir()
        for name in range(50):
            (source / f"{name}").write_bytes(b"%d" % number * name)
        command = [sys.executable, "-m", "mstbucket.cli", "cp", "-r", "-q", str(source), f"mst://{bucket}/{number}"]
        children.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    for child in children:
        assert child.communicate(timeout=120)[1] == b""
        assert child.returncode == 0
    assert cli("flush", bucket, "--json").records[0]["objects"] == 150
    assert cli("verify", f"mst://{bucket}").code == 0


def test_a_database_of_a_newer_version_or_none_at_all(run: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-3] a directory that looks like a store and is none."""
    (home / "store" / "postgres" / "data").mkdir(parents=True)
    (home / "store" / "postgres" / "run").mkdir()
    (home / "store" / "postgres" / "run" / "clients.lock").touch()
    (home / "store" / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    ran = run("ls", "--store", home / "store")
    assert ran.code in {6, 7}
    assert "store" in ran.error


def test_a_directory_that_happens_to_hold_a_postgres_of_somebody_else_is_no_store(run: Any, home: Path) -> None:
    """[CLI-9]: neither is its server started, nor a bucket made beside it."""
    (home / "app" / "postgres" / "data").mkdir(parents=True)
    (home / "app" / "postgres" / "data" / "PG_VERSION").write_text("18\n")
    assert run("ls", "--store", home / "app").code == 3
    assert run("mb", "mst://abc", "--store", home / "app").code == 2
    (home / "app" / "postgres" / "run").mkdir()  # many a server has one, for its socket
    assert run("ls", "--store", home / "app").code == 3
    assert run("mb", "mst://abc", "--store", home / "app").code == 2
    assert sorted(path.name for path in (home / "app" / "postgres").rglob("*")) == ["PG_VERSION", "data", "run"]
