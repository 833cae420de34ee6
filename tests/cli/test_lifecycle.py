"""Lifecycle rules from a shell: set them from a file, see them, carry them out, remove them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

RULES = [
    {"id": "tmp", "prefix": "tmp/", "expiration_date": "2020-01-01T00:00:00Z"},
    {"id": "old", "enabled": False, "tags": {"a": "b"}, "noncurrent_days": 3, "newer_noncurrent_versions": 2},
]


@pytest.fixture
def place(bucket: str) -> str:
    return bucket if bucket.startswith("mst://") else f"mst://{bucket}"


def test_rules_are_set_shown_carried_out_and_removed(cli: Any, place: str, tmp_path: Path) -> None:
    """[CLI-30]: what `show --json` prints can be set again."""
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    assert cli("lifecycle", place).lines == []
    shown = cli("lifecycle", place, "set", str(file)).lines
    assert shown[0].startswith("tmp: prefix=tmp/ expiration_date=2020-01-01")
    assert shown[1] == "old (not enabled): tags={'a': 'b'} noncurrent_days=3 newer_noncurrent_versions=2"
    records = cli("lifecycle", place, "show", "--json").records
    assert [(r["id"], r["enabled"], r["expiration_date"]) for r in records] == [
        ("tmp", True, "2020-01-01T00:00:00.000Z"), ("old", False, None),
    ]  # fmt: skip
    again = cli("lifecycle", place, "set", "-", "--json", stdin=json.dumps(records).encode())
    assert again.records == records
    for key in ("tmp/1", "tmp/2", "kept"):
        assert cli("cp", "-", f"{place}/{key}", stdin=b"body").code == 0
    assert cli("lifecycle", place, "run").lines == [
        "2 objects expired, 0 noncurrent versions and 0 delete markers removed, 0 uploads aborted"
    ]
    [record] = cli("lifecycle", place, "run", "--json").records
    assert (record["action"], record["expired"]) == ("run", 0)
    assert [r["key"] for r in cli("ls", "-r", place, "--json").records] == ["kept"]
    assert cli("lifecycle", place, "rm").code == 0
    assert cli("lifecycle", place, "show").lines == []


@pytest.mark.parametrize(
    "text",
    [b"{", b"[" * 100_000, b"{}", b"[1]", b"\xff", b'[{"days": 1}]', b'[{"expiration_date": "soon"}]',
     b'[{"expiration_date": 5}]', b'[{"expiration_days": "1"}]', b'[{"expiration_days": 1, "prefix": 1}]', b"[]"],
    ids=["no JSON", "too deep", "no array", "no object", "no UTF-8", "an unknown name", "no time", "a number for a time",
         "a text for a number", "a number for a text", "no rule"],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused_in_one_line(cli: Any, place: str, text: bytes) -> None:
    """[CLI-30]."""
    ran = cli("lifecycle", place, "set", "-", stdin=text)
    assert ran.code == 2
    assert ran.error
    assert cli("lifecycle", place).lines == []


def test_a_file_goes_with_set_and_only_with_set(cli: Any, place: str, tmp_path: Path) -> None:
    assert cli("lifecycle", place, "set").code == 2
    assert cli("lifecycle", place, "rm", "file").code == 2
    assert cli("lifecycle", place, "set", str(tmp_path / "missing")).code == 3


def test_rules_in_s3s_own_json_go_in_and_come_out_the_same(cli: Any, place: str, tmp_path: Path) -> None:
    """[CLI-156]"""
    given = {"Rules": [
        {"ID": "a", "Filter": {"Prefix": "tmp/"}, "Status": "Enabled", "Expiration": {"Days": 30}},
        {"ID": "b", "Filter": {"And": {"Prefix": "x/", "ObjectSizeGreaterThan": 5, "Tags": [{"Key": "k", "Value": "v"}]}},
         "Status": "Disabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}},
        {"ID": "c", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Status": "Enabled",
         "Expiration": {"Date": "2030-01-01T00:00:00.000Z"}},
        {"ID": "d", "Filter": {"Prefix": ""}, "Status": "Enabled",
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
    ]}  # fmt: skip
    (tmp_path / "rules.json").write_text(json.dumps(given))
    assert cli("lifecycle", place, "put", tmp_path / "rules.json").code == 0
    assert cli("lifecycle", place, "get", "--json").records == [given]
    shown = cli("lifecycle", place, "get").out
    assert json.loads(shown) == given
    assert cli("lifecycle", place, "put", "-", stdin=shown).code == 0
    assert cli("lifecycle", place, "get", "--json").records == [given]


@pytest.mark.parametrize("text", [
    b'{"Rule": []}', b'{"Rules": []}', b'{"Rules": 1}', b'{"Rules": [1]}', b'[{"Status": "On"}]',
    b'{"Rules": [{"Status": "Enabled", "Expiration": {"Date": "soon"}}]}',
    b'{"Rules": [{"Status": "Enabled", "Expiration": 1}]}',
])  # fmt: skip
def test_what_is_no_configuration_of_s3_is_refused_in_one_line(cli: Any, place: str, text: bytes) -> None:
    """[CLI-156]"""
    ran = cli("lifecycle", place, "put", "-", stdin=text)
    assert (ran.code, "Traceback" in ran.error) == (2, False)
