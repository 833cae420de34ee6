"""`repair`: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest


@pytest.fixture
def own(own_store: Path, run: Any) -> Path:
    """`own_store` with objects."""
    for n in range(3):
        assert run("cp", "-", f"mst://abc/{n}", stdin=b"%d" % n * 90_000).code == 0
    assert run("flush").code == 0
    return own_store


def test_blocks_come_back_from_an_export(own: Path, run: Any, home: Path) -> None:
    """[CLI-81]"""
    assert run("export", "mst://abc", home / "abc.car").code == 0
    for path in (own / "packs").rglob("*.car"):
        path.unlink()
    assert run("check").code == 5
    (home / "empty").mkdir()
    ran = run("repair", "blocks", home / "empty")
    assert ran.code == 1
    assert "cannot be read, and is not in" in ran.err
    assert run("repair", "blocks", home / "abc.car").code == 0
    assert run("check", "--level", "proof").code == 0
    assert run("cat", "mst://abc/2").out == b"2" * 90_000


def test_what_would_be_lost_is_listed_and_nothing_is_done(own: Path, run: Any, database_url: str) -> None:
    """[CLI-81]"""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE mstbucket.objects SET key = 'new' WHERE key = '1'")
    ran = run("repair", "index", "mst://abc")
    assert ran.code == 4
    assert ran.lines[0].startswith("would be lost: mst://abc new: ")
    assert run("stat", "mst://abc/new").code == 0
    ran = run("repair", "index", "mst://abc", "--accept-loss", "--json")
    assert ran.code == 0
    (record,) = ran.records
    assert (record["applied"], record["repaired"], [loss["key"] for loss in record["lost"]]) == (True, 2, ["new"])
    assert run("check", "--level", "proof").code == 0
    assert run("repair", "tree", "mst://abc").code == 0
    assert run("repair", "lost", "mst://abc").code == 0
    assert run("check", "--level", "proof").code == 0
