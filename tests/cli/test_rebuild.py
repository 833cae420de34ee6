"""`rebuild` at the command line, on an embedded store whose database directory is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def lost(home: Path, run: Any) -> Path:
    """The directory of a store of the test's own, without its database."""
    place = home / "store"
    assert run("--store", place, "mb", "mst://things").code == 0
    for n in range(3):
        assert run("--store", place, "cp", "-", f"mst://things/{n}", stdin=b"%d" % n * 100_000).code == 0
    assert run("--store", place, "flush").code == 0
    shutil.rmtree(place / "postgres")
    return place


def test_rebuild_brings_a_store_back_and_says_what_is_gone(lost: Path, run: Any) -> None:
    """[CLI-70] [REB-11]"""
    ran = run("--store", lost, "rebuild", "--hash-all")
    assert ran.code == 0, ran.err
    assert any(line.strip().startswith("mst://things  commit 1 b") and "3 objects" in line for line in ran.lines)
    assert any(line.startswith("gone: the access keys") for line in ran.lines)
    assert run("--store", lost, "cat", "mst://things/2").out == b"2" * 100_000
    assert run("--store", lost, "verify", "mst://things").code == 0
    assert run("--store", lost, "rebuild").code == 4  # there is a store now


def test_who_meets_blobs_without_a_database_is_told_of_a_rebuild(lost: Path, run: Any) -> None:
    """[CLI-9]"""
    for command, code in (("ls", 3), ("mb", 2), ("serve", 2)):
        ran = run("--store", lost, command, *(["mst://things"] if command == "mb" else []))
        assert (ran.code, "'mstbucket rebuild' makes it again" in ran.error) == (code, True)


def test_a_loss_is_refused_and_then_accepted(lost: Path, run: Any) -> None:
    """[CLI-70] [REB-8]"""
    largest = max((lost / "blobs" / "packs").rglob("*.car"), key=lambda path: path.stat().st_size)
    largest.unlink()
    ran = run("--store", lost, "rebuild")
    assert ran.code == 5
    assert "--accept-loss" in ran.err
    ran = run("--store", lost, "--json", "rebuild", "--accept-loss")
    assert ran.code == 1
    (record,) = ran.records
    (bucket,) = record["buckets"]
    assert bucket["hurt_count"] == 1
    assert f"the body of mst://things/{bucket['hurt'][0]} is lost" in ran.err


def test_rebuild_makes_no_store_where_there_are_no_blobs(home: Path, run: Any) -> None:
    """[CLI-70]"""
    ran = run("--store", home / "nowhere", "rebuild")
    assert ran.code == 3
    assert not (home / "nowhere").exists()


def test_settings_are_shown_and_set(home: Path, run: Any) -> None:
    """[CLI-71]"""
    place = ("--store", home / "store")
    assert run(*place, "mb", "mst://things").code == 0
    assert run(*place, "cp", "-", "mst://things/a", stdin=b"body").code == 0
    assert run(*place, "store", "set").lines == ["flush_age default", "flush_keys default", "inline_max default"]
    assert run(*place, "store", "set", "flush_age", "60").lines[0] == "flush_age 60"
    assert run(*place, "store", "set", "flush_age", "1").code == 2
    assert run(*place, "store", "set", "flush_age", "soon").code == 2
    assert run(*place, "store", "set", "flush_age", "default").lines[0] == "flush_age default"
    assert any(line.startswith("unflushed 1 change, the oldest ") for line in run(*place, "status").lines)
    (record,) = run(*place, "--json", "status").records
    assert (record["unflushed"]["changes"], record["unflushed"]["bodies"]) == (1, 4)
