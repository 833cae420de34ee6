"""The doctor: what it says of a healthy store, and of each thing that is not as it should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.index.server import ServerState, read_state
from mstbucket.limits import GIB, MIB
from mstbucket.services.check.doctor import judge_clock, judge_server, judge_space

Sql = Callable[..., list[Any]]

HEALTHY = ServerState(
    version=160004, fsync="on", full_page_writes="on", synchronous_commit="on", data_checksums="on", autovacuum="on",
    track_commit_timestamp="on", max_connections=100, schema=1, schema_known=1, damaged=0, leftovers=0,
    identity="a" * 32, now=0,
)  # fmt: skip


@pytest.fixture
def database_url(fresh_database_url: str) -> str:
    """Here sizes and counts of dead rows are judged."""
    return fresh_database_url


def verdicts(store: mstbucket.Store) -> dict[str, str]:
    return {one.name: one.verdict for one in store.doctor()}


def test_an_embedded_store_is_well(tmp_path: Path) -> None:
    """[CHECK-30] Our own server has the settings that we ask others for."""
    with mstbucket.open(tmp_path / "store", background=False) as store:
        said = verdicts(store)
    about_disks = {"space for blobs", "temporary files"}  # of whichever machine runs this
    assert {name: verdict for name, verdict in said.items() if verdict != "ok" and name not in about_disks} == {}
    assert {"fsync", "identity", "one file system", "clock of the database", "permission of others"} <= said.keys()


def test_a_healthy_server_is_well() -> None:
    assert [one for one in judge_server(HEALTHY) if one.verdict != "ok" or one.advice] == []


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        ({"fsync": "off"}, "fsync", "bad"),
        ({"full_page_writes": "off"}, "full_page_writes", "bad"),
        ({"synchronous_commit": "off"}, "synchronous_commit", "bad"),
        ({"synchronous_commit": "local"}, "synchronous_commit", "bad"),
        ({"data_checksums": "off"}, "data_checksums", "warn"),
        ({"autovacuum": "off"}, "autovacuum", "warn"),
        ({"track_commit_timestamp": "off"}, "track_commit_timestamp", "warn"),
        ({"version": 130010}, "server version", "bad"),
        ({"max_connections": 10}, "max_connections", "warn"),
        ({"schema": 2}, "schema", "warn"),
        ({"damaged": 1}, "damaged packs", "bad"),
        ({"leftovers": 3}, "leftovers", "warn"),
    ],
)
def test_each_thing_that_is_wrong_is_said_alone_and_with_advice(change: dict[str, Any], name: str, verdict: str) -> None:
    """[CHECK-30]"""
    wrong = [one for one in judge_server(HEALTHY._replace(**change)) if one.verdict != "ok"]
    assert [(one.name, one.verdict) for one in wrong] == [(name, verdict)]
    assert wrong[0].advice


@pytest.mark.parametrize(
    ("skew", "verdict"), [(0.1, "ok"), (-4.9, "ok"), (6, "warn"), (-299, "warn"), (301, "bad"), (-9e9, "bad")]
)
def test_clocks(skew: float, verdict: str) -> None:
    assert judge_clock("clock", skew).verdict == verdict


@pytest.mark.parametrize(("free", "verdict"), [(6 * GIB, "ok"), (GIB, "warn"), (100 * MIB, "bad"), (0, "bad")])
def test_space(free: int, verdict: str) -> None:
    assert judge_space("space", "here", free).verdict == verdict


def test_what_the_server_says_is_what_it_is(store: mstbucket.Store, sql: Sql) -> None:
    state = read_state(store._context.db)
    assert state.fsync == sql("SHOW fsync")[0][0]
    assert state.identity == store.identity
    assert state.schema == state.schema_known


def test_a_damaged_pack_and_another_identity_and_an_open_directory_are_said(
    full: mstbucket.Store, sql: Sql, tmp_path: Path
) -> None:
    """[CHECK-30]"""
    (tmp_path / "blobs").chmod(0o700)
    assert (verdicts(full)["damaged packs"], verdicts(full)["permission of others"]) == ("ok", "ok")
    sql("UPDATE packs SET damaged = true WHERE id = (SELECT min(id) FROM packs)")
    (tmp_path / "blobs").chmod(0o755)
    (tmp_path / "blobs" / "store.id").unlink()
    said = verdicts(full)
    assert (said["damaged packs"], said["permission of others"], said["identity"]) == ("bad", "warn", "bad")
