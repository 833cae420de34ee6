"""Versions as the source or the target of copies and of multipart uploads: the corner cases by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.limits import MIB, PART_SIZE_MIN


@pytest.fixture
def enabled(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket with versioning enabled, and in it `k` with versions 1, 2, a delete marker, and 4."""
    bucket.put_bucket_versioning("Enabled")
    bucket.put_object("k", b"one", metadata={"m": "1"}, tags={"t": "1"}, content_type="text/plain")
    bucket.put_object("k", b"two", metadata={"m": "2"}, tags={"t": "2"})
    bucket.delete_object("k")
    bucket.put_object("k", b"four")
    return bucket


def ids(bucket: mstbucket.Bucket, key: str = "k") -> list[str]:
    """The version ids of a key, oldest first."""
    return [v.version_id for v in bucket.list_object_versions(key).versions if v.key == key][::-1]


def bodies(bucket: mstbucket.Bucket, key: str = "k") -> list[bytes | None]:
    """The versions of a key, oldest first, None for a delete marker."""
    versions = [v for v in bucket.list_object_versions(key).versions if v.key == key][::-1]
    return [None if v.delete_marker else bucket.get_object(key, version_id=v.version_id).read() for v in versions]


# --- copy ----------------------------------------------------------------------------------------------------------------


def test_a_copy_takes_the_version_that_is_named(enabled: mstbucket.Bucket) -> None:
    """With its metadata, tags and type; the copy has a version id of its own."""
    first = ids(enabled)[0]
    before = enabled.head_object("k", version_id=first)
    result = enabled.copy_object("k", "copy", source_version_id=first)
    after = enabled.head_object("copy")
    assert enabled.get_object("copy").read() == b"one"
    for name in ("content", "etag", "metadata", "tags", "content_type", "checksums"):
        assert getattr(after, name) == getattr(before, name)
    assert after.version_id == result.version_id == ids(enabled, "copy")[0]
    assert result.version_id not in ids(enabled)


def test_an_older_version_copied_onto_its_key_becomes_the_current_one(enabled: mstbucket.Bucket) -> None:
    """S3's way to restore: nothing is changed but the place, and it is no copy onto itself."""
    before = ids(enabled)
    enabled.copy_object("k", "k", source_version_id=before[1])
    assert bodies(enabled) == [b"one", b"two", None, b"four", b"two"]
    assert ids(enabled)[:4] == before
    assert enabled.head_object("k").metadata == {"m": "2"}


def test_onto_itself_without_a_change_is_invalid_request_with_versions_too(enabled: mstbucket.Bucket) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        enabled.copy_object("k", "k")
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)
    assert bodies(enabled) == [b"one", b"two", None, b"four"]


def test_onto_itself_with_replace_adds_a_version(enabled: mstbucket.Bucket) -> None:
    last = ids(enabled)[-1]
    enabled.copy_object("k", "k", metadata_directive="REPLACE", metadata={"n": "5"})
    assert bodies(enabled) == [b"one", b"two", None, b"four", b"four"]
    assert (enabled.head_object("k").metadata, enabled.head_object("k", version_id=last).metadata) == ({"n": "5"}, {})


REFUSED: dict[str, tuple[Callable[[mstbucket.Bucket], dict[str, Any]], type[Exception], str, int]] = {
    # S3: "you are not allowed to specify a delete marker as a version for the x-amz-copy-source"
    "a delete marker by its version id": (
        lambda b: {"source_version_id": ids(b)[2]}, errors.InvalidRequest, "InvalidRequest", 400),
    "a version that is not there": (lambda b: {"source_version_id": "no such"}, errors.NoSuchVersion, "NoSuchVersion", 404),
    "the null version where there is none": (
        lambda b: {"source_version_id": "null"}, errors.NoSuchVersion, "NoSuchVersion", 404),
    "a version of another key": (
        lambda b: {"source_version_id": b.put_object("other", b"").version_id}, errors.NoSuchVersion, "NoSuchVersion", 404),
    "a key with a delete marker on top": (
        lambda b: (b.delete_object("k"), {})[1], errors.NoSuchKey, "NoSuchKey", 404),
}  # fmt: skip


@pytest.mark.parametrize("verb", ["copy_object", "upload_part_copy"])
@pytest.mark.parametrize("row", REFUSED)
def test_a_source_that_is_refused(enabled: mstbucket.Bucket, row: str, verb: str) -> None:
    asked, error, code, status = REFUSED[row]
    said = asked(enabled)
    upload = enabled.create_multipart_upload("copy").id
    where = ("k", "copy") if verb == "copy_object" else ("copy", upload, 1, "k")
    with pytest.raises(error) as caught:
        getattr(enabled, verb)(*where, **said)
    assert (caught.value.code, caught.value.status) == (code, status)  # type: ignore[attr-defined]
    assert (bodies(enabled, "copy"), enabled.list_parts("copy", upload).parts) == ([], ())


def test_conditions_of_the_source_are_about_the_version_that_is_named(enabled: mstbucket.Bucket) -> None:
    first = ids(enabled)[0]
    etag = enabled.head_object("k", version_id=first).etag
    with pytest.raises(errors.PreconditionFailed):
        enabled.copy_object("k", "copy", copy_source_if_match=etag)
    with pytest.raises(errors.PreconditionFailed):
        enabled.copy_object("k", "copy", source_version_id=first, copy_source_if_none_match=etag)
    enabled.copy_object("k", "copy", source_version_id=first, copy_source_if_match=etag)
    assert bodies(enabled, "copy") == [b"one"]


@pytest.mark.parametrize(("status", "name"), [(None, None), ("Suspended", "null")], ids=["never versioned", "suspended"])
def test_a_copy_into_another_bucket_gets_what_that_bucket_gives(
    store: mstbucket.Store, enabled: mstbucket.Bucket, status: str | None, name: str | None
) -> None:
    other = store.create_bucket("other")
    other.put_object("k", b"before")
    if status is not None:
        other.put_bucket_versioning(status)
    result = other.copy_object("k", "k", source_bucket="things", source_version_id=ids(enabled)[1])
    assert (result.version_id, bodies(other)) == (name, [b"two"])
    assert bodies(enabled) == [b"one", b"two", None, b"four"]


def test_a_version_that_came_in_parts_is_copied_with_them(enabled: mstbucket.Bucket) -> None:
    """CID, ETag and parts of the body; the parts can be asked for by version id."""
    upload = enabled.create_multipart_upload("m").id
    sent = [enabled.upload_part("m", upload, n, body) for n, body in ((1, bytes(PART_SIZE_MIN)), (2, b"end"))]
    first = enabled.complete_multipart_upload("m", upload, [(part.number, part.etag) for part in sent])
    enabled.put_object("m", b"newer")
    enabled.copy_object("m", "copy", source_version_id=first.version_id)
    found = enabled.head_object("copy")
    assert (found.content, found.etag, found.parts) == (first.content, first.etag, (PART_SIZE_MIN, 3))
    assert enabled.get_object("m", version_id=first.version_id, part_number=2).read() == b"end"
    assert enabled.get_object_attributes("m", version_id=first.version_id).parts == (PART_SIZE_MIN, 3)
    with pytest.raises(errors.InvalidPartNumber):
        enabled.get_object("m", part_number=2)


def test_a_part_is_copied_from_the_version_that_is_named(enabled: mstbucket.Bucket) -> None:
    """Also a range of it."""
    upload = enabled.create_multipart_upload("m").id
    part = enabled.upload_part_copy("m", upload, 1, "k", source_version_id=ids(enabled)[0], range="bytes=1-2")
    enabled.complete_multipart_upload("m", upload, [(1, part.etag)])
    assert enabled.get_object("m").read() == b"ne"


# --- multipart uploads -----------------------------------------------------------------------------------------------------


def begun(bucket: mstbucket.Bucket, body: bytes) -> tuple[str, list[tuple[int, str]]]:
    upload = bucket.create_multipart_upload("k", metadata={"m": "upload"}).id
    return upload, [(1, bucket.upload_part("k", upload, 1, body).etag)]


def test_an_upload_is_no_version_before_it_is_completed_and_one_afterwards(enabled: mstbucket.Bucket) -> None:
    before = ids(enabled)
    upload, named = begun(enabled, b"parts")
    assert ids(enabled) == before
    result = enabled.complete_multipart_upload("k", upload, named)
    assert bodies(enabled) == [b"one", b"two", None, b"four", b"parts"]
    assert ids(enabled) == [*before, result.version_id]


def test_a_completion_that_is_repeated_names_the_same_version_and_makes_no_second(enabled: mstbucket.Bucket) -> None:
    """[MPU-9]: whatever became of that version."""
    upload, named = begun(enabled, b"parts")
    done = enabled.complete_multipart_upload("k", upload, named)
    assert enabled.complete_multipart_upload("k", upload, named) == done
    enabled.put_object("k", b"newer")
    assert enabled.complete_multipart_upload("k", upload, named) == done
    enabled.delete_object("k", version_id=done.version_id)
    enabled.put_bucket_versioning("Suspended")
    assert enabled.complete_multipart_upload("k", upload, named) == done
    assert bodies(enabled) == [b"one", b"two", None, b"four", b"newer"]


def test_the_versioning_that_counts_is_that_of_the_completion(bucket: mstbucket.Bucket) -> None:
    """Not that of the initiation."""
    first, second, third = (begun(bucket, b"%d" % n) for n in (1, 2, 3))
    assert bucket.complete_multipart_upload("k", *first).version_id is None
    bucket.put_bucket_versioning("Enabled")
    name = bucket.complete_multipart_upload("k", *second).version_id
    bucket.put_bucket_versioning("Suspended")
    assert bucket.complete_multipart_upload("k", *third).version_id == "null"
    assert (bodies(bucket), ids(bucket)) == ([b"2", b"3"], [name, "null"])


def test_a_completion_on_a_condition_is_about_the_current_object(enabled: mstbucket.Bucket) -> None:
    """If-None-Match `*` succeeds where a delete marker is on top, If-Match is 404 there, and 412 with another ETag."""
    upload, named = begun(enabled, b"parts")
    with pytest.raises(errors.PreconditionFailed):
        enabled.complete_multipart_upload("k", upload, named, if_none_match="*")
    with pytest.raises(errors.PreconditionFailed):
        enabled.complete_multipart_upload("k", upload, named, if_match="another")
    etag = enabled.head_object("k").etag
    enabled.delete_object("k")
    with pytest.raises(errors.NoSuchKey):
        enabled.complete_multipart_upload("k", upload, named, if_match=etag)
    enabled.complete_multipart_upload("k", upload, named, if_none_match="*")
    assert bodies(enabled) == [b"one", b"two", None, b"four", None, b"parts"]


def test_a_completion_that_is_refused_makes_no_version(enabled: mstbucket.Bucket) -> None:
    upload, named = begun(enabled, b"parts")
    with pytest.raises(errors.InvalidPart):
        enabled.complete_multipart_upload("k", upload, [(1, "another")])
    with pytest.raises(errors.InvalidPartOrder):
        enabled.complete_multipart_upload("k", upload, named * 2)
    small = enabled.upload_part("k", upload, 2, bytes(MIB))
    with pytest.raises(errors.EntityTooSmall):
        enabled.complete_multipart_upload("k", upload, [*named, (2, small.etag)])
    assert bodies(enabled) == [b"one", b"two", None, b"four"]
