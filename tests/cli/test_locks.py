"""Object lock from a shell: a bucket with it, a default, a version that stays until it may go."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

_NUMBERS = count()


@pytest.fixture
def place(cli: Any) -> str:
    """A bucket made with object lock, and an object in it."""
    place = f"mst://locked-{next(_NUMBERS)}"
    assert cli("mb", "--object-lock", place).code == 0
    assert cli("cp", "-", f"{place}/k", stdin=b"body").code == 0
    return place


def test_object_lock_is_enabled_and_given_a_default(cli: Any, place: str, bucket: str) -> None:
    """[CLI-31]."""
    plain = bucket if bucket.startswith("mst://") else f"mst://{bucket}"
    assert cli("lock", plain).lines == [f"{plain}  no object lock"]
    assert cli("lock", plain, "--enable").code == 4
    assert cli("versioning", plain, "enable").code == 0
    for address in (plain, place):
        assert cli("lock", address, "--enable").lines == [f"{address}  object lock, no default retention"]
    [line] = cli("lock", place, "--default", "compliance:7y").lines
    assert line == f"{place}  object lock, by default COMPLIANCE for 7 years"
    [record] = cli("lock", place, "--default", "governance:30d", "--json").records
    assert [record[name] for name in ("object_lock", "mode", "days", "years")] == [True, "GOVERNANCE", 30, None]
    assert cli("lock", place, "--enable", "--json").records == [record]
    assert cli("lock", place, "--default", "none").lines == [f"{place}  object lock, no default retention"]
    assert cli("versioning", place, "suspend").code == 4


def test_a_version_is_protected_until_it_is_released(cli: Any, place: str) -> None:
    """[CLI-31]."""
    key = f"{place}/k"
    [shown] = cli("lock", key, "--json").records
    assert (shown["mode"], shown["retain_until"], shown["legal_hold"]) == (None, None, False)
    version = shown["version_id"]
    until = "2100-01-01T00:00:00.000Z"
    [shown] = cli("lock", key, "--retain", f"governance:{until}", "--json").records
    assert (shown["mode"], shown["retain_until"], shown["legal_hold"]) == ("GOVERNANCE", until, False)
    [shown] = cli("lock", key, "--hold", "on", "--version-id", version, "--json").records
    assert (shown["retain_until"], shown["legal_hold"]) == (until, True)
    assert "under a legal hold" in cli("lock", key).lines[0]
    refused = cli("rm", key, "--version-id", version)
    assert (refused.code, refused.lines) == (4, [])
    assert "legal hold" in refused.error
    assert "legal hold" in cli("rb", "--force", place).error
    assert cli("lock", key, "--retain", "none", "--version-id", version).code == 4
    marker = cli("ls", "--versions", place, "--json").records[0]
    assert marker["delete_marker"] is False
    assert cli("lock", key, "--retain", "none", "--bypass-governance", "--hold", "off").lines == [f"{key}  not retained"]
    assert cli("rm", key, "--version-id", version).code == 0


@pytest.mark.parametrize(
    "options",
    [("", "--hold", "on"), ("", "--retain", "none"), ("", "--bypass-governance"), ("/k", "--enable"),
     ("/k", "--default", "none"), ("", "--default", "governance"), ("", "--default", "governance:1w"),
     ("", "--default", "governance:0d"), ("/k", "--retain", "governance:soon"), ("/k", "--retain", "forever:2100-01-01T00Z"),
     ("/k", "--retain", "governance:2000-01-01T00:00:00Z"), ("/k", "--retain", "governance:2100-01-01T00:00:00")],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(cli: Any, place: str, options: tuple[str, ...]) -> None:
    """[CLI-31]: and nothing is changed."""
    ran = cli("lock", place + options[0], *options[1:])
    assert ran.code == 2
    assert ran.error
    assert cli("lock", place).lines == [f"{place}  object lock, no default retention"]
    assert cli("lock", f"{place}/k").lines == [f"{place}/k  not retained"]
