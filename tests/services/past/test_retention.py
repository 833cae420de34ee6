"""Snapshots and retention on a real store: which commits go, which stay, and their refs ([PAST-10] to [PAST-21])."""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from racing import repeating

import mstbucket
from mstbucket import KeepPolicy
from mstbucket.core.commit_names import OfNumber, OfSnapshot
from mstbucket.errors import (
    BucketNotEmpty,
    InvalidInput,
    NoSuchCommit,
    NoSuchSnapshot,
    SnapshotExists,
    Unsupported,
)
from mstbucket.index import kept
from mstbucket.services.past import snapshots as naming
from mstbucket.services.past.retention import expire
from mstbucket.services.past.snapshots import find_commit
from mstbucket.services.tree import flush as flushing
from mstbucket.services.tree import refs
from mstbucket.services.tree.flush import fold_all
from mstbucket.services.tree.leases import hold, hold_newest
from mstbucket.services.tree.publish import publish_refs

Rows = Callable[..., list[tuple[Any, ...]]]
ONE = KeepPolicy(last=1)


def fill(bucket: mstbucket.Bucket, commits: int) -> list[str]:
    """So many commits of one object each; their CIDs."""
    cids = []
    for n in range(commits):
        bucket.put_object("k", b"%d" % n)
        cids.append(bucket.flush().cid)
    return cids


def numbers(bucket: mstbucket.Bucket) -> list[int]:
    """The commits that can be read."""
    return [commit.seq for commit in bucket.log()]


def test_the_default_keeps_what_is_young_and_a_policy_gives_the_rest_up(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-12], [PAST-13]: log, flush and verification go on with holes in the numbers."""
    fill(bucket, 6)
    assert bucket.get_retention() == KeepPolicy(everything=timedelta(hours=24), daily=30)
    assert expire(bucket._context) == 0
    rows("UPDATE commits SET time = (SELECT max(time) FROM commits) - 25 * 3600000 WHERE seq < 4")
    assert expire(bucket._context) == 2
    assert numbers(bucket) == [6, 5, 4, 3]
    bucket.put_retention(KeepPolicy(last=2))
    assert expire(bucket._context) == 2
    assert numbers(bucket) == [6, 5]
    bucket.put_retention(None)
    assert bucket.get_retention() == KeepPolicy(everything=timedelta(hours=24), daily=30)
    fill(bucket, 2)
    assert numbers(bucket) == [8, 7, 6, 5]
    assert bucket.verify().objects == 1
    target = io.BytesIO()
    bucket.export_car(target)
    assert mstbucket.verify_car(io.BytesIO(target.getvalue())).objects == 1


def test_the_newest_a_named_one_a_leased_one_and_an_unpublished_one_stay(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-13]"""
    fill(bucket, 3)
    bucket.put_retention(ONE)
    assert bucket.create_snapshot("before", commit=1).seq == 1
    with hold(bucket._context, find_commit(bucket._context, "things", OfNumber(3))):
        fill(bucket, 1)
        bucket.put_object("k", b"not published")
        fold_all(bucket._context, "things")
        bucket.put_object("k", b"neither")
        fold_all(bucket._context, "things")
        assert expire(bucket._context) == 2
        assert numbers(bucket) == [6, 5, 3, 1]
        rows("UPDATE leases SET until = 0")
        assert expire(bucket._context) == 1
    bucket.delete_snapshot("before")
    bucket.flush()
    assert expire(bucket._context) == 2
    assert numbers(bucket) == [6]
    assert rows("SELECT count(*) FROM leases") == [(0,)]


def test_refs_stay_as_long_as_their_commits_and_go_with_them(
    bucket: mstbucket.Bucket, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-14], [STO-10]: also of a bucket and its import, which have one identity."""
    monkeypatch.setattr(refs, "REFS_KEPT", 3)

    def published() -> list[int]:
        return [int(info.name.split("/")[2][:16], 16) for info in store._context.blobs.list("refs/")]

    fill(bucket, 8)
    bucket.create_snapshot("second", commit=2)
    expire(store._context)
    store.compact()
    assert published() == [*range(1, 9)]
    target = io.BytesIO()
    bucket.export_car(target)
    copy = store.import_car(io.BytesIO(target.getvalue()), "copy")
    fill(copy, 4)
    bucket.put_retention(ONE)
    expire(store._context)
    assert published() == [2, 6, 7, 8, 9, 10, 11, 12]
    copy.put_retention(ONE)
    fill(copy, 1)
    expire(store._context)
    assert published() == [2, 6, 7, 8, 11, 12, 13]


def test_names_are_unique_and_tell_a_commit_from_numbers_and_cids(bucket: mstbucket.Bucket) -> None:
    """[PAST-16], [PAST-21]"""
    first, second = fill(bucket, 2)
    made = bucket.create_snapshot("a.b_c-1", commit=first)
    assert bucket.create_snapshot("a.b_c-1", commit=1) == made
    with pytest.raises(SnapshotExists, match=r"a\.b_c-1"):
        bucket.create_snapshot("a.b_c-1", commit=second)
    bucket.put_object("k", b"new")
    now = bucket.create_snapshot("now")
    assert (now.seq, now.commit) == (3, bucket.flush().cid)
    assert [(one.name, one.seq, one.objects) for one in bucket.snapshots()] == [("now", 3, 1), ("a.b_c-1", 1, 1)]
    assert find_commit(bucket._context, "things", OfSnapshot("a.b_c-1")).seq == 1
    for wrong in ("", "1", "2026-01-01", "a" * 201, "a/b", "a@b", "a b", first):
        with pytest.raises(InvalidInput):
            bucket.create_snapshot(wrong)
    for unknown in (9, "9", "nothing", bucket.flush().tree, "?"):
        with pytest.raises(NoSuchCommit):
            bucket.create_snapshot("x", commit=unknown)
    with pytest.raises(NoSuchSnapshot):
        bucket.delete_snapshot("x")


def test_there_are_only_so_many_names(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PAST-17]"""
    monkeypatch.setattr(naming, "SNAPSHOTS_MAX", 2)
    bucket.create_snapshot("a")
    bucket.create_snapshot("b")
    with pytest.raises(Unsupported):
        bucket.create_snapshot("c")


def test_a_bucket_with_a_snapshot_is_not_deleted(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[PAST-16]"""
    bucket.create_snapshot("empty")
    with pytest.raises(BucketNotEmpty, match="snapshots"):
        store.delete_bucket("things")
    bucket.delete_snapshot("empty")
    store.delete_bucket("things")


@pytest.mark.parametrize("policy", [KeepPolicy(), KeepPolicy(last=0), KeepPolicy(daily=-1), KeepPolicy(hourly=2**31),
                                    KeepPolicy(everything=timedelta(0)), KeepPolicy(everything=timedelta(-1))])  # fmt: skip
def test_a_policy_that_keeps_nothing_is_refused(bucket: mstbucket.Bucket, policy: KeepPolicy) -> None:
    with pytest.raises(InvalidInput):
        bucket.put_retention(policy)


def test_every_rule_comes_back_as_it_was_set(bucket: mstbucket.Bucket) -> None:
    longest = timedelta.max - timedelta(microseconds=999)
    for policy in (KeepPolicy(timedelta(seconds=5), 1, 2, 3, 4, 5), KeepPolicy(monthly=7), KeepPolicy(everything=longest)):
        bucket.put_retention(policy)
        assert bucket.get_retention() == policy


def test_who_takes_a_lease_or_gives_a_name_meanwhile_is_waited_for(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-13]: with the row locked by a lease, a name or both that are not committed yet."""
    fill(bucket, 4)
    number = find_commit(bucket._context, "things", OfNumber(1)).bucket
    db = bucket._context.db
    gone: list[int] = []
    thread = threading.Thread(target=lambda: gone.append(kept.give_up(db, number, [1, 2, 3])))
    with db.transaction() as connection:
        kept.name_commit(connection, find_commit(bucket._context, "things", OfNumber(1)), "first")
        connection.execute("INSERT INTO leases (cid, tree, until) SELECT cid, tree, now_ms() + 10000 FROM commits "
                           "WHERE seq = 2 FOR KEY SHARE")  # fmt: skip
        thread.start()
        while not rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%give_up%%'"):
            assert thread.is_alive()
    thread.join()
    assert gone == [1]
    assert numbers(bucket) == [4, 2, 1]


def test_a_flush_whose_commit_was_given_up_and_collected_meanwhile_starts_over(
    bucket: mstbucket.Bucket, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-12]: it read the commit before another flush, which nobody keeps waiting for ever ([FLUSH-11])."""
    fill(bucket, 1)
    bucket.put_retention(ONE)
    bucket.put_object("k", b"new")
    take, moved = flushing.take_snapshot, threading.Event()

    def slow(context: Any, name: str) -> Any:
        snapshot = take(context, name)
        if not moved.is_set():
            moved.set()
            fold_all(context, name)
            publish_refs(context, name)
            assert expire(context) == 1
            assert rows("DELETE FROM blocks WHERE cid = %s RETURNING 1", snapshot.head.tree) == [(1,)]  # collected
        return snapshot

    monkeypatch.setattr(flushing, "take_snapshot", slow)
    assert bucket.flush().seq == 2
    assert bucket.verify().objects == 1


def test_leases_flushes_names_and_retention_race_and_what_is_held_stays(store: mstbucket.Store) -> None:
    """[PAST-2], [PAST-13]: a reader that got its lease finds the row as long as it holds it."""
    bucket = store.create_bucket("racing")
    bucket.flush()
    bucket.put_retention(ONE)
    turns = itertools.count(1)

    def read(_: object) -> None:
        _, lease = hold_newest(store._context, "racing")
        with lease:
            for _ in range(3):
                with store._context.db.reading() as connection:
                    row = connection.execute("SELECT 1 FROM commits WHERE cid = %s", (lease.commit.cid,)).fetchone()
                assert row is not None, lease.commit.seq

    def name(_: object) -> None:
        n = next(turns)
        made = bucket.create_snapshot(f"n{n}")
        assert find_commit(store._context, "racing", OfSnapshot(f"n{n}")).seq == made.seq
        bucket.delete_snapshot(f"n{n}")

    def write(_: object) -> None:
        bucket.put_object("k", b"%d" % next(turns))
        bucket.flush()

    with repeating(read, read, name, write, lambda _: expire(store._context), lost=(NoSuchCommit,)):
        time.sleep(3)
    expire(store._context)
    assert len(numbers(bucket)) == 1
    bucket.verify()
