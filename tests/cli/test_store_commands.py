"""`store copy`, `store reencode`, `store compact` and `store migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.api.upgrade import upgrade_store
from mstbucket.blobs.names import STORE
from mstbucket.errors import NotFound
from mstbucket.pg.embedded import EmbeddedPostgres


@pytest.fixture
def own(own_store: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`own_store` with objects."""
    monkeypatch.setenv("TEST_KEY", "5e" * 32)
    for n in range(3):
        assert run("cp", "-", f"mst://abc/{n}", stdin=b"%d" % n * 9).code == 0
        assert run("flush").code == 0
    return own_store


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*.*") if file.is_file()}


def test_copy_moves_a_store(own: Path, home: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[STO-11] and the words that say how to switch."""
    ran = run("store", "copy", own, home / "there")
    assert ran.code == 0
    assert ran.lines[0].startswith("8 blobs copied (")  # 3 packs, 3 refs, the state of the bucket, the identity
    assert f"MSTBUCKET_BLOBS={home / 'there'}" in ran.lines[1]
    assert files(home / "there") == files(own)
    assert run("store", "compact").code == 0
    (record,) = run("store", "copy", own, f"file://{home / 'there'}", "--delete", "--json").records
    assert {name: record[name] for name in ("copied", "present", "removed")} == {"copied": 1, "present": 5, "removed": 3}
    own.rename(home / "away")
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(home / "there"))
    assert run("verify", "mst://abc").code == 0
    assert run("cat", "mst://abc/1").out == b"1" * 9


def test_copy_says_what_is_wrong_with_its_places(own: Path, home: Path, run: Any) -> None:
    """[STO-14] no directory is made of a mistyped source."""
    ran = run("store", "copy", home / "nothing", home / "there")
    assert (ran.code, "there is no directory" in ran.error) == (3, True)
    assert sorted(path.name for path in home.iterdir()) == ["packs"]
    with mstbucket.open(home / "whole"):
        ran = run("store", "copy", home / "whole", home / "there")
    assert (ran.code, str(home / "whole" / "blobs") in ran.error) == (2, True)
    (home / "empty").mkdir()
    assert run("store", "copy", home / "empty", home / "there").code == 3


def test_reencode_switches_on_and_off(own: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[STO-1]: and may be repeated."""
    (record,) = run("store", "reencode", "--compression", "zstd", "--json").records
    assert (record["packs"], record["damaged"]) == (3, {})
    assert run("store", "reencode", "--compression", "zstd:9").lines[0].startswith("0 packs written again")
    assert run("store", "reencode", "--encryption", "env:TEST_KEY").lines[0].startswith("3 packs written again")
    assert all(name.endswith((".aes", ".key", STORE)) for name in files(own))
    assert "MSTBUCKET_KEY" in run("ls", "mst://abc").error
    monkeypatch.setenv("MSTBUCKET_KEY", "5e" * 32)
    assert run("verify", "mst://abc").code == 0
    for again in ("3", "0"):
        ran = run("store", "reencode", "--encryption", "none", "--compression", "none")
        assert (ran.code, ran.lines[0].split()[0]) == (0, again)
    monkeypatch.delenv("MSTBUCKET_KEY")
    assert run("verify", "mst://abc").code == 0
    assert all(name.count(".") == 1 for name in files(own))


def test_what_is_damaged_is_told_and_the_exit_code_says_so(own: Path, run: Any) -> None:
    """[STO-7]."""
    victim = sorted((own / "packs").rglob("*.car"))[0]
    victim.write_bytes(victim.read_bytes()[:-3] + b"bad")
    for command in (["reencode", "--compression", "zstd"], ["compact"]):
        ran = run("store", *command)
        assert ran.code == 1
        assert victim.name in ran.error


def test_compact_makes_one_pack_of_many(own: Path, run: Any) -> None:
    """[STO-5]."""
    assert run("store", "compact").lines == ["3 small packs compacted into 1"]
    assert len(list((own / "packs").rglob("*.car"))) == 1
    assert run("verify", "mst://abc").code == 0


def test_migrate_does_what_is_missing_and_makes_no_store(own: Path, run: Any, home: Path, empty_database_url: str) -> None:
    """[PG-30]."""
    assert run("store", "migrate").lines == ["the schema is up to date"]
    assert run("store", "migrate", "--json").records == [{"applied": 0}]
    ran = run("--store", home / "nothing", "store", "migrate")
    assert (ran.code, "there is no store" in ran.error) == (3, True)
    for _ in range(2):
        with pytest.raises(NotFound):
            upgrade_store(None, empty_database_url, None)


def test_migrate_reaches_an_embedded_store_and_lets_go_of_it(home: Path, run: Any) -> None:
    """[PG-30]."""
    with mstbucket.open(home / "whole", background=False) as store:
        store.create_bucket("abc")
    assert run("--store", home / "whole", "store", "migrate").lines == ["the schema is up to date"]
    assert EmbeddedPostgres(home / "whole" / "postgres").await_stopped(0)
