"""Copies from one store into another: everything that S3 shows of the source is shown of the copy."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.limits import CHUNK_SIZE, MIB, PART_SIZE_MIN
from mstbucket.services.uploads import copy_between_stores

SAID: dict[str, Any] = {
    "content_type": "text/plain",
    "metadata": {"place": "Mole größe"},
    "headers": {"cache-control": "no-cache"},
    "tags": {"a": "1"},
}


@pytest.fixture
def other(second_store: mstbucket.Store) -> mstbucket.Bucket:
    """A bucket of another store, under the same name."""
    return second_store.create_bucket("things")


def shown(bucket: mstbucket.Bucket, key: str) -> tuple[Any, ...]:
    """What has to be equal, and the body."""
    info = bucket.head_object(key)
    return (
        info.size, info.etag, info.content, info.content_type, info.sha256, info.headers, info.metadata, info.tags,
        info.checksums, info.parts, bucket.get_object(key).read(),
    )  # fmt: skip


def in_parts(bucket: mstbucket.Bucket, key: str, sizes: list[int], **said: Any) -> None:
    upload = bucket.create_multipart_upload(key, **said).id
    rng = random.Random(4)
    parts = [bucket.upload_part(key, upload, n, rng.randbytes(size)) for n, size in enumerate(sizes, 1)]
    bucket.complete_multipart_upload(key, upload, [(part.number, part.etag) for part in parts])


SOURCES: dict[str, Callable[[mstbucket.Bucket], object]] = {
    "empty": lambda b: b.put_object("k", b""),
    "small, with everything that can be said": lambda b: b.put_object("k", b"abc", checksum_algorithm="crc32c", **SAID),
    "large": lambda b: b.put_object("k", random.Random(1).randbytes(2 * CHUNK_SIZE + 3), checksum_algorithm="sha1", **SAID),
    "one part": lambda b: in_parts(b, "k", [5]),
    "parts of odd sizes": lambda b: in_parts(b, "k", [PART_SIZE_MIN + 1, 6 * MIB, 7], **SAID),
    "parts with a composite checksum": lambda b: in_parts(b, "k", [PART_SIZE_MIN, 9], checksum_algorithm="sha256"),
    "parts with a checksum of the whole": lambda b: in_parts(
        b, "k", [PART_SIZE_MIN, 9], checksum_algorithm="crc64nvme", checksum_type="FULL_OBJECT"
    ),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_a_copy_shows_what_its_source_shows(
    bucket: mstbucket.Bucket, other: mstbucket.Bucket, make: Callable[[mstbucket.Bucket], object]
) -> None:
    """[ATTR-10]: the content CID, the ETag and the checksums included; flushed or not."""
    make(bucket)
    other.copy_object("k", "copy", source_bucket=bucket)
    assert shown(other, "copy") == shown(bucket, "k")
    bucket.flush()
    other.copy_object("k", "copy", source_bucket=bucket)
    assert shown(other, "copy") == shown(bucket, "k")
    other.flush()
    assert other.verify().objects == 1
    assert other.list_multipart_uploads().uploads == ()


def test_directives_versions_and_conditions_are_those_of_any_copy(bucket: mstbucket.Bucket, other: mstbucket.Bucket) -> None:
    """[ATTR-4] [ATTR-10] [COND-5]."""
    bucket.put_bucket_versioning("Enabled")
    old = bucket.put_object("k", b"old", **SAID)
    new = bucket.put_object("k", b"new")
    other.put_bucket_versioning("Enabled")
    copied = other.copy_object("k", "k", source_bucket=bucket, source_version_id=old.version_id)
    assert copied.version_id not in (None, old.version_id)
    assert other.get_object("k").read() == b"old"
    other.copy_object(
        "k", "k", source_bucket=bucket, source_version_id=old.version_id, metadata_directive="REPLACE",
        tagging_directive="REPLACE", metadata={"n": "1"},
    )  # fmt: skip
    info = other.head_object("k")
    assert (info.metadata, info.headers, info.tags, info.content_type) == ({"n": "1"}, {}, {}, "binary/octet-stream")
    for wrong in (
        {"copy_source_if_match": old.etag},
        {"copy_source_if_none_match": new.etag},
        {"if_none_match": "*"},
        {"if_match": "other"},
    ):
        with pytest.raises(errors.PreconditionFailed):
            other.copy_object("k", "k", source_bucket=bucket, **wrong)
    with pytest.raises(errors.InvalidInput):
        other.copy_object("k", "k", source_bucket=bucket, tags={"a": "b"})
    with pytest.raises(errors.NoSuchVersion):
        other.copy_object("k", "k", source_bucket=bucket, source_version_id="none")
    with pytest.raises(errors.NoSuchKey):
        other.copy_object("none", "k", source_bucket=bucket)
    marker = bucket.delete_object("k").version_id
    with pytest.raises(errors.InvalidRequest, match="delete marker"):
        other.copy_object("k", "k", source_bucket=bucket, source_version_id=marker)


def test_a_bucket_of_the_same_store_moves_no_byte(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[ATTR-5] [ATTR-6]: given as a bucket or by its name."""
    bucket.put_object("k", b"abc")
    target = store.create_bucket("target")
    for source in (bucket, "things"):
        assert target.copy_object("k", "k", source_bucket=source).etag == bucket.head_object("k").etag
    with pytest.raises(errors.InvalidRequest, match="onto itself"):
        bucket.copy_object("k", "k", source_bucket=bucket)


def test_what_is_too_large_for_one_copy(
    bucket: mstbucket.Bucket, other: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[ATTR-8]."""
    monkeypatch.setattr(copy_between_stores, "COPY_SIZE_MAX", 2)
    bucket.put_object("k", b"abc")
    with pytest.raises(errors.InvalidRequest, match="3 bytes"):
        other.copy_object("k", "k", source_bucket=bucket)


def test_a_source_that_changes_on_the_way_is_no_mixture(
    bucket: mstbucket.Bucket, other: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[ATTR-10]: and no open upload stays behind."""
    in_parts(bucket, "k", [PART_SIZE_MIN, PART_SIZE_MIN, 3])
    arrived = threading.Event()
    upload_part = copy_between_stores.parts.upload_part

    def watched(*arguments: Any) -> Any:
        part = upload_part(*arguments)
        if not arrived.is_set():
            bucket.put_object("k", b"another")
            arrived.set()
        return part

    monkeypatch.setattr(copy_between_stores.parts, "upload_part", watched)
    with pytest.raises(errors.PreconditionFailed):
        other.copy_object("k", "k", source_bucket=bucket)
    assert list(other.objects()) == []
    assert other.list_multipart_uploads().uploads == ()
