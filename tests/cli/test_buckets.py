"""`mb`, `rb`, `ls`, `status`, `rm`, `cat`, `stat` on a real store."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def put(cli: Any, address: str, body: bytes = b"body") -> None:
    assert cli("cp", "-", address, stdin=body).code == 0


# --- mb, rb, status ---


def test_a_store_is_made_by_mb_and_by_no_other_command(run: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-9] a mistyped path is an error."""
    monkeypatch.setenv("MSTBUCKET_STORE", str(home / "store"))
    for argv in (
        ["ls"], ["ls", "mst://abc"], ["rb", "mst://abc"], ["rm", "mst://abc/d"], ["cat", "mst://abc/d"],
        ["stat", "mst://abc"], ["flush"], ["log", "mst://abc"], ["export", "mst://abc", "x.car"],
        ["verify", "mst://abc"], ["cp", "mst://abc/d", "x"], ["cp", "-", "mst://abc/d"], ["cp", "-r", home, "mst://abc"],
    ):  # fmt: skip
        ran = run(*argv)
        assert ran.code == 3
        assert f"there is no store at {home / 'store'} (the environment names it)" in ran.error
    assert run("status").lines == [
        f"store     {home / 'store'} (embedded; named by the environment)",
        "          there is none yet",
    ]
    assert run("status", "--json").records == [
        {"store": str(home / "store"), "kind": "embedded", "named_by": "the environment", "exists": False, "buckets": []}
    ]
    assert list(home.iterdir()) == []
    assert run("mb", "mst://abc").lines == ["make_bucket: abc"]
    assert run("ls").code == 0


def test_no_store_is_made_beside_other_things(run: Any, home: Path) -> None:
    """[CLI-9]"""
    (home / "something").touch()
    ran = run("mb", "mst://abc", "--store", home)
    assert ran.code == 2
    assert "is not empty and is no store (--store names it)" in ran.error
    assert os.listdir(home) == ["something"]


def test_make_and_remove(cli: Any) -> None:
    """[CLI-8]"""
    assert cli("mb", "mst://made-here", "--json").records == [{"action": "mb", "bucket": "made-here"}]
    ran = cli("mb", "made-here")
    assert (ran.code, "exists already" in ran.error) == (4, True)
    assert "made-here" in [line.split()[-1] for line in cli("ls").lines]
    assert cli("rb", "mst://made-here", "--json").records == [{"action": "rb", "bucket": "made-here"}]
    ran = cli("rb", "mst://made-here")
    assert (ran.code, ran.error) == (3, "there is no bucket named 'made-here' [NoSuchBucket]")


@pytest.mark.parametrize("name", ["Upper", "a", "192.168.0.1", "xn--abc", "a_b"])
def test_a_name_that_s3_refuses(cli: Any, name: str) -> None:
    ran = cli("mb", f"mst://{name}")
    assert ran.code == 2
    assert "[InvalidBucketName]" in ran.error


def test_a_bucket_that_is_not_empty(cli: Any, bucket: str) -> None:
    put(cli, f"mst://{bucket}/a")
    ran = cli("rb", f"mst://{bucket}")
    assert ran.code == 4
    assert "--force" in ran.error
    assert cli("rb", "--force", f"mst://{bucket}").code == 0
    assert cli("ls", f"mst://{bucket}").code == 3


def test_status_shows_what_is_ahead_of_the_commit(cli: Any, bucket: str, store_path: Path) -> None:
    """[CLI-8]"""
    put(cli, f"mst://{bucket}/a")
    (status,) = cli("status", "--json").records
    assert (status["store"], status["kind"], status["exists"]) == (str(store_path), "embedded", True)
    (info,) = [info for info in status["buckets"] if info["bucket"] == bucket]
    assert set(info) == {"bucket", "identity", "created", "commit", "seq", "dirty"}
    assert (info["commit"], info["seq"], info["dirty"]) == (None, 0, 1)
    assert ISO.fullmatch(info["created"])
    text = cli("status").out.decode()
    assert re.search(rf"mst://{bucket}  made {TIME}, never flushed, 1 key changed since\n", text)
    commit = cli("flush", f"mst://{bucket}", "--json").records[0]["commit"]
    assert re.search(rf"mst://{bucket}  made {TIME}, commit 1 {commit}\n", cli("status").out.decode())


# --- ls ---


def test_a_listing_has_the_columns_of_aws(cli: Any, bucket: str) -> None:
    for key in ("a.txt", "b/c", "b/d/e", "b.txt"):
        put(cli, f"mst://{bucket}/{key}", key.encode() * 300)
    lines = cli("ls", f"mst://{bucket}").lines
    assert lines[0] == "                           PRE b/"
    assert re.fullmatch(rf"{TIME}       1500 a\.txt", lines[1])
    assert re.fullmatch(rf"{TIME}       1500 b\.txt", lines[2])
    assert [line[31:] for line in cli("ls", f"mst://{bucket}/b/").lines] == ["d/", "c"]
    assert [line[31:] for line in cli("ls", f"mst://{bucket}/b").lines] == ["b/", "b.txt"]
    assert [line[31:] for line in cli("ls", "-r", f"mst://{bucket}/b").lines] == ["b.txt", "b/c", "b/d/e"]
    lines = cli("ls", "--recursive", f"mst://{bucket}", "--human-readable", "--summarize").lines
    assert [line[19:] for line in lines[1:4]] == ["    1.5 KiB b.txt", "  900 Bytes b/c", "    1.5 KiB b/d/e"]
    assert lines[4:] == ["", "Total Objects: 4", "   Total Size: 5.3 KiB"]


def test_a_listing_as_json(cli: Any, bucket: str) -> None:
    """[CLI-8] exact keys, times in UTC, one object per line."""
    put(cli, f"mst://{bucket}/é\n", b"x")
    put(cli, f"mst://{bucket}/d/e", b"xy")
    prefix, item, summary = cli("ls", f"mst://{bucket}", "--json", "--summarize").records
    assert prefix == {"type": "prefix", "prefix": "d/"}
    assert ISO.fullmatch(item.pop("last_modified"))
    assert item == {"type": "object", "key": "é\n", "size": 1, "etag": hashlib.md5(b"x").hexdigest()}
    assert summary == {"type": "summary", "objects": 1, "bytes": 1}
    (info,) = [info for info in cli("ls", "--json").records if info["bucket"] == bucket]
    assert info["type"] == "bucket"
    assert set(info) == {"type", "bucket", "identity", "created", "commit", "seq", "dirty", "fetched_from"}


def test_a_key_cannot_forge_a_line_of_the_listing(cli: Any, bucket: str) -> None:
    put(cli, f"mst://{bucket}/a\n2026-01-01 00:00:00          0 forged\x1b[2J")
    (line,) = cli("ls", f"mst://{bucket}").lines
    assert line.endswith(" a 2026-01-01 00:00:00          0 forged\\x1b[2J")


def test_more_than_a_page(cli: Any, bucket: str, tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / f"f{number:04}").touch()
    ran = cli("cp", "-r", "-q", tmp_path / "d", f"mst://{bucket}/d")
    assert (ran.code, ran.out) == (0, b"")
    names = [record["key"] for record in cli("ls", f"mst://{bucket}/d/", "--json").records]
    assert names == [f"d/f{number:04}" for number in range(1001)]
    assert len(cli("ls", "-r", f"mst://{bucket}").lines) == 1001
    assert cli("rm", "-r", "-q", f"mst://{bucket}/d").code == 0
    assert cli("ls", f"mst://{bucket}").out == b""


def test_nothing_to_list(cli: Any, bucket: str) -> None:
    """[CLI-3]"""
    ran = cli("ls", f"mst://{bucket}")
    assert (ran.code, ran.out, ran.err) == (0, b"", "")
    ran = cli("ls", f"mst://{bucket}/zip")
    assert (ran.code, ran.error) == (3, f"nothing starts with mst://{bucket}/zip [NoSuchKey]")
    assert cli("ls", "mst://no-such-bucket").code == 3


# --- rm ---


def test_remove_one(cli: Any, bucket: str) -> None:
    """[CLI-8] as in S3, a key that is not there is no error."""
    put(cli, f"mst://{bucket}/a")
    assert cli("rm", f"mst://{bucket}/a").lines == [f"delete: mst://{bucket}/a"]
    assert cli("rm", f"mst://{bucket}/a").lines == [f"not there: mst://{bucket}/a"]
    assert cli("rm", f"mst://{bucket}/a", "--json").records == [
        {"action": "delete", "target": f"mst://{bucket}/a", "existed": False, "version_id": None, "delete_marker": False}
    ]


def test_remove_a_folder_and_nothing_beside_it(cli: Any, bucket: str) -> None:
    """[CLI-21] `d` means `d/`: its neighbour `dd` stays."""
    for key in ("d/a", "d/b/c", "d", "dd/a", "e"):
        put(cli, f"mst://{bucket}/{key}")
    assert cli("rm", "-v", "-r", f"mst://{bucket}/d").lines == [
        *(f"delete: mst://{bucket}/d/{key}" for key in ("a", "b/c")), f"delete: 2 objects from mst://{bucket}/d/"
    ]  # fmt: skip
    assert [record["key"] for record in cli("ls", "-r", f"mst://{bucket}", "--json").records] == ["d", "dd/a", "e"]
    ran = cli("rm", "-r", f"mst://{bucket}/d")
    assert (ran.code, ran.error) == (3, f"there is nothing under mst://{bucket}/d/ [NoSuchKey]")
    assert cli("rm", "-r", f"mst://{bucket}", "-q").out == b""
    assert cli("ls", f"mst://{bucket}").out == b""


# --- cat, stat ---


def test_cat(cli: Any, bucket: str) -> None:
    big = os.urandom(3_000_000)
    put(cli, f"mst://{bucket}/big", big)
    put(cli, f"mst://{bucket}/../\xff", b"\x00\xff")
    assert cli("cat", f"mst://{bucket}/big").out == big
    assert cli("cat", f"mst://{bucket}/../\xff", f"mst://{bucket}/big").out == b"\x00\xff" + big
    assert cli("cat", f"mst://{bucket}/big", "--range", "bytes=-5").out == big[-5:]
    assert cli("cat", f"mst://{bucket}/big", "--range", "bytes=1000000-2000000").out == big[1000000:2000001]
    ran = cli("cat", f"mst://{bucket}/big", "--range", "bytes=3000000-")
    assert (ran.code, "[InvalidRange]" in ran.error) == (2, True)
    ran = cli("cat", f"mst://{bucket}/no")
    assert (ran.code, ran.error) == (3, f"there is no object 'no' in bucket '{bucket}' [NoSuchKey]")


def test_stat_of_an_object(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-8]"""
    file = tmp_path / "a.json"
    file.write_bytes(b"{}")
    options = ["--metadata", "Who=me=you", "--header", "Cache-Control=no-cache", "--tag", "k="]
    assert cli("cp", file, f"mst://{bucket}", *options).code == 0
    (record,) = cli("stat", f"mst://{bucket}/a.json", "--json").records
    assert ISO.fullmatch(record.pop("last_modified"))
    assert record.pop("content").startswith("bafkrei")
    assert record.pop("manifest").startswith("bafyrei")
    assert record == {
        "bucket": bucket, "key": "a.json", "size": 2, "etag": hashlib.md5(b"{}").hexdigest(),
        "content_type": "application/json", "sha256": hashlib.sha256(b"{}").hexdigest(),
        "headers": {"cache-control": "no-cache"}, "metadata": {"who": "me=you"}, "tags": {"k": ""},
        "version_id": None,
    }  # fmt: skip
    lines = cli("stat", f"mst://{bucket}/a.json").lines
    assert "size          2" in lines
    assert "metadata      who: me=you" in lines


def test_stat_of_a_bucket(cli: Any, bucket: str) -> None:
    """[CLI-8]"""
    put(cli, f"mst://{bucket}/a", b"xyz")
    (record,) = cli("stat", f"mst://{bucket}", "--json").records
    assert set(record) == {"bucket", "identity", "created", "commit", "seq", "dirty", "versioning"}
    cli("flush", f"mst://{bucket}")
    (record,) = cli("stat", f"mst://{bucket}", "--json").records
    assert set(record) >= {"committed", "objects", "bytes", "tree"}
    assert (record["objects"], record["bytes"], record["dirty"]) == (1, 3, 0)
    assert cli("stat", f"mst://{bucket}/b").code == 3
    assert cli("stat", "mst://no-such-bucket").code == 3
