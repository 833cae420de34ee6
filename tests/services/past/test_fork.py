"""Forks: a bucket from any commit, its rows from the tree, and the two apart from then on ([PAST-40] to [PAST-43])."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from racing import repeating

import mstbucket
from mstbucket.core import commit as commits
from mstbucket.core.cid import from_text
from mstbucket.errors import BucketAlreadyExists, InvalidBucketName, NoSuchBucket, NoSuchCommit, StorageError
from mstbucket.services.past import fork as forking
from mstbucket.services.past.retention import expire

Rows = Callable[..., list[tuple[Any, ...]]]


def state(bucket: mstbucket.Bucket) -> list[tuple[object, ...]]:
    """Every version of every key, with its bytes."""
    found: list[tuple[object, ...]] = []
    if bucket.get_bucket_versioning() is None:
        for summary in bucket.objects():
            with bucket.get_object(summary.key) as reader:
                found.append((summary.key, reader.read(), reader.info.metadata, reader.info.tags))
        return found
    for one in bucket.list_object_versions().versions:
        body = None
        if not one.delete_marker:
            with bucket.get_object(one.key, version_id=one.version_id) as reader:
                body = reader.read()
        found.append((one.key, one.version_id, one.is_latest, body, one.etag, one.last_modified))
    return found


def test_a_fork_is_the_commit_and_says_so(store: mstbucket.Store, bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-40], [COM-21]: objects, tags of objects and of the bucket; with nothing but a commit written."""
    bucket.put_bucket_tagging({"team": "alps"})
    for n in range(50):
        bucket.put_object(f"{n:02}", bytes([n]) * 100, metadata={"n": str(n)}, tags={"t": "1"})
    old = bucket.flush()
    before = state(bucket)
    packs = rows("SELECT count(*) FROM packs")[0][0]
    bucket.put_object("07", b"changed")
    bucket.delete_object("08")
    bucket.put_object("new", b"new")
    fork = store.fork("things", "fork", commit=old.cid)
    made = fork.head_commit()
    assert made is not None
    assert (made.seq, made.prev, made.tree, made.objects, made.bytes) == (1, None, old.tree, 50, old.bytes)
    block = commits.decode(store._context.blocks.get(from_text(made.cid)))
    assert (block.forked, block.bucket) == (from_text(old.cid), made.bucket)
    assert made.bucket != old.bucket
    assert state(fork) == before
    assert fork.get_bucket_tagging() == {"team": "alps"}
    assert rows("SELECT count(*) FROM packs") == [(packs + 1,)]
    assert fork.verify().objects == 50
    bucket.verify()
    assert rows("SELECT count(*) FROM leases") == [(0,)]


def test_writes_to_one_change_nothing_in_the_other_and_neither_needs_the_other(
    store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[PAST-42]"""
    bucket.put_object("a", b"1")
    bucket.put_object("b", b"2")
    fork = store.fork("things", "fork")
    fork.put_object("a", b"fork")
    fork.delete_object("b")
    bucket.put_object("c", b"3")
    assert [row[:2] for row in state(fork)] == [("a", b"fork")]
    assert [row[:2] for row in state(bucket)] == [("a", b"1"), ("b", b"2"), ("c", b"3")]
    bucket.delete_objects(["a", "b", "c"])
    store.delete_bucket("things")
    again = store.fork("fork", "again", commit=1)
    assert [row[:2] for row in state(again)] == [("a", b"1"), ("b", b"2")]
    for one in (fork, again):
        one.flush()
        one.verify()


def test_an_export_of_a_fork_makes_the_same_bucket_elsewhere(
    store: mstbucket.Store, bucket: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[COM-21]"""
    bucket.put_object("a", b"1")
    fork = store.fork("things", "fork")
    first, second = io.BytesIO(), io.BytesIO()
    fork.export_car(first)
    copy = second_store.import_car(io.BytesIO(first.getvalue()))
    copy.export_car(second)
    assert first.getvalue() == second.getvalue()
    assert mstbucket.verify_car(io.BytesIO(first.getvalue())).commit.forked == from_text(str(bucket.flush().cid))


def test_versions_and_markers_come_along_and_locks_do_not(store: mstbucket.Store) -> None:
    """[PAST-43]"""
    source = store.create_bucket("locked", object_lock=True)
    source.put_object("a", b"1", object_lock_legal_hold=True)
    source.put_object("a", b"2")
    source.put_object("b", b"1")
    source.delete_object("b")
    seq = source.flush().seq
    before = state(source)
    source.put_object("a", b"3")
    source.put_object("b", b"4")
    fork = store.fork("locked", "fork", commit=seq)
    assert state(fork) == before
    assert fork.get_bucket_versioning() == "Enabled"
    for one in fork.list_object_versions().versions:
        fork.delete_object(one.key, version_id=one.version_id)
    assert state(fork) == []
    source.flush()
    source.verify()


def test_a_wrong_name_and_a_source_that_is_not_there_make_nothing(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.flush()
    with pytest.raises(BucketAlreadyExists):
        store.fork("things", "things")
    with pytest.raises(InvalidBucketName):
        store.fork("things", "A")
    with pytest.raises(NoSuchBucket):
        store.fork("nothing", "fork")
    with pytest.raises(NoSuchCommit):
        store.fork("things", "fork", commit=7)
    assert [info.name for info in store.list_buckets()] == ["things"]


def dirty(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("a", b"newer")


def lose_a_row(bucket: mstbucket.Bucket) -> None:
    with bucket._context.db.connection() as connection:
        connection.execute("DELETE FROM objects WHERE key = 'a'")


WAYS: dict[str, tuple[Callable[[mstbucket.Bucket], object], int | None, bool]] = {
    "of the newest commit": (lambda bucket: None, None, False),
    "of the newest commit, by its number": (lambda bucket: None, 2, False),
    "of an older one": (lambda bucket: None, 1, True),
    "of the newest, and an object is dirty": (dirty, 2, True),
    "of the newest, and a version is dirty": (lambda bucket: bucket.delete_object("v", version_id="null"), 2, True),
    "of the newest, and the index has lost a row": (lose_a_row, 2, True),
}


@pytest.mark.parametrize(("change", "seq", "read"), WAYS.values(), ids=WAYS.keys())
def test_the_trees_are_read_where_the_rows_may_not_be_those_of_the_commit(
    store: mstbucket.Store,
    bucket: mstbucket.Bucket,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[mstbucket.Bucket], object],
    seq: int | None,
    read: bool,
) -> None:
    """[PAST-40]"""
    bucket.put_object("a", b"old")
    bucket.put_object("v", b"null version")
    bucket.put_bucket_versioning("Enabled")
    noted = {}
    for number in (1, 2):
        for key in ("a", "b", "v"):
            bucket.put_object(key, b"%d" % number)
        assert bucket.flush().seq == number
        noted[number] = state(bucket)
    change(bucket)
    asked = []
    stage = forking.forking.stage
    monkeypatch.setattr(forking.forking, "stage", lambda *given: asked.append(1) or stage(*given))
    fork = store.fork("things", "fork", commit=seq)
    assert state(fork) == noted[seq or 2]
    assert bool(asked) == read
    fork.verify()


def test_a_fork_that_breaks_off_leaves_nothing(
    store: mstbucket.Store, bucket: mstbucket.Bucket, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-40]"""
    bucket.put_object("a", b"1")
    bucket.flush()
    bucket.put_object("a", b"2")

    def broken(*_: object) -> None:
        raise StorageError("no room")

    monkeypatch.setattr(forking.forking, "add_rows", broken)
    before = rows("SELECT name, state FROM packs")
    with pytest.raises(StorageError):
        store.fork("things", "fork", commit=1)
    monkeypatch.undo()
    assert rows("SELECT name, state FROM packs") == before
    assert rows("SELECT count(*) FROM leases") == [(0,)]
    assert [info.name for info in store.list_buckets()] == ["things"]
    assert state(store.fork("things", "fork", commit=1))[0][1] == b"1"


KINDS = st.sampled_from(["put", "delete", "flush", "versioning", "suspend"])
STEPS = st.lists(st.tuples(KINDS, st.integers(0, 4)), max_size=25)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.data())
def test_any_commit_of_any_history_is_forked_whole(store: mstbucket.Store, steps: list[Any], data: st.DataObject) -> None:
    """[PAST-40], [PAST-43]: against a note of what the bucket was when it was flushed."""
    run = len(store.list_buckets())
    bucket = store.create_bucket(f"source-{run}")
    noted: dict[int, tuple[str | None, list[Any]]] = {}
    for n, (step, key) in enumerate([*steps, ("flush", 0)]):
        if step == "put":
            bucket.put_object(f"k{key}", b"%d" % n)
        elif step == "delete":
            bucket.delete_object(f"k{key}")
        elif step == "versioning":
            bucket.put_bucket_versioning("Enabled")
        elif step == "suspend" and bucket.get_bucket_versioning() is not None:
            bucket.put_bucket_versioning("Suspended")
        elif step == "flush":
            noted[bucket.flush().seq] = (bucket.get_bucket_versioning(), state(bucket))
    seq = data.draw(st.sampled_from(sorted(noted)))
    fork = store.fork(bucket.name, f"fork-{run}", commit=seq)
    assert (fork.get_bucket_versioning(), state(fork)) == noted[seq]
    fork.verify()


def test_forks_race_with_writers_flushes_and_retention(store: mstbucket.Store) -> None:
    """[PAST-40], [PAST-41]: each of them is one state that the bucket had: all keys were written together, every time."""
    bucket = store.create_bucket("racing")
    bucket.put_retention(mstbucket.KeepPolicy(last=1))
    turns = itertools.count(1)

    def write(_: object) -> None:
        body = b"%d" % next(turns)
        bucket.put_objects([mstbucket.PutRequest(f"k{i:03}", body) for i in range(100)])
        bucket.flush()
        expire(store._context)

    bucket.put_objects([mstbucket.PutRequest(f"k{i:03}", b"0") for i in range(100)])
    with repeating(write, lost=()):
        for n in range(8):
            fork = store.fork("racing", f"fork-{n}")
            assert len({row[1] for row in state(fork)}) == 1
            assert fork.verify().objects == 100


def test_where_the_store_signs_forks_and_restores_are_signed_too(database_url: str, tmp_path: Any) -> None:
    """[COM-10]"""
    key = tmp_path / "key"
    did = mstbucket.new_signing_key(key)
    with mstbucket.open(database=database_url, blobs=tmp_path / "blobs", background=False, signing_key=key) as store:
        bucket = store.create_bucket("signed")
        bucket.put_object("key", b"1")
        first = bucket.flush().seq
        bucket.put_object("key", b"2")
        bucket.restore(first)
        for one in (bucket, store.fork("signed", "forked")):
            one.export_car(file := io.BytesIO())
            file.seek(0)
            mstbucket.verify_car(file, trust=mstbucket.Trust(signer=did))
            assert one.get_object("key").read() == b"1"
