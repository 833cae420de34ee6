"""`tag` and `uploads`: what S3 keeps beside the bytes, and what waits to become an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket

Cli = Callable[..., Any]


@pytest.fixture
def opened(store_path: Path, bucket: str) -> Iterator[mstbucket.Bucket]:
    """The test's bucket, from inside."""
    with mstbucket.open(store_path, background=False) as store:
        yield store.bucket(bucket)


@pytest.mark.parametrize("key", ["k", "a/größe", ""], ids=["an object", "a deep object", "the bucket"])
def test_tags_are_shown_changed_and_removed(cli: Cli, bucket: str, opened: mstbucket.Bucket, key: str) -> None:
    """[CLI-28]"""
    if key:
        opened.put_object(key, b"")
    target = f"mst://{bucket}/{key}"

    def tags(*options: str) -> Any:
        (record,) = cli("--json", "tag", target, *options).records
        assert (record["bucket"], record["key"]) == (bucket, key or None)
        return record["tags"]

    assert cli("tag", target).out == b""
    assert tags() == {}
    assert tags("--set", "a=1", "--set", "b=x=y") == {"a": "1", "b": "x=y"}
    assert tags("--set", "a=2", "--remove", "b", "--remove", "never there") == {"a": "2"}
    assert tags("--set", "ü=") == {"a": "2", "ü": ""}
    assert cli("tag", target).lines == ["a=2", "ü="]
    assert tags("--clear", "--set", "c=3") == {"c": "3"}
    assert (opened.get_object_tagging(key) if key else opened.get_bucket_tagging()) == {"c": "3"}
    assert tags("--clear") == {} == tags()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["mst://{}/none"], 3),
        (["mst://none-such/k"], 3),
        (["mst://{}/k", "--set", "a"], 2),
        (["mst://{}/k", "--set", "a=1", "--remove", "a"], 2),
        (["mst://{}/k", *(f"--set={n}=" for n in range(11))], 2),
        (["k"], 3),
    ],
    ids=["no object", "no bucket", "no value", "both at once", "too many", "no such bucket"],
)
def test_what_cannot_be_tagged_is_said(
    cli: Cli, bucket: str, opened: mstbucket.Bucket, arguments: list[str], code: int
) -> None:
    """[CLI-3], [CLI-28]: and nothing is changed."""
    opened.put_object("k", b"", tags={"a": "0"})
    ran = cli("tag", *(argument.format(bucket) for argument in arguments))
    assert ran.code == code
    assert ran.error
    assert opened.get_object_tagging("k") == {"a": "0"}


def test_uploads_are_listed_and_aborted(cli: Cli, bucket: str, opened: mstbucket.Bucket) -> None:
    """[CLI-29]"""
    opened.put_object("a/1", b"an object")
    uploads = [opened.create_multipart_upload(key) for key in ("a/1", "a/1", "a/2", "b")]
    uploads.append(opened.create_multipart_upload("c", checksum_algorithm="crc32c"))
    records = cli("--json", "uploads", f"mst://{bucket}").records
    assert [(r["key"], r["id"], r["checksum_algorithm"], r["checksum_type"]) for r in records] == [
        (u.key, u.id, u.checksum_algorithm, u.checksum_type) for u in sorted(uploads, key=lambda u: (u.key, u.id))
    ]
    assert [line.split()[2:] for line in cli("uploads", f"mst://{bucket}/b").lines] == [[uploads[3].id, "b"]]
    (record,) = cli("--json", "uploads", f"mst://{bucket}/a/1", "--abort", uploads[0].id).records
    assert record == {"action": "abort", "target": f"mst://{bucket}/a/1", "id": uploads[0].id}
    assert cli("uploads", f"mst://{bucket}/a/1", "--abort", uploads[0].id).code == 3
    assert cli("uploads", f"mst://{bucket}/b", "--abort", uploads[2].id).code == 3
    assert len(cli("uploads", f"mst://{bucket}/a", "--abort-all").lines) == 2
    assert [u.id for u in opened.list_multipart_uploads().uploads] == [uploads[3].id, uploads[4].id]
    assert cli("-q", "uploads", f"mst://{bucket}", "--abort-all").out == b""
    assert cli("uploads", f"mst://{bucket}").out == b""
    assert opened.get_object("a/1").read() == b"an object"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["mst://{}", "--abort", "x"], 2), (["mst://{}/k", "--abort", "x", "--abort-all"], 2), (["mst://none-such"], 3)],
    ids=["no key", "one and all", "no bucket"],
)
def test_what_cannot_be_aborted_is_said(cli: Cli, bucket: str, arguments: list[str], code: int) -> None:
    """[CLI-3]"""
    ran = cli("uploads", *(argument.format(bucket) for argument in arguments))
    assert ran.code == code
    assert ran.error


def test_more_uploads_than_a_page_are_all_listed(
    cli: Cli, bucket: str, monkeypatch: pytest.MonkeyPatch, opened: mstbucket.Bucket
) -> None:
    """[CLI-29]: the command goes from page to page, also where one key has several pages."""
    monkeypatch.setattr("mstbucket.core.s3rules.listing.LIST_KEYS_MAX", 2)
    ids = sorted((key, opened.create_multipart_upload(key).id) for key in "aaabbbbc")
    assert [(r["key"], r["id"]) for r in cli("--json", "uploads", f"mst://{bucket}").records] == ids
    assert len(cli("uploads", f"mst://{bucket}", "--abort-all").lines) == len(ids)
