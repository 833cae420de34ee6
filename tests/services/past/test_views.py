"""Views: a commit answers for ever what the bucket answered when it was the newest ([PAST-30] to [PAST-33])."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count, product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import Bucket, BucketView
from mstbucket.errors import (
    InvalidInput,
    InvalidRange,
    LeaseLost,
    MethodNotAllowed,
    MstBucketError,
    NoSuchBucket,
    NoSuchCommit,
    NoSuchKey,
    NoSuchVersion,
    NotModified,
    PreconditionFailed,
    Unsupported,
)
from mstbucket.limits import LEASE_SECONDS

NAMES = count()
KEYS = ("a", "a/", "a/b", "a/b/c", "a/\U0010ffff", "a!", "b/x", "b//y", "é/1", "\U0010ffff", "\U0010ffff/z", "z")
PREFIXES = ("", "a", "a/", "b/", "\U0010ffff", "nothing")
DELIMITERS = (None, "/", "b", "//")
AFTERS = (None, "a/b", "a/b/b", "b", "\U0010ffff")

Side = Bucket | BucketView

# --- everything a bucket says -------------------------------------------------------------------------------------------


def asked(call: Callable[[], Any]) -> Any:
    """What it returns, or the kind of the error."""
    try:
        return call()
    except MstBucketError as error:
        return type(error)


def pages(side: Side, size: int, **how: Any) -> Iterator[object]:
    token: str | None = None
    while True:
        page = side.list_objects(max_keys=size, continuation_token=token, **how)
        yield page
        token = page.next_continuation_token
        if token is None:
            return


def version_pages(side: Side, size: int, **how: Any) -> Iterator[object]:
    key = version = None
    while True:
        page = side.list_object_versions(max_keys=size, key_marker=key, version_id_marker=version, **how)
        key, version = page.next_key_marker, page.next_version_id_marker
        yield page.versions, page.common_prefixes, page.is_truncated, key, version and version.partition("@")[0]
        if not page.is_truncated:
            return


def body(side: Side, key: str, version: str | None) -> tuple[bytes, object]:
    with side.get_object(key, version_id=version) as reader:
        return reader.read(), reader.info


def told(side: Side) -> list[object]:
    """Everything that a bucket or a view says of what it holds."""
    said: list[object] = [list(side.objects(prefix)) for prefix in PREFIXES]
    for prefix, delimiter, size in product(PREFIXES, DELIMITERS, (1, 3, 1000)):
        said += pages(side, size, prefix=prefix, delimiter=delimiter)
        said += version_pages(side, size, prefix=prefix, delimiter=delimiter)
    for after, delimiter in product(AFTERS, DELIMITERS):
        said.append(side.list_objects(start_after=after, delimiter=delimiter))
        said.append(side.list_object_versions(key_marker=after, delimiter=delimiter).versions)
    ids = {version.version_id for version in side.list_object_versions().versions}
    for key, version_id in product(KEYS, (None, "none", *sorted(ids))):
        said.append(asked(lambda key=key, version_id=version_id: body(side, key, version_id)))
        said.append(asked(lambda key=key, version_id=version_id: side.head_object(key, version_id=version_id)))
    return said


# --- histories ----------------------------------------------------------------------------------------------------------

PUT = st.tuples(st.just("put"), st.sampled_from(KEYS), st.binary(max_size=3))
STEP = st.one_of(
    PUT,
    PUT,
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("delete version"), st.integers(0, 20)),
    st.tuples(st.just("tag"), st.sampled_from(KEYS)),
    st.tuples(st.just("versioning"), st.sampled_from(["Enabled", "Suspended"])),
    st.tuples(st.just("flush")),
    st.tuples(st.just("flush")),
)


def do(bucket: Bucket, step: Any) -> None:
    match step:
        case "put", key, data:
            kept = (None, "sha256", "crc32c", "crc32")[len(data)]
            bucket.put_object(key, data, metadata={"size": str(len(data))}, tags={"put": "once"}, checksum_algorithm=kept)
        case "delete", key:
            bucket.delete_object(key)
        case "delete version", number:
            versions = bucket.list_object_versions().versions
            if versions:
                version = versions[number % len(versions)]
                bucket.delete_object(version.key, version_id=version.version_id)
        case "tag", key:
            asked(lambda: bucket.put_object_tagging(key, {"tagged": "yes"}))
        case "versioning", state:
            bucket.put_bucket_versioning(state)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEP, min_size=1, max_size=25))
def test_a_view_gives_exactly_what_the_bucket_gave(store: mstbucket.Store, steps: list[Any]) -> None:
    """[PAST-30] [PAST-33]"""
    bucket = store.create_bucket(f"history-{next(NAMES)}")
    then: dict[int, list[object]] = {}
    cars: dict[int, bytes] = {}
    for step in [*steps, ("flush",)]:
        if step != ("flush",):
            do(bucket, step)
            continue
        commit = bucket.flush()
        then[commit.seq] = told(bucket)
        bucket.export_car(file := io.BytesIO())
        cars[commit.seq] = file.getvalue()
    last = max(then)
    for key in KEYS:
        bucket.put_object(key, b"later")
    bucket.flush()
    for seq, said in then.items():
        with bucket.at(seq) as view:
            assert told(view) == said
            view.export_car(file := io.BytesIO())
            assert file.getvalue() == cars[seq]
            report = view.verify()
            assert (report.commit, report.objects, report.dirty) == (view.commit.cid, view.commit.objects, 0)
    bucket.delete_objects([(item.key, item.version_id) for item in bucket.list_object_versions().versions])
    with bucket.at(last) as view:
        store.delete_bucket(bucket.name)
        assert told(view) == then[last]


# --- single rules -------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(bucket: Bucket) -> Iterator[BucketView]:
    """The first of two commits, in which `key` held `body`."""
    bucket.put_object("key", b"body", if_none_match="*")
    first = bucket.flush()
    bucket.put_object("key", b"other")
    bucket.flush()
    with bucket.at(first.cid) as opened:
        yield opened


def test_ranges_and_conditions_are_those_of_the_bucket(view: BucketView) -> None:
    """[PAST-30]"""
    info = view.head_object("key")
    assert view.get_object("key", range="bytes=1-2").read() == b"od"
    assert view.get_object("key", part_number=1).read() == b"body"
    assert view.get_object("key", if_match=info.etag).info == info
    with pytest.raises(InvalidRange):
        view.get_object("key", range="bytes=4-")
    with pytest.raises(InvalidInput, match="range or a part_number"):
        view.get_object("key", range="bytes=0-", part_number=1)
    with pytest.raises(PreconditionFailed):
        view.head_object("key", if_match="other")
    with pytest.raises(NotModified):
        view.get_object("key", if_none_match=info.etag)
    with pytest.raises(NotModified):
        view.get_object("key", if_modified_since=info.last_modified + timedelta(seconds=1))
    with pytest.raises(NoSuchKey, match="no object 'none' in bucket 'things' at commit 1"):
        view.get_object("none")
    with pytest.raises(NoSuchVersion, match="at commit 1"):
        view.head_object("key", version_id="none")


def test_a_large_body_of_the_past_is_read_in_ranges(bucket: Bucket) -> None:
    """[PAST-30]"""
    data = bytes(range(256)) * 16384
    bucket.put_object("large", data)
    seq = bucket.flush().seq
    bucket.put_object("large", b"")
    bucket.flush()
    with bucket.at(seq) as view:
        assert view.get_object("large").read() == data
        assert view.get_object("large", range="bytes=1048570-3145740").read() == data[1048570:3145741]


def test_a_delete_marker_is_told_from_nothing(bucket: Bucket) -> None:
    """[PAST-30]"""
    bucket.put_bucket_versioning("Enabled")
    bucket.put_object("key", b"1")
    marker = bucket.delete_object("key").version_id
    with bucket.at(bucket.flush().seq) as view:
        with pytest.raises(NoSuchKey, match="its newest version is a delete marker"):
            view.head_object("key")
        with pytest.raises(MethodNotAllowed):
            view.get_object("key", version_id=marker)
        with pytest.raises(InvalidInput, match="has no version 'x' to go on from"):
            view.list_object_versions(key_marker="key", version_id_marker="x")
        both = view.list_object_versions().versions
        assert view.list_object_versions(key_marker="key", version_id_marker=both[0].version_id).versions == both[1:]


def test_one_token_serves_the_bucket_and_its_views(bucket: Bucket, view: BucketView) -> None:
    """[PAST-33]"""
    bucket.put_object("other", b"")
    token = bucket.list_objects(max_keys=1).next_continuation_token
    assert view.list_objects(continuation_token=token).contents == ()
    assert [item.key for item in view.list_objects().contents] == ["key"]


def leases(bucket: Bucket) -> int:
    with bucket._context.db.reading() as connection:
        row = connection.execute("SELECT count(*) FROM leases WHERE until > now_ms()").fetchone()
    assert row is not None
    return int(row[0])


def test_a_lease_is_held_until_the_view_is_closed(bucket: Bucket) -> None:
    """[PAST-31]"""
    bucket.put_object("key", b"body")
    view = bucket.at(bucket.flush().seq)
    reader = view.get_object("key")
    assert leases(bucket) == 1
    view.close()
    view.close()
    assert leases(bucket) == 0
    for call in (
        lambda: view.head_object("key"), view.list_objects, lambda: reader.read(), view.verify,
        lambda: view.export_car(io.BytesIO()), view.list_object_versions, lambda: list(view.objects()),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="the view was closed"):
            call()


def test_a_view_whose_lease_ran_out_takes_it_again_or_says_that_the_commit_is_gone(
    bucket: Bucket, view: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-31] [PAST-3]"""
    db = bucket._context.db
    clock = [0.0]
    monkeypatch.setattr("mstbucket.services.tree.leases.time.monotonic", lambda: clock[0])
    view._view.lease._next = 0.0
    with db.connection() as connection:
        connection.execute("UPDATE leases SET until = 0")
    clock[0] = LEASE_SECONDS * 2
    assert view.get_object("key").read() == b"body"
    assert leases(bucket) == 1
    with db.connection() as connection:
        connection.execute("DELETE FROM commits WHERE seq = 1")
        connection.execute("UPDATE leases SET until = 0")
    clock[0] = LEASE_SECONDS * 4
    with pytest.raises(LeaseLost):
        view.head_object("key")


def test_what_cannot_be_opened_leaves_no_lease(store: mstbucket.Store, bucket: Bucket) -> None:
    """[PAST-31] [PAST-22]"""
    with pytest.raises(NoSuchCommit, match="never flushed"):
        bucket.at(1)
    bucket.flush()
    for given_, kind in ((7, NoSuchCommit), ("name", NoSuchCommit), ("2030-01-01", InvalidInput), (b"7", InvalidInput),
                         (True, InvalidInput), (None, InvalidInput)):  # fmt: skip
        with pytest.raises(kind):
            bucket.at(given_)  # type: ignore[arg-type]
    store.delete_bucket(bucket.name)
    with pytest.raises(NoSuchBucket):
        bucket.at(1)
    assert leases(bucket) == 0


def test_an_object_of_the_past_is_the_source_of_a_copy(
    store: mstbucket.Store, bucket: Bucket, second_store: mstbucket.Store, view: BucketView
) -> None:
    """[PAST-34]"""
    was = view.head_object("key")
    bucket.copy_object("key", "key", source_bucket=view)
    assert bucket.get_object("key").read() == b"body"
    copied = store.create_bucket("elsewhere").copy_object(
        "key", "new", source_bucket=view, metadata_directive="REPLACE", metadata={"a": "b"}, if_none_match="*"
    )
    assert (copied.etag, copied.content) == (was.etag, was.content)
    assert store.bucket("elsewhere").head_object("new").metadata == {"a": "b"}
    with pytest.raises(PreconditionFailed):
        bucket.copy_object("key", "key", source_bucket=view, copy_source_if_match="other")
    with pytest.raises(NoSuchKey):
        bucket.copy_object("none", "key", source_bucket=view)
    with pytest.raises(Unsupported):
        second_store.create_bucket("other").copy_object("key", "key", source_bucket=view)
    view.close()
    with pytest.raises(InvalidInput, match="the view was closed"):
        bucket.copy_object("key", "key", source_bucket=view)


# --- what it costs ------------------------------------------------------------------------------------------------------


def test_a_page_of_folders_reads_no_more_than_it_shows(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PAST-32] 40 folders of 100 objects each."""
    requests = (mstbucket.PutRequest(f"{folder:02}/{n:03}", b"") for folder in range(40) for n in range(100))
    bucket.put_objects(requests)
    with bucket.at(bucket.flush().seq) as view:
        blocks = view._view.blocks
        read: list[bytes] = []
        get_many = blocks._blocks.get_many
        monkeypatch.setattr(blocks._blocks, "get_many", lambda cids: read.extend(cids) or get_many(cids))
        page = view.list_objects(delimiter="/")
        assert page.common_prefixes == tuple(f"{folder:02}/" for folder in range(40))
        assert len(read) < 40 * 8  # of 1,300 nodes and 4,000 manifests
        read.clear()
        assert len(view.list_objects("20/", delimiter="/", max_keys=3).contents) == 3
        assert len(read) < 20
        read.clear()
        assert len(view.list_object_versions(delimiter="/").common_prefixes) == 40
        assert len(read) < 40 * 8
        read.clear()
        view.head_object("20/050")
        assert len(read) < 10
