"""The scrub: everything is read once in a period, what waits longest first; damage is recorded; coverage is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from damaging import flip

import mstbucket
from mstbucket.errors import InvalidInput
from mstbucket.services.check import scrub as scrubbing
from mstbucket.services.check.scrub import scrub
from mstbucket.services.upkeep import worker

Sql = Callable[..., list[Any]]
Packs = Callable[[], list[Path]]
DAY = 86_400_000


def never() -> bool:
    return False


def age(sql: Sql, days: int) -> None:
    sql("UPDATE packs SET created = now_ms() - %s::bigint * 86400000", days)


def test_what_is_new_is_covered_and_what_is_old_is_read_again(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-40]"""
    fresh = full.scrub_coverage()
    assert fresh.covered == fresh.bytes > 0
    assert scrub(full._context, 30 * DAY, never) == 0
    age(sql, 31)
    assert full.scrub_coverage().covered == 0
    assert scrub(full._context, 30 * DAY, never) == fresh.bytes
    assert full.scrub_coverage().covered == fresh.bytes
    assert scrub(full._context, 30 * DAY, never) == 0


def test_a_check_of_the_data_counts(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-40]"""
    age(sql, 31)
    assert full.check("data").clean
    assert full.scrub_coverage().covered == full.scrub_coverage().bytes


def test_what_waits_longest_comes_first_and_a_look_has_an_end(
    full: mstbucket.Store, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CHECK-40]"""
    monkeypatch.setattr(scrubbing, "LOOK_BYTES", 1)
    age(sql, 31)
    sql("UPDATE packs SET created = 5 WHERE id = (SELECT max(id) FROM packs WHERE state = 'ready')")
    scrub(full._context, 30 * DAY, never)
    assert sql("SELECT pack FROM scrubbed") == sql("SELECT max(id) FROM packs WHERE state = 'ready'")


def test_damage_is_recorded_and_not_covered(full: mstbucket.Store, sql: Sql, packs: Packs) -> None:
    """[CHECK-40] [PUT-13]"""
    flip(packs()[-1], packs()[-1].stat().st_size // 2)
    age(sql, 31)
    scrub(full._context, 30 * DAY, never)
    told = full.scrub_coverage()
    assert told.damaged == 1
    assert told.bytes - told.covered == packs()[-1].stat().st_size
    assert scrub(full._context, 30 * DAY, never) == 0


def test_a_pack_that_is_written_again_starts_anew(full: mstbucket.Store, sql: Sql) -> None:
    full.check("data")
    sql("UPDATE scrubbed SET name = 'packs/00/other.car', at = now_ms()")
    age(sql, 31)
    assert full.scrub_coverage().covered == 0


def test_it_stops_within_a_pack(full: mstbucket.Store, sql: Sql) -> None:
    age(sql, 31)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 2

    assert scrub(full._context, 30 * DAY, stopped) == 0
    assert sql("SELECT count(*) FROM scrubbed") == [(0,)]


def test_the_background_does_it(
    full: mstbucket.Store, database_url: str, tmp_path: Path, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CHECK-40]"""
    monkeypatch.setattr(worker, "SCRUB_SECONDS", 0.01)
    age(sql, 31)
    with mstbucket.open(database=database_url, blobs=tmp_path / "blobs") as store:
        deadline = time.monotonic() + 30
        while store.scrub_coverage().covered < store.scrub_coverage().bytes:
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)


def test_a_period_below_zero_is_refused(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="scrub_every"):
        mstbucket.open(database=database_url, blobs=tmp_path / "blobs", scrub_every=timedelta(-1))
