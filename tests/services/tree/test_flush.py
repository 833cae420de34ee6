"""Flush: the tree is the index, exactly once, however many write and flush at the same time."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core import cid as cids
from mstbucket.core.mst.build import build
from mstbucket.services.tree import publish, snapshot, turns

BeforeNextPack = Callable[[Callable[[], object]], None]


def tree_of(bucket: mstbucket.Bucket) -> str:
    """The root of the tree built from scratch over what the index says."""
    pairs = [(o.key.encode(), cids.from_text(bucket.head_object(o.key).manifest)) for o in bucket.objects()]
    return cids.to_text(build(pairs, lambda cid, block: None))


def test_an_empty_bucket_has_a_first_commit_and_then_no_new_one(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-8]."""
    assert bucket.head_commit() is None
    first = bucket.flush()
    assert (first.seq, first.objects, first.bytes, first.prev) == (1, 0, 0, None)
    assert first.tree == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
    assert bucket.flush() == first == bucket.head_commit()
    assert bucket.verify().objects == 0


def test_any_history_gives_the_tree_of_its_outcome(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-1], [FLUSH-2], [FLUSH-3]: puts, overwrites and deletes in rounds, a flush after each."""
    rng = random.Random(7)
    model: dict[str, bytes] = {}
    last = None
    for round_ in range(8):
        for _ in range(rng.choice([1, 5, 60])):
            key = f"k{rng.randrange(80)}"
            if rng.random() < 0.3:
                model.pop(key, None)
                bucket.delete_object(key)
            else:
                model[key] = rng.randbytes(rng.choice([0, 10, 3000]))
                bucket.put_object(key, model[key])
        commit = bucket.flush()
        assert commit.tree == tree_of(bucket)
        assert (commit.objects, commit.bytes) == (len(model), sum(map(len, model.values())))
        assert (commit.seq, commit.prev) == (round_ + 1, last)
        report = bucket.verify()
        assert (report.objects, report.dirty) == (len(model), 0)
        last = commit.cid
    assert [c.seq for c in bucket.log()] == list(range(8, 0, -1))
    for key, data in model.items():
        assert bucket.get_object(key).read() == data


def test_a_change_that_comes_to_nothing_still_moves_the_commit(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-8]: the tree is the same; the commit is not."""
    before = bucket.flush()
    bucket.put_object("k", b"")
    bucket.delete_object("k")
    after = bucket.flush()
    assert (after.tree, after.seq) == (before.tree, 2)


def test_a_write_during_the_flush_stays_dirty(bucket: mstbucket.Bucket, before_next_pack: BeforeNextPack) -> None:
    """[FLUSH-7]: the generation read is cleared, the newer one is not."""
    bucket.put_object("k", b"old")
    bucket.put_object("same", b"")
    before_next_pack(lambda: bucket.put_object("k", b"new"))
    assert bucket.flush().bytes == 3
    assert bucket.verify().dirty == 1
    second = bucket.flush()
    assert second.seq == 2
    assert second.tree == tree_of(bucket)
    assert bucket.verify().dirty == 0


def test_of_two_flushes_of_the_same_state_one_starts_over(
    bucket: mstbucket.Bucket, tmp_path: Path, before_next_pack: BeforeNextPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-5]: the loser changes nothing and removes its pack."""
    bucket.put_object("k", b"old")

    def overtake() -> None:
        bucket.put_object("k", b"newer")
        bucket.flush()

    monkeypatch.setattr(turns, "WAIT_SECONDS", 0)  # a flush inside of another would wait for its turn
    before_next_pack(overtake)
    commit = bucket.flush()
    assert (commit.seq, commit.tree) == (1, tree_of(bucket))
    assert bucket.verify().dirty == 0
    assert len(list((tmp_path / "blobs" / "packs").rglob("*.car"))) == 1


def test_a_body_that_was_collected_meanwhile_makes_the_flush_start_over(
    store: mstbucket.Store, bucket: mstbucket.Bucket, before_next_pack: BeforeNextPack
) -> None:
    """[FLUSH-6]: overwritten and collected between snapshot and commit."""
    bucket.put_object("k", b"o" * 2_000_000)
    content = cids.from_text(bucket.head_object("k").content)

    def collect() -> None:
        bucket.put_object("k", b"new")
        with store._context.db.connection() as connection:
            connection.execute("DELETE FROM blocks WHERE cid = %s", (content,))

    before_next_pack(collect)
    commit = bucket.flush()
    assert (commit.seq, commit.bytes) == (1, 3)
    assert bucket.verify().objects == 1


def test_more_dirty_keys_than_one_flush_folds_take_several_commits(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "FLUSH_KEYS", 100)
    bucket.put_objects(mstbucket.PutRequest(f"{n:04}", b"") for n in range(250))
    commit = bucket.flush()
    assert (commit.seq, commit.objects, commit.tree) == (3, 250, tree_of(bucket))


def test_a_commit_is_published_also_if_the_first_try_fails(
    bucket: mstbucket.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-9]: the commit stands, and the next flush publishes it."""

    def fail(*_: object) -> None:
        raise errors.StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(publish, "ref_name", fail)
        with pytest.raises(errors.StorageError):
            bucket.flush()
    commit = bucket.head_commit()
    assert commit is not None
    assert bucket.flush() == commit
    refs = [path.name for path in (tmp_path / "blobs" / "refs").rglob("*.car")]
    assert refs == [f"{1:016x}-{commit.cid}.car"]


def _write(database: str, blobs: str, number: int, rounds: int) -> None:
    with mstbucket.open(database=database, blobs=blobs, background=False) as store:
        bucket = store.bucket("things")
        rng = random.Random(number)
        for n in range(rounds):
            key = f"k{rng.randrange(30)}"
            if rng.random() < 0.2:
                bucket.delete_object(key)
            else:
                bucket.put_object(key, f"{number}-{n}".encode() * rng.choice([1, 1000, 20_000]))


def _flush(database: str, blobs: str, rounds: int) -> None:
    with mstbucket.open(database=database, blobs=blobs, background=False) as store:
        for _ in range(rounds):
            store.bucket("things").flush()


def test_writers_and_flushers_in_processes_lose_nothing(
    bucket: mstbucket.Bucket, open_store: Callable[[], mstbucket.Store], database_url: str, tmp_path: Path
) -> None:
    """[FLUSH-1], [PUT-5], [PUT-6]: four processes write the same keys, two flush all the time."""
    context = multiprocessing.get_context("spawn")
    blobs = str(tmp_path / "blobs")
    jobs = [context.Process(target=_write, args=(database_url, blobs, n, 120)) for n in range(4)]
    jobs += [context.Process(target=_flush, args=(database_url, blobs, 25)) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 6
    bucket.verify()
    commit = bucket.flush()
    assert commit.tree == tree_of(bucket)
    report = bucket.verify()
    assert (report.dirty, report.objects) == (0, len(list(bucket.objects())))
    for item in bucket.objects():
        assert len(bucket.get_object(item.key).read()) == item.size
