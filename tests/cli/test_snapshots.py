"""Snapshots and policies from a shell."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def place(bucket: str) -> str:
    return bucket if bucket.startswith("mst://") else f"mst://{bucket}"


def test_a_snapshot_is_made_listed_and_removed(cli: Any, place: str) -> None:
    """[CLI-50]: the changes before it are in it."""
    assert cli("cp", "-", f"{place}/k", stdin=b"body").code == 0
    (made,) = cli("snapshot", "create", place, "first", "--json").records
    assert (made["name"], made["seq"], made["objects"], made["bytes"]) == ("first", 1, 1, 4)
    assert cli("snapshot", "create", place, "also", "--commit", made["commit"]).code == 0
    assert [record["name"] for record in cli("snapshot", "ls", place, "--json").records] == ["also", "first"]
    assert cli("snapshot", "ls", place).lines[0].endswith("1 object  also")
    assert cli("snapshot", "rm", place, "also").lines == ["removed snapshot also"]
    assert cli("snapshot", "rm", place, "also").code == 3
    assert cli("snapshot", "create", place, "2026").code == 2


def test_a_bucket_with_a_snapshot_is_not_emptied_by_force(cli: Any, place: str) -> None:
    """[CLI-50]"""
    cli("cp", "-", f"{place}/k", stdin=b"body")
    cli("snapshot", "create", place, "first")
    assert cli("rb", place, "--force").code == 4
    assert cli("cat", f"{place}/k").out == b"body"
    cli("snapshot", "rm", place, "first")
    assert cli("rb", place, "--force").code == 0


def test_a_policy_is_shown_and_replaced_as_a_whole(cli: Any, place: str) -> None:
    """[CLI-50]"""
    default = f"{place}  keeps all of 86,400 seconds, daily 30"
    assert cli("snapshot", "policy", place).lines == [default]
    shown = cli("snapshot", "policy", place, "--keep-last", "3", "--keep-weekly", "2").lines
    assert shown == [f"{place}  keeps last 3, weekly 2"]
    (record,) = cli("snapshot", "policy", place, "--keep-all", "60", "--keep-monthly", "1", "--json").records
    assert record == {"bucket": place.removeprefix("mst://"), "keep_all": 60.0, "keep_last": None, "keep_hourly": None,
                      "keep_daily": None, "keep_weekly": None, "keep_monthly": 1}  # fmt: skip
    assert cli("snapshot", "policy", place, "--default").lines == [default]
    (record,) = cli("snapshot", "policy", place, "--keep-hourly", "5", "--json").records
    assert (record["keep_hourly"], record["keep_weekly"]) == (5, None)
    assert cli("snapshot", "policy", place, "--default", "--keep-last", "1").code == 2
    assert cli("snapshot", "policy", place, "--keep-last", "0").code == 2
    assert cli("snapshot", "policy", place, "--keep-all", "9" * 18).code == 2
