"""A store that has a bucket and what it fetched of the same bucket from another store comes back with both as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mstbucket import Bucket, RebuildReport, Store

Lose = Callable[..., tuple[Store, RebuildReport]]


def heads(store: Store) -> dict[str, Any]:
    return {info.name: (info.commit, info.identity) for info in store.list_buckets()}


def keys(bucket: Bucket) -> set[str]:
    return {info.key for info in bucket.objects()}


@pytest.fixture
def other(store: Store, bucket: Bucket, second_store: Store) -> Bucket:
    """The bucket in a second store, four commits ahead of the first one, which has gone on by one of its own."""
    store.add_remote("origin", "/somewhere")
    bucket.put_object("both", b"1")
    bucket.flush()
    other = second_store.bucket(second_store.pull(bucket).bucket)
    for n in range(4):
        other.put_object(f"theirs-{n}", b"2")
        other.flush()
    bucket.put_object("ours", b"3")
    bucket.flush()
    return other


def test_a_bucket_keeps_its_own_commits_beside_what_was_fetched(
    store: Store, bucket: Bucket, other: Bucket, lose: Lose
) -> None:
    """[REB-26] [RMT-10]: the refs have numbers 1 and 2 of the one, and 5 and 6 of the other."""
    store.fetch(other, "origin")
    other.put_object("theirs-4", b"2")
    other.flush()
    store.fetch(other, "origin")
    expected = heads(store)
    again, _ = lose(store)
    assert heads(again) == expected
    assert keys(again.bucket("things")) == {"both", "ours"}


def test_what_was_fetched_and_deleted_is_no_newer_state_of_the_bucket(
    store: Store, bucket: Bucket, other: Bucket, lose: Lose
) -> None:
    """[REB-6] [REB-26]"""
    store.fetch(other, "origin")
    tracking = store.bucket("things.origin")
    tracking.delete_objects([info.key for info in tracking.objects()])
    store.delete_bucket("things.origin")
    assert store.check("proof").findings == (), "no database is older than the blobs"
    expected = heads(store)
    again, _ = lose(store)
    assert heads(again) == expected


def test_a_merge_after_a_rebuild_loses_nothing(store: Store, bucket: Bucket, other: Bucket, lose: Lose) -> None:
    """[REB-5]: the commit of the one bucket is no past of the other, from which a merge would start."""
    store.fetch(other, "origin")
    again, _ = lose(store)
    report = again.merge("things.origin", "things")
    assert {change.key for change in report.changes} == {f"theirs-{n}" for n in range(4)}
    assert keys(again.bucket("things")) == {"both", "ours"} | {f"theirs-{n}" for n in range(4)}


def test_a_named_commit_comes_back_where_a_merge_of_the_other_store_took_the_bucket_on(
    store: Store, bucket: Bucket, second_store: Store, other: Bucket, lose: Lose
) -> None:
    """[REB-5] [REB-27]"""
    bucket.create_snapshot("mine")
    store.fetch(other, "origin")
    second_store.add_remote("first", "/elsewhere")
    second_store.pull_and_merge(bucket, "first")
    store.pull(other)
    expected = heads(store)
    again, _ = lose(store)
    assert heads(again) == expected
    assert [named.name for named in again.bucket("things").snapshots()] == ["mine"]
    assert keys(again.bucket("things")) == {"both", "ours"} | {f"theirs-{n}" for n in range(4)}


def test_a_commit_that_a_merge_elsewhere_brought_in_stays_a_past_of_the_bucket(
    store: Store, bucket: Bucket, second_store: Store, lose: Lose
) -> None:
    """[RMT-8] [REB-5]: of the number before the merge, which names another one as `prev`; nothing is wrong with that."""
    bucket.put_object("both", b"1")
    bucket.flush()
    other = second_store.bucket(second_store.pull(bucket).bucket)
    for one, key in ((bucket, "ours"), (other, "theirs")):
        one.put_object(key, b"2")
        one.flush()
    second_store.pull_and_merge(bucket, "first")
    store.pull(other)
    assert [info.seq for info in bucket.log()] == [3, 2, 1]
    assert store.check("proof").findings == ()
    expected, line = heads(store), [info.cid for info in bucket.log()]
    again, _ = lose(store)
    assert heads(again) == expected
    assert [info.cid for info in again.bucket("things").log()] == line
    assert again.check("proof").findings == ()
