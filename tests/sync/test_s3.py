"""A real S3 service on one side: an existing bucket moves in, and back, with what goes with its objects."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.core.times import moment
from mstbucket.errors import Conflict, CorruptionError, NoSuchBucket, NoSuchKey, StorageError
from mstbucket.limits import MIB
from mstbucket.remote import S3Object, S3Place
from mstbucket.remote.objects import NO_ATTRIBUTES, S3Listed
from mstbucket.sync.entry import Compare, Copy, Entry
from mstbucket.sync.fetching import Fetching, is_same_by_time
from mstbucket.sync.filters import Filters
from mstbucket.sync.mover import Meter
from mstbucket.sync.objects import Objects
from mstbucket.sync.plan import SLACK, How
from mstbucket.sync.remote import Remote

Run = Callable[..., Any]
Contents = Callable[[Any], dict[str, bytes]]

s3 = pytest.mark.s3


class Corner:
    """A prefix of the test's own on the service, written and read past all code of ours."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.prefix = f"{secrets.token_hex(4)}/"

    def side(self, *rules: tuple[bool, str]) -> Remote:
        place = S3Place(self.service.bucket, self.prefix, self.service.endpoint, self.service.region)
        return Remote(place, Filters(rules))

    def put(self, key: str, body: bytes, **given: Any) -> None:
        self.service.client.put_object(Bucket=self.service.bucket, Key=self.prefix + key, Body=body, **given)

    def put_in_parts(self, key: str, body: bytes) -> None:
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=1, multipart_chunksize=5 * MIB)
        self.service.client.upload_fileobj(io.BytesIO(body), self.service.bucket, self.prefix + key, Config=config)

    def get(self, key: str) -> Any:
        return self.service.client.get_object(Bucket=self.service.bucket, Key=self.prefix + key)

    def contents(self) -> dict[str, bytes]:
        pages = self.service.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.service.bucket, Prefix=self.prefix
        )
        keys = [item["Key"][len(self.prefix) :] for page in pages for item in page.get("Contents", ())]
        return {key: self.get(key)["Body"].read() for key in keys}


@pytest.fixture
def corner(s3_service: Any) -> Corner:
    return Corner(s3_service)


BODIES = {"a.txt": b"1", "a/b": b"22", "a0": b"", "é/\U0001f600": b"333", "a//b/": b"4", "large": bytes(range(256)) * 8192}


@s3
def test_a_bucket_moves_in_and_back(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, contents: Contents, s3_service: Any
) -> None:
    """[SYNC-8], [SYNC-13], [SYNC-14]: all of it, once; then only what has changed."""
    for key, body in BODIES.items():
        corner.put(key, body)
    assert set(run(corner.side(), bucket).copied) == set(BODIES)
    assert contents(bucket) == BODIES
    again = run(corner.side(), bucket)
    assert (again.copied, again.summary.same) == ({}, len(BODIES))
    corner.put("a/b", b"99")
    bucket.put_object("gone", b"1")
    rehearsed = run(corner.side(), bucket, delete=True, dry_run=True)
    did = run(corner.side(), bucket, delete=True)
    assert (did.copied, did.deleted) == (rehearsed.copied, rehearsed.deleted) == ({"a/b": "content"}, {"gone"})
    back = Corner(s3_service)
    back.put("extra", b"1")
    back.put("keep.log", b"2")
    did = run(bucket, back.side((False, "*.log")), delete=True)
    assert (set(did.copied), did.deleted) == (set(BODIES), {"extra"})
    assert back.contents() == BODIES | {"a/b": b"99", "keep.log": b"2"}
    assert run(bucket, back.side()).summary.same == len(BODIES)


@s3
def test_what_goes_with_an_object_travels(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, s3_service: Any
) -> None:
    """[SYNC-14] both ways, for small and large objects."""
    extras = {
        "ContentType": "text/x-odd", "CacheControl": "max-age=5", "ContentDisposition": "inline", "ContentEncoding": "gzip",
        "ContentLanguage": "de", "Metadata": {"who": "me"},
    }  # fmt: skip
    corner.put("small", b"1", **extras)
    corner.put("large", bytes(3 * MIB), **extras)
    run(corner.side(), bucket)
    back = Corner(s3_service)
    run(bucket, back.side())
    for key in ("small", "large"):
        info = bucket.head_object(key)
        assert (info.content_type, info.metadata) == ("text/x-odd", {"who": "me"})
        assert info.headers == {
            "cache-control": "max-age=5", "content-disposition": "inline", "content-encoding": "gzip",
            "content-language": "de",
        }  # fmt: skip
        answer = back.get(key)
        assert {name: answer[name] for name in extras} == extras
        assert answer["ETag"] == corner.get(key)["ETag"] == f'"{info.etag}"'


@s3
@pytest.mark.parametrize("size", [1, 20 * MIB], ids=["small", "in parts"])
def test_what_the_service_says_replaces_and_the_tags_stay(
    size: int, corner: Corner, bucket: mstbucket.Bucket, run: Run
) -> None:
    """[SYNC-17] Metadata and headers that the new object lacks are gone; tags, of which nothing was said, stay."""
    bucket.put_object(
        "a", b"old", content_type="text/old", metadata={"was": "here", "who": "old"}, tags={"keep": "me"},
        headers={"cache-control": "no-store", "content-language": "fr"},
    )  # fmt: skip
    body = bytes(size)
    if size > MIB:
        corner.put_in_parts("a", body)
    else:
        corner.put("a", body, ContentType="text/new", Metadata={"who": "new"}, CacheControl="max-age=1")
    assert set(run(corner.side(), bucket).copied) == {"a"}
    info = bucket.head_object("a")
    assert (info.size, bucket.get_object_tagging("a")) == (size, {"keep": "me"})
    if size > MIB:
        assert (info.metadata, info.headers) == ({}, {})
    else:
        assert (info.content_type, info.metadata) == ("text/new", {"who": "new"})
        assert info.headers == {"cache-control": "max-age=1"}


@s3
@pytest.mark.parametrize("size", [1, 20 * MIB], ids=["in one piece", "in parts"])
def test_headers_come_back_from_the_service_as_the_texts_that_they_are(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, store: mstbucket.Store, size: int
) -> None:
    """[S3B-17]"""
    texts = {"never": "never", "zero": "0", "late": "1e999", "date": "Thu, 01 Dec 1994 16:00:00 GMT"}
    for key, text in texts.items():
        bucket.put_object(key, bytes(size), headers={"expires": text}, metadata={"a-b.c": "x  y=z; \"q\""})
        size = min(size, 100)  # one large one will do
    assert run(bucket, corner.side()).failed == {}
    back = store.create_bucket("back")
    assert run(corner.side(), back).failed == {}
    for key in texts:
        one, other = bucket.head_object(key), back.head_object(key)
        assert (one.headers, one.metadata, one.content_type) == (other.headers, other.metadata, other.content_type)


@s3
def test_an_etag_of_parts_leaves_it_to_the_times(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, s3_service: Any
) -> None:
    """[SYNC-8], [SYNC-5]: in, unchanged, changed; and out in parts."""
    body = os.urandom(12 * MIB)
    corner.put_in_parts("large", body)
    time.sleep(SLACK / 1000 + 1)  # the service counts in seconds
    assert run(corner.side(), bucket).copied == {"large": "new"}
    assert bucket.get_object("large").read() == body
    assert run(corner.side(), bucket).summary.same == 1
    assert run(corner.side(), bucket, how=How.CHECKSUM).summary.same == 1
    corner.put_in_parts("large", body)
    assert run(corner.side(), bucket, how=How.CHECKSUM).summary.same == 1
    assert run(corner.side(), bucket).copied == {"large": "time"}
    back = Corner(s3_service)
    bucket.put_object("larger", os.urandom(20 * MIB))
    time.sleep(SLACK / 1000 + 1)
    assert set(run(bucket, back.side()).copied) == {"large", "larger"}
    assert run(bucket, back.side()).summary.same == 2
    assert run(bucket, back.side(), how=How.CHECKSUM).summary.same == 2


@s3
@pytest.mark.parametrize("size", [10, 2 * MIB], ids=["small", "large"])
def test_a_checksum_reads_what_an_etag_cannot_tell(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, size: int
) -> None:
    """[SYNC-5] both ways; the object of ours is written later and has the same size."""
    corner.put("a", bytes(size))
    bucket.put_object("a", b"\1" * size)
    for dry_run in (True, False):
        assert run(corner.side(), bucket, how=How.CHECKSUM, dry_run=dry_run).copied == {"a": "content"}
    assert run(corner.side(), bucket, how=How.CHECKSUM).summary.same == 1
    bucket.put_object("a", b"\2" * size)
    assert run(bucket, corner.side(), how=How.CHECKSUM).copied == {"a": "content"}
    assert corner.contents() == {"a": b"\2" * size}


@s3
def test_a_prefix_with_nothing_under_it_and_a_bucket_that_is_not_there(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, contents: Contents
) -> None:
    """[SYNC-1]"""
    bucket.put_object("a", b"1")
    with pytest.raises(NoSuchKey, match="nothing under"):
        run(corner.side(), bucket, delete=True)
    nowhere = Remote(replace(corner.side().bucket.place, bucket="nowhere-" + secrets.token_hex(4), prefix=""), Filters())
    for sides in ((nowhere, bucket), (bucket, nowhere)):
        with pytest.raises(NoSuchBucket, match="no such bucket"):
            run(*sides, delete=True)
    assert contents(bucket) == {"a": b"1"}


@s3
def test_the_marker_of_the_folder_itself_is_passed_over(corner: Corner, bucket: mstbucket.Bucket, run: Run) -> None:
    corner.put("", b"")
    corner.put("a/", b"")
    assert set(run(corner.side(), bucket).copied) == {"a/"}
    assert run(corner.side(), bucket, delete=True).summary.same == 1


@s3
def test_an_object_that_cannot_be_had_fails_alone(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, s3_service: Any, contents: Contents
) -> None:
    """The policy of its bucket denies one object to everybody, and the listing to nobody."""
    name = f"mstbucket-test-{secrets.token_hex(6)}"
    client = s3_service.client
    client.create_bucket(Bucket=name)
    for key in ("a", "b", "c"):
        client.put_object(Bucket=name, Key=key, Body=key.encode())
    denied = f"arn:aws:s3:::{name}/b"
    client.put_bucket_policy(
        Bucket=name,
        Policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": '
        f'["s3:GetObject", "s3:PutObject"], "Resource": "{denied}"}}]}}',
    )
    side = Remote(S3Place(name, "", s3_service.endpoint, s3_service.region), Filters())
    try:
        did = run(side, bucket)
        assert (set(did.copied), list(did.failed)) == ({"a", "c"}, ["b"])
        bucket.put_object("b", b"1")
        bucket.put_object("d", b"2")
        did = run(bucket, side, how=How.SIZE, rules=((False, "a"),))
        assert contents(bucket) == {"a": b"a", "b": b"1", "c": b"c", "d": b"2"}
        bucket.put_object("b", b"longer")
        did = run(bucket, side, how=How.SIZE)
        assert (set(did.copied), list(did.failed)) == (set(), ["b"])
    finally:
        client.delete_bucket_policy(Bucket=name)
        for key in ("a", "b", "c", "d"):
            client.delete_object(Bucket=name, Key=key)
        client.delete_bucket(Bucket=name)


@s3
def test_a_service_that_does_not_answer_ends_the_run(bucket: mstbucket.Bucket, run: Run, corner: Corner) -> None:
    place = replace(corner.side().bucket.place, endpoint="http://127.0.0.1:9")
    with pytest.raises(StorageError, match="did not answer"):
        run(Remote(place, Filters()), bucket)


@s3
def test_an_object_of_parts_that_changes_while_it_is_read_is_not_stored(
    corner: Corner, bucket: mstbucket.Bucket
) -> None:
    """[SYNC-12] changed when its first bytes are counted; the service still gives the old ones on the open connection."""
    corner.put_in_parts("large", bytes(6 * MIB))

    class Changing(Meter):
        def add(self, count: int) -> None:
            if self.bytes == 0:
                corner.put_in_parts("large", b"\1" * 6 * MIB)
            super().add(count)

    source = corner.side()
    (entry,) = source.entries()
    mover = Fetching(source, Objects(bucket, "", Filters()), Changing())
    with pytest.raises(Conflict, match="changed while it was read"):
        mover.move(Copy(entry, None, "new"))
    assert list(bucket.objects()) == []


@s3
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_store_of_ours_that_fails_is_not_taken_for_the_service(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, tmp_path: Path, way: str
) -> None:
    """It ends the run, although the service answers."""
    for key in ("a", "b", "c"):
        if way == "in":
            corner.put(key, bytes(3 * MIB))
        else:
            bucket.put_object(key, bytes(20 * MIB))
    shutil.rmtree(tmp_path / "blobs")
    with pytest.raises((StorageError, CorruptionError)) as raised:
        assert run(*((corner.side(), bucket) if way == "in" else (bucket, corner.side()))).failed == {}
    assert "s3://" not in str(raised.value)


MOVE_IN = """
import sys, mstbucket
from mstbucket.remote import parse_place
from mstbucket.sync import Filters, Objects, Options, Remote, sync
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    sides = Remote(parse_place(sys.argv[3]), Filters()), Objects(store.bucket("things"), "", Filters())
    sync(*sides, Options(), lambda event: print(event.step.source.key, flush=True), lambda _: None)
"""


@s3
def test_a_killed_move_from_a_service_is_continued(
    corner: Corner, bucket: mstbucket.Bucket, run: Run, contents: Contents, database_url: str, tmp_path: Path
) -> None:
    """[SYNC-13]"""
    bodies = {f"{number:02}": os.urandom(2 * MIB if number % 2 else 500) for number in range(40)}
    for key, body in bodies.items():
        corner.put(key, body)
    command = [sys.executable, "-c", MOVE_IN, database_url, str(tmp_path / "blobs"), str(corner.side().bucket.place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().strip()]
        child.kill()
        told += child.stdout.read().splitlines()[:-1]  # the last line may be cut
    half = contents(bucket)
    assert half.items() <= bodies.items()
    assert set(told) <= half.keys()
    assert set(run(corner.side(), bucket).copied) == bodies.keys() - half.keys()
    assert contents(bucket) == bodies


def test_an_etag_that_only_looks_like_an_md5_leaves_it_to_the_times() -> None:
    """[SYNC-8] that of an object under a KMS key, which the answer to GET tells."""
    there, ours = Entry("k", 1, 0, etag="0" * 32), Entry("k", 1, SLACK, etag="1" * 32, content=b"cid")
    listed = S3Listed("k", 1, "0" * 32, moment(0))
    encrypted, plain = S3Object(listed, NO_ATTRIBUTES, None), S3Object(listed, NO_ATTRIBUTES, "0" * 32)
    assert is_same_by_time(Copy(there, ours, "content"), encrypted)
    assert not is_same_by_time(Copy(there, ours, "content"), plain)
    assert not is_same_by_time(Copy(there, replace(ours, modified=SLACK - 1), "content"), encrypted)
    assert not is_same_by_time(Compare(there, ours), encrypted)
    assert not is_same_by_time(Copy(there, None, "new"), encrypted)
