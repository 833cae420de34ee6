"""The URL of a place on an S3 service, and of a blob store: [S3B-1], [S3B-15]."""

from __future__ import annotations

from pathlib import Path

import pytest

import mstbucket
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.media.places import is_url, open_blobs
from mstbucket.errors import InvalidInput
from mstbucket.remote import S3Place, parse_place

PLACES = {
    "a bucket": ("s3://photos", S3Place("photos")),
    "an empty query": ("s3://photos?", S3Place("photos")),
    "a bucket with a slash": ("s3://photos/", S3Place("photos")),
    "a prefix, as it is": ("s3://photos/2026/a b%20", S3Place("photos", "2026/a b%20")),
    "an endpoint": ("s3://photos?endpoint=http://localhost:9000", S3Place("photos", "", "http://localhost:9000")),
    "an endpoint with a slash": ("s3://b.c/p/?endpoint=https://s3.example/", S3Place("b.c", "p/", "https://s3.example")),
    "an endpoint in percent signs": ("s3://pho/?endpoint=http%3A%2F%2Fh%3A1", S3Place("pho", "", "http://h:1")),
    "an IPv6 endpoint": ("s3://pho/x?endpoint=http://[::1]:80", S3Place("pho", "x", "http://[::1]:80")),
    "a region": ("s3://photos/p?region=eu-central-1", S3Place("photos", "p", None, "eu-central-1")),
    "both": ("s3://pho/p?region=r1&endpoint=http://h", S3Place("pho", "p", "http://h", "r1")),
    "capitals in the scheme": ("S3://Photos_1/p", S3Place("Photos_1", "p")),
}

SECRET = "wJalrXUtnFEMI"
NO_PLACES = {
    "nothing": "s3://",
    "no bucket": "s3:///prefix",
    "another scheme": "gs://photos/",
    "no scheme": "photos/prefix",
    "credentials": f"s3://AKIA:{SECRET}@photos/prefix",
    "a user": f"s3://{SECRET}@photos/",
    "a port": "s3://photos:9000/p",
    "a space in the bucket": "s3://pho tos/",
    "a newline in the prefix": "s3://photos/a\nb",
    "an unknown setting": f"s3://photos?secret_key={SECRET}",
    "a setting twice": "s3://photos?region=a&region=b",
    "a setting without a value": "s3://photos?region",
    "an empty region": "s3://photos?region=",
    "a region that is a host": "s3://photos?region=evil.example/",
    "an endpoint without a scheme": "s3://photos?endpoint=localhost:9000",
    "an endpoint with credentials": f"s3://photos?endpoint=http://AKIA:{SECRET}@localhost",
    "an endpoint with a bad port": "s3://photos?endpoint=http://h:port",
    "an endpoint with a query": "s3://photos?endpoint=http://h/%3Fx=y",
    "an endpoint of another kind": "s3://photos?endpoint=ftp://h",
    "an endpoint that is no address": "s3://photos?endpoint=http://[::1",
}


@pytest.mark.parametrize(("url", "place"), PLACES.values(), ids=PLACES.keys())
def test_a_url_is_a_place_and_the_place_a_url(url: str, place: S3Place) -> None:
    """[S3B-1]"""
    assert parse_place(url) == place
    assert parse_place(str(place)) == place


@pytest.mark.parametrize("url", NO_PLACES.values(), ids=NO_PLACES.keys())
def test_what_is_no_place_is_refused_and_not_repeated(url: str) -> None:
    """[S3B-1]"""
    with pytest.raises(InvalidInput) as caught:
        parse_place(url)
    assert SECRET not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_one_text_chooses_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[S3B-15]"""
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "a b", f"file://{tmp_path}/a%20b", "a b"):
        blobs = open_blobs(place)
        assert isinstance(blobs, LocalBlobs)
        blobs.put("packs/a", b"data")
    assert (tmp_path / "a b" / "packs" / "a").read_bytes() == b"data"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b"]
    assert isinstance(open_blobs("memory:"), MemoryBlobs)


@pytest.mark.parametrize("url", ["gs://bucket", "http://host/a", "file://host/a", "file://", "memory://x", "s3:///a"])
def test_any_other_url_is_refused(url: str) -> None:
    """[S3B-15] and no directory of that name is made"""
    assert is_url(url)
    with pytest.raises(InvalidInput):
        open_blobs(url)


@pytest.mark.parametrize("path", ["s3", "s3:/a", "./s3://a", "memory:/", "memory", "a/file:///b", "C:\\blobs"])
def test_what_looks_a_little_like_a_url_is_a_path(path: str) -> None:
    """[S3B-15]"""
    assert not is_url(path)


def test_a_store_in_memory_needs_only_its_url(database_url: str) -> None:
    """[S3B-15]"""
    with mstbucket.open(database=database_url, blobs="memory:", background=False) as store:
        bucket = store.create_bucket("photos")
        bucket.put_object("a", b"x" * 200_000)
        assert bucket.flush() is not None
        assert bucket.get_object("a").read() == b"x" * 200_000
