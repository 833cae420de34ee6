"""The corner cases of versions, one row for each, named by what S3 does, with the code that it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.model.objects import DeleteResult

Shape = list[tuple[str | None, bytes | None]]  # of a key, newest first: the id, and the body or None of a marker


def put(bucket: mstbucket.Bucket, body: bytes, key: str = "k", **said: Any) -> str:
    """Put, and the version id."""
    return str(bucket.put_object(key, body, **said).version_id)


def shape(bucket: mstbucket.Bucket, key: str = "k") -> Shape:
    """The versions of a key, newest first; the first alone has to be the latest."""
    versions = [version for version in bucket.list_object_versions(key).versions if version.key == key]
    assert [version.is_latest for version in versions] == [True, *[False] * (len(versions) - 1)][: len(versions)]
    return [
        (v.version_id, None if v.delete_marker else bucket.get_object(key, version_id=v.version_id).read()) for v in versions
    ]


def told(result: DeleteResult) -> tuple[str | None, bool]:
    return result.version_id, result.delete_marker


# --- each row makes a story and says how it has to end ---------------------------------------------------------------

ROWS: dict[str, Callable[[mstbucket.Bucket], None]] = {}


def row(name: str) -> Callable[[Callable[[mstbucket.Bucket], None]], None]:
    def add(story: Callable[[mstbucket.Bucket], None]) -> None:
        assert name not in ROWS
        ROWS[name] = story

    return add


# --- the state of the bucket -------------------------------------------------------------------------------------------


@row("a bucket has no versioning until it is set, and its objects have no version id")
def _(b: mstbucket.Bucket) -> None:
    assert b.get_bucket_versioning() is None
    assert b.put_object("k", b"1").version_id is None
    assert b.head_object("k").version_id is None
    assert told(b.delete_object("k")) == (None, False)
    assert shape(b) == []


@row("a bucket without versioning lists its objects as null versions, all of them the latest")
def _(b: mstbucket.Bucket) -> None:
    b.put_object("k", b"1")
    b.put_object("k", b"2")
    assert shape(b) == [("null", b"2")]
    assert b.get_object("k", version_id="null").read() == b"2"
    assert told(b.delete_object("k", version_id="null")) == ("null", False)
    assert shape(b) == []


@row("versioning is Enabled or Suspended: anything else is refused")
def _(b: mstbucket.Bucket) -> None:
    for status in ("Disabled", "enabled", "", None):
        with pytest.raises(errors.InvalidInput):
            b.put_bucket_versioning(status)  # type: ignore[arg-type]
    assert b.get_bucket_versioning() is None


@row("an object from before versioning becomes the null version")
def _(b: mstbucket.Bucket) -> None:
    b.put_object("k", b"1")
    b.put_bucket_versioning("Enabled")
    assert b.head_object("k").version_id == "null"
    new = put(b, b"2")
    assert shape(b) == [(new, b"2"), ("null", b"1")]


@row("a bucket may be suspended that was never enabled")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Suspended")
    assert (b.get_bucket_versioning(), put(b, b"1"), put(b, b"2")) == ("Suspended", "null", "null")
    assert shape(b) == [("null", b"2")]


@row("suspending and enabling again leaves every version as it was")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    b.put_bucket_versioning("Suspended")
    assert b.head_object("k").version_id == one
    assert put(b, b"2") == "null"
    b.put_bucket_versioning("Enabled")
    three = put(b, b"3")
    assert shape(b) == [(three, b"3"), ("null", b"2"), (one, b"1")]


# --- writing -------------------------------------------------------------------------------------------------------------


@row("put while enabled adds a version, also of the same body")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    ids = [put(b, b"same") for _ in range(3)]
    assert len({*ids, "null"}) == 4
    assert shape(b) == [(name, b"same") for name in reversed(ids)]
    assert b.head_object("k").version_id == ids[2]


@row("put while suspended replaces the null version only, wherever that is")
def _(b: mstbucket.Bucket) -> None:
    b.put_object("k", b"0")
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    b.put_bucket_versioning("Suspended")
    assert put(b, b"2") == "null"
    assert shape(b) == [("null", b"2"), (one, b"1")]
    assert put(b, b"3") == "null"
    assert shape(b) == [("null", b"3"), (one, b"1")]


@row("put while suspended replaces a null delete marker")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Suspended")
    b.delete_object("k")
    put(b, b"1")
    assert shape(b) == [("null", b"1")]


@row("versions made within one millisecond are listed by their creation, newest first")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    ids: list[str] = []
    requests = [mstbucket.PutRequest("k", b"%d" % n) for n in range(50)]
    b.put_objects(requests, stored=lambda result: ids.append(str(result.version_id)))
    assert len(set(ids)) == 50
    times = {version.last_modified for version in b.list_object_versions().versions}
    assert len(times) < 50
    assert shape(b) == [(name, b"%d" % n) for n, name in reversed(list(enumerate(ids)))]


@row("If-None-Match * succeeds where the newest version is a delete marker, and is 412 where it is an object")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    with pytest.raises(errors.PreconditionFailed) as caught:
        b.put_object("k", b"2", if_none_match="*")
    assert (caught.value.code, caught.value.status) == ("PreconditionFailed", 412)
    marker = b.delete_object("k").version_id
    two = put(b, b"2", if_none_match="*")
    assert shape(b) == [(two, b"2"), (marker, None), (one, b"1")]


@row("If-Match is 404 where the newest version is a delete marker")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    etag = b.put_object("k", b"1").etag
    b.put_object("other", b"")
    b.delete_object("k")
    before = b.list_object_versions()
    for call in (
        lambda: b.put_object("k", b"2", if_match=etag),
        lambda: b.put_object("k", b"2", if_match="*"),
        lambda: b.copy_object("other", "k", if_match=etag),
        lambda: b.delete_object("k", if_match=etag),
    ):
        with pytest.raises(errors.NoSuchKey) as caught:
            call()
        assert (caught.value.code, caught.value.status) == ("NoSuchKey", 404)
    assert b.list_object_versions() == before


@row("If-None-Match with the ETag of an older version succeeds, If-Match with it is 412")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    old = b.put_object("k", b"1").etag
    b.put_object("k", b"2")
    with pytest.raises(errors.PreconditionFailed):
        b.put_object("k", b"3", if_match=old)
    put(b, b"3", if_none_match=old)
    assert [body for _, body in shape(b)] == [b"3", b"2", b"1"]


# --- deleting ------------------------------------------------------------------------------------------------------------


@row("delete while enabled puts a delete marker, also where there is one, and on a key that never was")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    first, second, never = b.delete_object("k"), b.delete_object("k"), b.delete_object("never")
    assert [told(result)[1] for result in (first, second, never)] == [True] * 3
    assert shape(b) == [(second.version_id, None), (first.version_id, None), (one, b"1")]
    assert shape(b, "never") == [(never.version_id, None)]
    assert list(b.objects()) == []


@row("delete while suspended puts a null delete marker in place of the null version")
def _(b: mstbucket.Bucket) -> None:
    b.put_object("k", b"0")
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    b.put_bucket_versioning("Suspended")
    assert told(b.delete_object("k")) == ("null", True)
    assert shape(b) == [("null", None), (one, b"1")]
    assert told(b.delete_object("k")) == ("null", True)
    assert shape(b) == [("null", None), (one, b"1")]


@row("delete while suspended of a key without null version adds the null marker")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    b.put_bucket_versioning("Suspended")
    assert told(b.delete_object("k")) == told(b.delete_object("never")) == ("null", True)
    assert (shape(b), shape(b, "never")) == ([("null", None), (one, b"1")], [("null", None)])


@row("delete of a version says whether it was a delete marker")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    marker = b.delete_object("k").version_id
    assert told(b.delete_object("k", version_id=marker)) == (marker, True)
    assert told(b.delete_object("k", version_id=one)) == (one, False)
    assert shape(b) == []


@row("delete of a version that is not there is no error and changes nothing")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one, other = put(b, b"1"), put(b, b"2", "other")
    for key, name in (("k", "no such"), ("k", "null"), ("k", other), ("missing", one)):
        assert told(b.delete_object(key, version_id=name)) == (name, False)
    assert (shape(b), shape(b, "other"), shape(b, "missing")) == ([(one, b"1")], [(other, b"2")], [])


@row("removing a delete marker brings the object back")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    b.put_object("k", b"1", metadata={"m": "1"}, tags={"t": "1"})
    before, page = b.head_object("k"), b.list_objects()
    marker = b.delete_object("k").version_id
    assert b.list_objects().contents == ()
    b.delete_object("k", version_id=marker)
    assert (b.head_object("k"), b.list_objects()) == (before, page)


@row("removing the newest version makes the one before the current one, a marker too")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = put(b, b"1")
    marker = b.delete_object("k").version_id
    three = put(b, b"3")
    b.delete_object("k", version_id=three)
    assert shape(b) == [(marker, None), (one, b"1")]
    with pytest.raises(errors.NoSuchKey):
        b.get_object("k")
    assert b.list_objects().contents == ()


@row("removing a version in the middle changes no other")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one, two, three = (put(b, b"%d" % n) for n in (1, 2, 3))
    b.delete_object("k", version_id=two)
    assert shape(b) == [(three, b"3"), (one, b"1")]
    four = put(b, b"4")
    assert shape(b) == [(four, b"4"), (three, b"3"), (one, b"1")]


@row("a delete on a condition that is not met puts no marker, one that is met puts one")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    result = b.put_object("k", b"1")
    with pytest.raises(errors.PreconditionFailed):
        b.delete_object("k", if_match="another")
    assert shape(b) == [(result.version_id, b"1")]
    marker = b.delete_object("k", if_match=result.etag)
    assert shape(b) == [(marker.version_id, None), (result.version_id, b"1")]


# --- reading -------------------------------------------------------------------------------------------------------------


@row("what has a delete marker on top is 404 NoSuchKey to every reader")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    put(b, b"1")
    b.delete_object("k")
    refused(b, None, errors.NoSuchKey, "NoSuchKey", 404)


@row("a delete marker by its version id is 405 MethodNotAllowed to every reader")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    put(b, b"1")
    marker = b.delete_object("k").version_id
    put(b, b"2")
    refused(b, marker, errors.MethodNotAllowed, "MethodNotAllowed", 405)


@row("the null delete marker by its version id is 405 MethodNotAllowed")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Suspended")
    b.delete_object("k")
    refused(b, "null", errors.MethodNotAllowed, "MethodNotAllowed", 405)


@row("a version id that is not there, or of another key, is 404 NoSuchVersion")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    put(b, b"1")
    for name in ("no such", "null", put(b, b"2", "other")):
        refused(b, name, errors.NoSuchVersion, "NoSuchVersion", 404)


def refused(bucket: mstbucket.Bucket, version_id: str | None, error: type[Exception], code: str, status: int) -> None:
    for call in (
        lambda: bucket.get_object("k", version_id=version_id),
        lambda: bucket.get_object("k", version_id=version_id, range="bytes=0-0"),
        lambda: bucket.get_object("k", version_id=version_id, part_number=1, if_match="*"),
        lambda: bucket.head_object("k", version_id=version_id, if_none_match="*"),
        lambda: bucket.get_object_attributes("k", version_id=version_id),
        lambda: bucket.get_object_tagging("k", version_id=version_id),
        lambda: bucket.put_object_tagging("k", {"a": "b"}, version_id=version_id),
        lambda: bucket.delete_object_tagging("k", version_id=version_id),
    ):
        with pytest.raises(error) as caught:
            call()
        assert (caught.value.code, caught.value.status) == (code, status)  # type: ignore[attr-defined]


@row("ranges, parts and conditions are those of the version that is named")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one = b.put_object("k", b"0123456789")
    b.put_object("k", b"new")
    name = one.version_id
    assert b.get_object("k", version_id=name, range="bytes=-3").read() == b"789"
    assert b.get_object("k", version_id=name, part_number=1).read() == b"0123456789"
    assert b.get_object("k", version_id=name, if_match=one.etag).read() == b"0123456789"
    with pytest.raises(errors.PreconditionFailed):
        b.get_object("k", if_match=one.etag)
    with pytest.raises(errors.NotModified):
        b.head_object("k", version_id=name, if_none_match=one.etag)
    with pytest.raises(errors.InvalidRange):
        b.get_object("k", range="bytes=3-")


@row("tags of a version are its own, and changing them makes no version")
def _(b: mstbucket.Bucket) -> None:
    b.put_bucket_versioning("Enabled")
    one, two = put(b, b"1", tags={"t": "1"}), put(b, b"2", tags={"t": "2"})
    b.put_object_tagging("k", {"t": "changed"}, version_id=one)
    assert (b.get_object_tagging("k", version_id=one), b.get_object_tagging("k")) == ({"t": "changed"}, {"t": "2"})
    b.put_object_tagging("k", {"t": "current"})
    assert (b.get_object_tagging("k", version_id=one), b.get_object_tagging("k", version_id=two)) == (
        {"t": "changed"}, {"t": "current"},
    )  # fmt: skip
    b.delete_object_tagging("k", version_id=one)
    assert b.get_object_tagging("k", version_id=one) == {}
    assert shape(b) == [(two, b"2"), (one, b"1")]


@pytest.mark.parametrize("name", ROWS)
def test_versions(bucket: mstbucket.Bucket, name: str) -> None:
    """[VSN-1] to [VSN-9]: and what it leaves can be folded, and is true both ways."""
    ROWS[name](bucket)
    bucket.flush()
    bucket.verify()
