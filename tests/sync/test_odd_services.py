"""A service with odd objects: they travel as they are, or fail alone. The answers are those of tests/servers/stub.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import NoSuchBucket
from mstbucket.limits import MIB
from mstbucket.remote import S3Place
from mstbucket.remote import attempts as attempts_module
from mstbucket.sync.filters import Filters
from mstbucket.sync.remote import Remote

EXPIRES = ["", "0", "never", "5d", "1e999", "Thu, 01 Dec 1994 16:00:00 GMT"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, load_server: Callable[[str], Any]) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(attempts_module, "FIRST_WAIT", 0.001)
    with load_server("stub").stub() as service:
        yield service


def side(service: Any) -> Remote:
    return Remote(S3Place("bucket", "", service.endpoint, "eu-1"), Filters())


@pytest.mark.parametrize("size", [1, 2 * MIB])
def test_an_expires_of_any_text_travels_in_and_out(
    service: Any, bucket: mstbucket.Bucket, run: Any, size: int
) -> None:
    """[SYNC-14] [S3B-17]"""
    for number, text in enumerate(EXPIRES):
        service.objects[f"{number}"] = ([("Expires", text.encode())], b"%d" % number * size)
    did = run(side(service), bucket)
    assert (did.failed, len(did.copied)) == ({}, len(EXPIRES))
    assert [bucket.head_object(f"{number}").headers for number in range(len(EXPIRES))] == [
        {"expires": text} for text in EXPIRES
    ]
    service.forget()
    assert run(bucket, side(service)).failed == {}
    assert [service.sent[f"{number}"]["expires"] for number in range(len(EXPIRES))] == EXPIRES


def test_what_no_header_can_carry_fails_alone_and_at_once(service: Any, bucket: mstbucket.Bucket, run: Any) -> None:
    """[S3B-17]"""
    for key, metadata in {"a": {"b c": "1"}, "d": {"e": "é"}, "f": {"g": " "}, "ok": {"h": "1"}}.items():
        bucket.put_object(key, b"1", metadata=metadata)
    bucket.put_object("large", bytes(9 * MIB), metadata={"b c": "1"})
    before = service.requests
    did = run(bucket, side(service))
    assert set(did.copied) == {"ok"}
    assert set(did.failed) == {"a", "d", "f", "large"}
    assert "s3://bucket/a: metadata 'b c' cannot travel" in did.failed["a"]
    assert service.requests - before <= 3  # two listings and what can be sent


def test_objects_with_odd_answers_fail_alone(service: Any, bucket: mstbucket.Bucket, run: Any) -> None:
    """[S3B-18]"""
    service.objects["long"] = ([("Cache-Control", b"x" * 60_000)], b"1")
    service.objects["nameless"] = ([("x-amz-meta-", b"1")], b"1")
    odd = {"time": ("Last-Modified", b"yesterday"), "length": ("Content-Length", b"-"), "nul": ("x-amz-meta-a", b"\x0b1")}
    for key, header in odd.items():
        service.objects[key] = ([header], b"1")
    service.objects["ok"] = ([], b"1")
    did = run(side(service), bucket)
    assert {"time", "length", "nameless"} <= set(did.failed) <= {*odd, "nameless"}
    assert "ok" in did.copied


def test_tags_of_ours_stay_when_an_object_of_a_service_replaces_it(
    service: Any, bucket: mstbucket.Bucket, run: Any
) -> None:
    """[SYNC-17] what the service says is taken, what it cannot say is not touched."""
    for key, size in {"small": 1, "large": 2 * MIB}.items():
        bucket.put_object(key, b"0" * size, content_type="text/old", metadata={"a": "1"}, tags={"stage": "prod"})
        service.objects[key] = ([("Content-Type", b"text/new"), ("x-amz-meta-b", b"2")], b"1" * size)
    assert set(run(side(service), bucket).copied) == {"small", "large"}
    for key in ("small", "large"):
        info = bucket.head_object(key)
        assert (info.content_type, info.metadata, info.tags) == ("text/new", {"b": "2"}, {"stage": "prod"})


def test_a_missing_bucket_of_a_service_is_not_found(service: Any, bucket: mstbucket.Bucket, run: Any) -> None:
    """[S3B-19] on either side, with a prefix and without."""
    service.answers["GET list-type"] = (404, b"<Error><Code>NoSuchBucket</Code></Error>")
    bucket.put_object("a", b"1")
    for prefix in ("", "p/"):
        there = Remote(S3Place("bucket", prefix, service.endpoint, "eu-1"), Filters())
        for sides in ((there, bucket), (bucket, there)):
            with pytest.raises(NoSuchBucket, match="no such bucket"):
                run(*sides)
