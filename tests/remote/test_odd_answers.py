"""Headers travel as the text they are, and no answer, however odd, ends in an error that is not declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from mstbucket.errors import InvalidInput, MstBucketError, NoSuchBucket, NoSuchKey, StorageError
from mstbucket.remote import S3Attributes, S3Bucket, parse_place
from mstbucket.remote import attempts as attempts_module

Stub = Any  # of tests/servers/stub.py

TEXTS = ["", "0", "never", "5d", "1e999", "-1", "Thu, 01 Dec 1994 16:00:00 GMT", "2026-11-21T09:00:00Z", "9" * 40, "nan"]
HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")


@pytest.fixture(scope="module")
def running(load_server: Callable[[str], Any]) -> Iterator[tuple[Stub, S3Bucket]]:
    """One for all: making a client takes long."""
    with pytest.MonkeyPatch.context() as patch, load_server("stub").stub() as service:
        patch.setenv("AWS_ACCESS_KEY_ID", "id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setattr(attempts_module, "FIRST_WAIT", 0.001)
        yield service, S3Bucket(parse_place(f"s3://bucket/?endpoint={service.endpoint}"))


@pytest.fixture
def service(running: tuple[Stub, S3Bucket]) -> Stub:
    running[0].forget()
    return running[0]


@pytest.fixture
def bucket(running: tuple[Stub, S3Bucket]) -> S3Bucket:
    return running[1]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_read_as_the_text_that_it_is(service: Stub, bucket: S3Bucket, name: str, text: str) -> None:
    """[S3B-17]"""
    service.objects["k"] = ([(name, text.encode())], b"1")
    assert bucket.head("k").attributes.headers == {name: text}
    with bucket.open_read("k") as stream:
        assert stream.object.attributes.headers == {name: text}
        assert stream.read() == b"1"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_sent_as_the_text_that_it_is(service: Stub, bucket: S3Bucket, name: str, text: str) -> None:
    """[S3B-17]"""
    bucket.put("k", b"1", S3Attributes("text/x", {name: text}, {"who": text}))
    sent = service.sent["k"]
    assert (sent[name], sent["content-type"], sent["x-amz-meta-who"]) == (text, "text/x", text)
    assert "MstBucketExpires".lower() not in sent


def test_utf8_in_a_header_is_read_as_such_and_latin1_as_that(service: Stub, bucket: S3Bucket) -> None:
    """[S3B-17]"""
    service.objects["k"] = ([("x-amz-meta-a", "é写".encode()), ("x-amz-meta-b", "é".encode("latin-1"))], b"")
    assert bucket.head("k").attributes.metadata == {"a": "é写", "b": "é"}


@pytest.mark.parametrize(
    "attributes",
    [
        S3Attributes(metadata={"a b": "1"}),
        S3Attributes(metadata={"ä": "1"}),
        S3Attributes(metadata={"a:": "1"}),
        S3Attributes(metadata={"": "1"}),
        S3Attributes(metadata={"a\n": "1"}),
        S3Attributes(metadata={"a": " 1"}),
        S3Attributes(metadata={"a": "1 "}),
        S3Attributes(metadata={"a": "\t"}),
        S3Attributes(metadata={"a": "é"}),
        S3Attributes(metadata={"a": "1\r\nb: 2"}),
        S3Attributes(headers={"content-disposition": "filename=é"}),
        S3Attributes(headers={"expires": "1\n"}),
        S3Attributes(headers={"x-unheard-of": "1"}),
        S3Attributes(content_type="text/é"),
    ],
    ids=repr,
)
def test_what_no_header_can_carry_is_refused_at_once(service: Stub, bucket: S3Bucket, attributes: S3Attributes) -> None:
    """[S3B-17] by name, with the object; nothing is sent."""
    for send in (bucket.put, bucket.put_if_absent):
        with pytest.raises(InvalidInput, match=r"s3://bucket/k: .*(cannot travel|keeps no header)"):
            send("k", b"1", attributes)
    with pytest.raises(InvalidInput):
        bucket.open_write("k", attributes)
    assert service.requests == 0


ODD_HEADERS = {
    "no length": ("Content-Length", b"-"),
    "no time": ("Last-Modified", b"-"),
    "a time that is none": ("Last-Modified", b"yesterday"),
    "a time out of range": ("Last-Modified", b"Sat, 21 Nov 99999 09:00:00 GMT"),
    "an empty time": ("Last-Modified", b""),
    "a clock that is none": ("Date", b"99999999999999999999"),
    "an empty ETag": ("ETag", b""),
    "a count of parts that is none": ("x-amz-mp-parts-count", b"many"),
    "an empty retention": ("x-amz-object-lock-retain-until-date", b""),
    "a restore that is none": ("x-amz-restore", b"\xff"),
    "a count of tags that is none": ("x-amz-tagging-count", b"1e999"),
    "an unknown encryption": ("x-amz-server-side-encryption", b"?"),
}
READABLE = {
    "a clock that is none", "an empty ETag", "a count of parts that is none", "an empty retention", "a restore that is none",
    "a count of tags that is none", "an unknown encryption",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_HEADERS)
def test_an_odd_header_ends_in_a_declared_error_or_in_none(service: Stub, bucket: S3Bucket, name: str) -> None:
    """[S3B-18]"""
    service.objects["k"] = ([ODD_HEADERS[name]], b"1")
    for call in (lambda: bucket.head("k"), lambda: bucket.open_read("k").object):
        if name in READABLE:
            assert call().listed.size == 1
        else:
            with pytest.raises(StorageError, match="s3://bucket/k"):
                call()


CALLS: dict[str, tuple[str, Callable[[S3Bucket], object]]] = {
    "list": ("GET list-type", lambda bucket: list(bucket.list())),
    "check": ("GET list-type", lambda bucket: bucket.check()),
    "require": ("GET list-type", lambda bucket: bucket.require()),
    "clock": ("GET list-type", lambda bucket: bucket.server_time()),
    "head": ("HEAD", lambda bucket: bucket.head("k")),
    "get": ("GET", lambda bucket: bucket.open_read("k").read()),
    "range": ("GET", lambda bucket: bucket.get_range("k", 0, 1)),
    "put": ("PUT x-id", lambda bucket: bucket.put("k", b"1")),
    "delete": ("DELETE", lambda bucket: bucket.delete("k")),
    "delete many": ("POST delete", lambda bucket: bucket.delete_many(["k"])),
    "old uploads": ("GET uploads", lambda bucket: bucket.abort_old_uploads("", timedelta(0))),
    "parts": ("POST uploads", lambda bucket: bucket.open_write("k").commit_in_parts()),
}
ANSWERS: dict[str, tuple[int, bytes]] = {
    "nothing": (200, b""),
    "no XML": (200, b"hello"),
    "half": (200, b"<ListBucketResult><Contents><Key>a"),
    "another document": (200, b"<html/>"),
    "an item of nothing": (200, b"<X><Contents/><Upload/><Error/></X>"),
    "odd items": (
        200,
        b"<X><Contents><Key>a</Key><Size>big</Size><LastModified>x</LastModified></Contents><Upload><Initiated>x</Initiated>"
        b"</Upload></X>",
    ),
    "more without a mark": (200, b"<X><IsTruncated>true</IsTruncated></X>"),
    "an error that is none": (400, b"\xff<"),
    "an error without a code": (403, b"<Error></Error>"),
    "a moved bucket": (301, b""),
    "nothing there": (404, b""),
    "a status of its own": (299, b"<X/>"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_an_odd_answer_ends_in_a_declared_error_or_in_none(
    service: Stub, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, call: str, answer: str
) -> None:
    """[S3B-18]"""
    monkeypatch.setattr(attempts_module, "TRIES", 2)
    what, work = CALLS[call]
    service.answers[what] = ANSWERS[answer]
    service.answers[what.partition(" ")[0]] = ANSWERS[answer]
    with suppress(MstBucketError):
        work(bucket)
    assert service.requests > 0


def test_a_bucket_that_is_not_there_is_not_found(service: Stub, bucket: S3Bucket) -> None:
    """[S3B-19] as source or target; as the place of a store it is a medium that fails."""
    service.answers["GET list-type"] = (404, b"<Error><Code>NoSuchBucket</Code></Error>")
    with pytest.raises(NoSuchBucket, match="no such bucket"):
        bucket.require()
    with pytest.raises(StorageError, match="no such bucket"):
        bucket.check()
    del service.answers["GET list-type"]
    bucket.require()
    with pytest.raises(NoSuchKey):
        bucket.head("k")
