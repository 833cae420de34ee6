"""`check`: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.errors import StorageError


@pytest.fixture
def own(own_store: Path, run: Any) -> Path:
    """`own_store` with objects."""
    assert run("cp", "-", "mst://abc/key", stdin=b"9" * 100_000).code == 0
    assert run("flush").code == 0
    return own_store


def test_a_clean_store_ends_with_0_and_says_what_was_looked_at(own: Path, run: Any) -> None:
    """[CLI-80]"""
    ran = run("check", "--level", "proof", "--json")
    assert ran.code == 0
    (record,) = ran.records
    assert record["clean"] is True
    assert (record["buckets"], record["objects"], record["packs"]) == (1, 1, 2)
    ran = run("check", "--level", "proof", "--jobs", "2")
    assert ran.code == 0
    assert ran.lines[-1].startswith("check: clean: 1 bucket, 1 row compared, ")


def test_warnings_alone_end_with_8(own: Path, run: Any) -> None:
    """[CLI-80]"""
    (own / "packs" / "notes").write_bytes(b"not ours")
    ran = run("check")
    assert ran.code == 8
    assert ran.lines[0].startswith("warning: presence.blob-foreign: ")


def test_damage_ends_with_5_and_says_how_it_is_reached(own: Path, run: Any) -> None:
    """[CLI-80] [CHECK-2]"""
    (own / "packs" / "notes").write_bytes(b"not ours")
    path = max((own / "packs").rglob("*.car"), key=lambda one: one.stat().st_size)
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[:50_000] + bytes([data[50_000] ^ 1]) + data[50_001:])
    assert run("check").code == 8
    ran = run("check", "--level", "data", "--json")
    assert ran.code == 5
    (block,) = [record for record in ran.records if record.get("code") == "data.block"]
    assert (block["severity"], block["bucket"], block["key"]) == ("damage", "abc", "key")
    assert block["path"].endswith(f"/{block['cid']}")
    assert ran.records[-1]["damaged"] is True


def test_what_could_not_be_looked_at_ends_with_6(own: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-80]"""



    real = LocalBlobs.list

    def failing(self: LocalBlobs, prefix: str = "", after: str = "") -> Any:
        if prefix == "packs/":
            raise StorageError("the disk is away")
        return real(self, prefix, after)

    monkeypatch.setattr(LocalBlobs, "list", failing)
    ran = run("check")
    assert ran.code == 6
    assert "the disk is away" in ran.error


@pytest.mark.parametrize("arguments", [["--level", "all"], ["--subset", "3/2"], ["--jobs", "0"], ["--jobs", "x"]])
def test_wrong_arguments_end_with_2(own: Path, run: Any, arguments: list[str]) -> None:
    assert run("check", *arguments).code == 2


def test_the_doctor_ends_by_the_worst_that_it_sees(own: Path, run: Any) -> None:
    """[CLI-82]"""
    ran = run("doctor", "--json")
    verdicts = {record["verdict"] for record in ran.records}
    assert ran.code == (1 if "bad" in verdicts else 8 if "warn" in verdicts else 0)
    (own / "store.id").rename(own / "store-id")
    ran = run("doctor")
    assert ran.code != 0  # the store does not open without it


def test_processes_check_a_store_with_a_server_of_its_own(cli: Any, bucket: str) -> None:
    assert cli("cp", "-", f"mst://{bucket}/key", stdin=b"9" * 100_000).code == 0
    assert cli("flush").code == 0
    assert cli("check", "--level", "proof", "--jobs", "2").code == 0
    assert "scrub     100 % of " in cli("status").out.decode()
