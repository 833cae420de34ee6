"""The past of a bucket comes back with the store: names, rules, and the commits that either of them keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import mstbucket
from mstbucket import Bucket, KeepPolicy, Store, errors
from mstbucket.core.commit_names import OfSnapshot
from mstbucket.services.past.retention import expire
from mstbucket.services.past.snapshots import find_commit
from mstbucket.services.tree import refs
from mstbucket.services.tree.leases import hold
from mstbucket.services.tree.refs import trim_refs

Lose = Callable[..., tuple[Store, mstbucket.RebuildReport]]


def commit_some(bucket: Bucket, bodies: range) -> list[str]:
    """A commit for each number, in which the key `k` holds it."""
    cids = []
    for n in bodies:
        bucket.put_object("k", b"%d" % n)
        cids.append(bucket.flush().cid)
    return cids


def held_at(bucket: Bucket, commit: str | int) -> bytes:
    with bucket.at(commit) as then:
        return then.get_object("k").read()


def test_names_and_rules_come_back_without_a_flush_after_them(store: Store, bucket: Bucket, lose: Lose) -> None:
    """[REB-21] [REB-27]: also that a name was taken away, and that a rule was."""
    cids = commit_some(bucket, range(1, 4))
    bucket.create_snapshot("first", commit=1)
    bucket.create_snapshot("also-first", commit=1)
    bucket.create_snapshot("second", commit=2)
    bucket.delete_snapshot("also-first")
    bucket.put_retention(KeepPolicy(last=7, weekly=2))
    again, report = lose(store)
    assert report.buckets[0].left_out == ()
    bucket = again.bucket("things")
    assert [(one.name, one.commit) for one in bucket.snapshots()] == [("second", cids[1]), ("first", cids[0])]
    assert bucket.get_retention() == KeepPolicy(last=7, weekly=2)
    assert (held_at(bucket, "first"), held_at(bucket, 2)) == (b"1", b"2")
    bucket.put_retention(None)
    bucket.delete_snapshot("first")
    again, _ = lose(again)
    bucket = again.bucket("things")
    assert [one.name for one in bucket.snapshots()] == ["second"]
    assert bucket.get_retention() == KeepPolicy(everything=timedelta(hours=24), daily=30)


def test_kept_commits_far_behind_the_newest_come_back(
    store: Store, bucket: Bucket, lose: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-14] [STO-10] [REB-5]: their refs outlive every trimming and every collection."""
    monkeypatch.setattr(refs, "REFS_KEPT", 3)
    cids = commit_some(bucket, range(1, 13))
    bucket.create_snapshot("named", commit=2)
    bucket.put_retention(KeepPolicy(last=2))
    with hold(bucket._context, find_commit(bucket._context, "things", OfSnapshot("named"))):
        assert expire(bucket._context) == 9
    trim_refs(bucket._context, {})
    store.collect(force=True, grace=0)
    kept = [commit.cid for commit in bucket.log()]
    assert kept == [cids[11], cids[10], cids[1]]
    again, report = lose(store)
    bucket = again.bucket("things")
    assert [commit.cid for commit in bucket.log()] == kept
    assert report.buckets[0].is_whole
    assert held_at(bucket, "named") == b"2"
    again.collect(force=True, grace=0)  # the commits that were given up, of which there are refs
    assert held_at(bucket, "named") == b"2"
    assert again.check("proof").clean


def test_commits_given_up_are_no_loss(store: Store, bucket: Bucket, lose: Lose) -> None:
    """[REB-8]: their refs are there yet, and what they reach was collected."""
    commit_some(bucket, range(1, 6))
    bucket.put_retention(KeepPolicy(last=1))
    store.collect(force=True, grace=0)
    assert [commit.seq for commit in bucket.log()] == [5]
    again, report = lose(store)
    assert report.buckets[0].is_whole
    assert [commit.seq for commit in again.bucket("things").log()] == [5]
    assert again.bucket("things").get_object("k").read() == b"5"
    assert again.check("proof").clean


@pytest.mark.parametrize(
    "change",
    [
        lambda bucket: bucket.create_snapshot("named", commit=1),
        lambda bucket: bucket.delete_snapshot("there"),
        lambda bucket: bucket.put_retention(KeepPolicy(last=3)),
    ],
    ids=["a name", "no name", "a policy"],
)
def test_a_change_of_the_past_that_no_blob_has_is_not_acknowledged(
    bucket: Bucket, change: Callable[[Bucket], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[REB-21]"""
    commit_some(bucket, range(1, 3))
    bucket.create_snapshot("there", commit=1)

    def fail(*_: object) -> None:
        raise errors.StorageError("the disk is full")

    monkeypatch.setattr(type(bucket._context.blobs), "open_write", fail)
    with pytest.raises(errors.OutcomeUnknown, match="holds"):
        change(bucket)
