"""`limit` and `key limit`: what gateways take."""

from __future__ import annotations

from typing import Any


def test_limits_of_a_bucket_are_shown_and_set_one_by_one(cli: Any, bucket: str) -> None:
    """[CLI-94]"""
    where = f"mst://{bucket}"
    none = {"bucket": bucket, "object_size": None, "content_types": []}
    assert cli("limit", where, "--json").records == [none]
    args = ("--object-size", 5, "--content-type", "image/*", "--content-type", "text/plain")
    both = {"bucket": bucket, "object_size": 5, "content_types": ["image/*", "text/plain"]}
    assert cli("limit", where, *args, "--json").records == [both]
    for bad in (("--object-size", "-1"), ("--object-size", "x"), ("--content-type", "text")):
        assert cli("limit", where, *bad).code == 2
    assert cli("limit", where, "--json").records == [both]
    assert cli("limit", where, "--object-size", "none", "--json").records == [both | {"object_size": None}]
    assert cli("limit", where, "--content-type", "none", "--json").records == [none]
    assert cli("limit", "mst://not-there").code == 3


def test_a_key_is_bounded_and_freed_again(cli: Any, bucket: str) -> None:
    """[CLI-93]"""
    [made] = cli("key", "create", "somebody", "--json").records
    assert made["bytes_max"] is None
    [bounded] = cli("key", "limit", made["id"], 1000, "--json").records
    assert (bounded["bytes_max"], bounded["bytes_sent"]) == (1000, 0)
    assert "sent 0 of 1000 bytes" in cli("key", "ls").out.decode()
    for bad in ("-1", "many"):
        assert cli("key", "limit", made["id"], bad).code == 2
    [freed] = cli("key", "limit", made["id"], "none", "--json").records
    assert freed["bytes_max"] is None
    assert cli("key", "limit", "nobody", "none").code == 3
