"""What was fetched and is no longer there goes; what somebody wrote, and what may only be out of sight, does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from twostores import cid

import mstbucket
from mstbucket import errors
from mstbucket.model.remotes import FetchedBucket
from mstbucket.services.past.retention import expire


def names(store: mstbucket.Store) -> list[str]:
    return [one.name for one in store.list_buckets()]


def gone(bucket: mstbucket.Bucket, store: mstbucket.Store) -> None:
    """Delete a bucket with all that it holds."""
    for one in bucket.list_object_versions().versions:
        bucket.delete_object(one.key, version_id=one.version_id)
    store.delete_bucket(bucket.name)


@pytest.fixture
def there(store: mstbucket.Store, second_store: mstbucket.Store) -> mstbucket.Store:
    """A second store with three buckets, all fetched from the first one's `origin`."""
    store.add_remote("origin", "/elsewhere")
    for name in ("red", "green", "blue"):
        bucket = second_store.create_bucket(name)
        bucket.put_bucket_versioning("Enabled")
        for n in range(3):
            bucket.put_object("k", b"%d" % n)
        bucket.delete_object("k")
        bucket.put_object("l", b"l" * 200_000)
        bucket.flush()
        store.fetch(bucket, "origin")
    return second_store


def test_what_is_no_longer_there_goes_and_nothing_else(store: mstbucket.Store, there: mstbucket.Store) -> None:
    """[RMT-15] A dry run says the same; a bucket that was made anew under the name is another one."""
    mine = store.create_bucket("mine.origin")
    mine.put_object("a", b"a")
    mine.push(there, remote="origin")
    assert store.prune_remote("origin", there) == []
    gone(there.bucket("red"), there)
    gone(there.bucket("blue"), there)
    gone(there.bucket("mine.origin"), there)
    there.create_bucket("blue").flush()
    expected = [FetchedBucket("blue.origin", None), FetchedBucket("red.origin", None)]
    before = names(store)
    assert store.prune_remote("origin", there, dry_run=True) == expected
    assert names(store) == before
    assert store.prune_remote("origin", there) == expected
    assert names(store) == ["green.origin", "mine.origin"]
    assert store.prune_remote("origin", there) == []
    store.bucket("green.origin").verify()
    assert mine.get_object("a").read() == b"a"
    store.collect(force=True)
    store.check()
    assert store.fetch(there.bucket("green"), "origin").outcome == "same"


def test_what_somebody_wrote_or_named_stays(store: mstbucket.Store, there: mstbucket.Store) -> None:
    """[RMT-15] Flushed or not; with the reason. What was pushed from there is as it was there, and goes."""
    for name in ("red", "green", "blue"):
        gone(there.bucket(name), there)
    store.bucket("red.origin").put_object("more", b"")
    store.bucket("green.origin").put_object("more", b"")
    store.bucket("green.origin").flush()
    store.bucket("blue.origin").create_snapshot("kept")
    wanted = {"red.origin": "written to", "green.origin": "written to", "blue.origin": "snapshots"}
    for dry_run in (True, False):
        found = store.prune_remote("origin", there, dry_run=dry_run)
        assert {one.bucket for one in found} == set(wanted)
        for one in found:
            assert one.kept is not None
            assert wanted[one.bucket] in one.kept
    assert set(names(store)) == set(wanted)
    store.bucket("green.origin").push(there, "green", remote="origin")
    assert {one.bucket for one in store.prune_remote("origin", there)} == {"red.origin", "blue.origin"}
    gone(there.bucket("green"), there)
    assert FetchedBucket("green.origin", None) in store.prune_remote("origin", there)


def test_commits_that_were_kept_for_a_bucket_which_has_gone_there_are_given_up(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[RMT-13] [RMT-15]"""
    store.add_remote("origin", "/elsewhere")
    bucket.put_retention(mstbucket.KeepPolicy(last=1))
    bucket.put_object("a", b"1")
    bucket.push(second_store, remote="origin")
    met = cid(bucket)
    for n in range(3):
        bucket.put_object("a", b"%d" % n)
        bucket.flush()
    expire(store._context)
    assert met in {one.cid for one in bucket.log()}
    gone(second_store.bucket("things"), second_store)
    assert store.prune_remote("origin", second_store) == []
    expire(store._context)
    assert met not in {one.cid for one in bucket.log()}


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_an_unmounted_disk_is_not_taken_for_one_on_which_all_was_deleted(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path, state: str
) -> None:
    """[RMT-15]"""
    place = tmp_path / "disk"
    place.mkdir()
    files = mstbucket.FileRemote(place)
    bucket.put_object("a", b"a")
    bucket.push(files)
    second_store.add_remote("disk", f"files://{place}")
    second_store.fetch(files.bucket("things"), "disk")
    place.rename(tmp_path / "unmounted")
    if state == "empty":
        place.mkdir()
    with pytest.raises(errors.StorageError, match="mount"):
        second_store.prune_remote("disk", files)
    assert names(second_store) == ["things.disk"]
    (place / "another").mkdir(parents=True)
    assert second_store.prune_remote("disk", files) == [FetchedBucket("things.disk", None)]
    assert names(second_store) == []


def test_a_remote_that_is_given_up_takes_with_it_what_was_fetched(store: mstbucket.Store, there: mstbucket.Store) -> None:
    """[RMT-15] Without a look at the other side; without that it stays, and is a bucket like others."""
    store.bucket("red.origin").put_object("more", b"")
    assert [one.bucket for one in store.prune_remote("origin", None) if one.kept is None] == ["blue.origin", "green.origin"]
    store.remove_remote("origin")
    assert names(store) == ["red.origin"]
    with pytest.raises(errors.NoSuchRemote):
        store.prune_remote("origin", there)
