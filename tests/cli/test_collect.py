"""`collect` and what `status` says of garbage."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import mstbucket


def fill(cli: Any, store_path: Path, name: str) -> None:
    """A bucket of the module's store in which one of three large bodies was deleted."""
    with mstbucket.open(store_path, background=False) as store:
        bucket = store.create_bucket(name)
        for n in range(3):
            bucket.put_object(f"{n}", random.Random(n).randbytes(200_000))
        bucket.delete_object("0")
    assert cli("flush", f"mst://{name}").code == 0


def test_collect_says_what_it_does_and_undo_brings_it_back(cli: Any, store_path: Path) -> None:
    """[CLI-60] [CLI-61] [GC-16]"""
    assert "nothing was collected yet" in cli("status").out.decode()
    fill(cli, store_path, "one")
    said = cli("collect", "--dry-run")
    assert said.code == 0
    assert said.lines[-1] == "would be empty: 1 pack; less than half needed: 0; nothing was removed"
    (dry,) = cli("collect", "--dry-run", "--json").records
    assert (dry["action"], dry["dry_run"], dry["freed"]) == ("collect", True, {"blocks": 0, "bytes": 0})
    (done,) = cli("collect", "--json").records
    assert done["freed"] == dry["dead"] != {"blocks": 0, "bytes": 0}
    assert done["undo_until"] is not None
    assert "wait for the end of their undo window" in cli("status").out.decode()
    (status,) = cli("status", "--json").records
    assert status["space"]["waiting"] > 0
    assert status["space"]["last"]["freed"] == done["freed"]
    (back,) = cli("collect", "--undo", "--json").records
    assert back == {"action": "undo", **done["freed"]}
    assert cli("collect", "--undo").lines == ["0 blocks (0 Bytes) came back"]
    assert any(line.startswith("removed: ") for line in cli("collect", "--grace", "0").lines)
    assert "undo window" not in cli("status").out.decode()
    assert cli("verify", "mst://one").code == 0


def test_more_than_half_needs_force(cli: Any, store_path: Path) -> None:
    """[CLI-60] [GC-13]"""
    fill(cli, store_path, "two")
    with mstbucket.open(store_path, background=False) as store:
        bucket = store.bucket("two")
        for n in range(20):
            bucket.put_object("again", random.Random(100 + n).randbytes(200_000))
    ran = cli("collect")
    assert ran.code == 4
    assert "more than 50 of 100" in ran.error
    assert cli("collect", "--force", "--grace", "0").code == 0


def test_options_that_do_not_go_together_are_refused(cli: Any) -> None:
    """[CLI-60]"""
    assert cli("collect", "--undo", "--dry-run").code == 2
    assert cli("collect", "--undo", "--force").code == 2
    assert cli("collect", "--grace", "-1").code == 2
    assert cli("collect", "--grace", "soon").code == 2
