"""Restoring keys, prefixes and buckets: one commit, at once, against a note of what there was ([PAST-50] to [PAST-54])."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import PutRequest
from mstbucket.errors import AccessDenied, InvalidInput, NoSuchCommit, StorageError, Unsupported
from mstbucket.services.past import change_keys
from mstbucket.services.past import restore as restoring

Rows = Callable[..., list[tuple[Any, ...]]]


def contents(bucket: mstbucket.Bucket) -> dict[str, bytes]:
    """The current objects with their bytes."""
    found = {}
    for summary in bucket.objects():
        with bucket.get_object(summary.key) as reader:
            found[summary.key] = reader.read()
    return found


def put(bucket: mstbucket.Bucket, **objects: str) -> None:
    bucket.put_objects([PutRequest(key, body.encode()) for key, body in objects.items()])


def test_a_whole_bucket_comes_back_as_one_commit_with_the_same_tree(bucket: mstbucket.Bucket) -> None:
    """[PAST-50], [PAST-52]: flushed and unflushed changes alike; a second restore changes nothing."""
    put(bucket, a="1", b="1", c="1")
    old = bucket.flush()
    put(bucket, a="2", d="2")
    bucket.delete_object("b")
    bucket.flush()
    put(bucket, c="3", e="3")
    report = bucket.restore(old.cid)
    assert [(change.key, change.old is None, change.new is None) for change in report.changes] == [
        ("a", False, False), ("b", True, False), ("c", False, False), ("d", False, True), ("e", False, True),
    ]  # fmt: skip
    now = bucket.head_commit()
    assert now is not None
    assert (now.cid, now.tree, now.objects, now.bytes) == (report.commit, old.tree, 3, 3)
    assert contents(bucket) == {"a": b"1", "b": b"1", "c": b"1"}
    assert bucket.verify().dirty == 0
    again = bucket.restore(1)
    assert (again.changes, again.commit) == ((), now.cid)


def test_a_key_and_a_prefix_come_back_alone_and_the_rest_stays(bucket: mstbucket.Bucket) -> None:
    """[PAST-50]"""
    bucket.put_objects([PutRequest(key, b"1") for key in ("p/a", "p/b", "q", "p")])
    bucket.flush()
    bucket.put_objects([PutRequest(key, b"2") for key in ("p/a", "p/c", "q", "p")])
    bucket.delete_object("p/b")
    bucket.restore(1, key="p/b")
    assert contents(bucket) == {"p/a": b"2", "p/b": b"1", "p/c": b"2", "q": b"2", "p": b"2"}
    assert [change.key for change in bucket.restore(1, prefix="p/").changes] == ["p/a", "p/c"]
    assert contents(bucket) == {"p/a": b"1", "p/b": b"1", "q": b"2", "p": b"2"}
    bucket.put_object("only now", b"")
    assert [change.new for change in bucket.restore(1, key="only now").changes] == [None]
    assert bucket.restore(1, key="never").changes == ()
    assert bucket.verify().dirty == 0
    with pytest.raises(InvalidInput):
        bucket.restore(1, key="a", prefix="a")
    with pytest.raises(NoSuchCommit):
        bucket.restore(99)


def test_a_dry_run_says_the_same_and_changes_nothing(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-54]"""
    put(bucket, a="1", b="1")
    bucket.flush()
    put(bucket, a="2")
    bucket.flush()
    put(bucket, c="3")
    tables = ("buckets", "commits", "objects", "dirty", "packs", "blocks", "leases")
    before = [rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables]
    dry = bucket.restore(1, dry_run=True)
    assert [rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables] == before
    assert [change.key for change in dry.changes] == ["a", "c"]
    assert bucket.restore(1).changes == dry.changes


def test_where_versions_are_kept_nothing_is_lost_and_locks_stand(store: mstbucket.Store) -> None:
    """[PAST-52]: new versions and delete markers, the default retention for what comes back; no commit a second time."""
    bucket = store.create_bucket("locked", object_lock=True)
    put(bucket, a="1", b="1", same="1")
    bucket.flush()
    locked = bucket.put_object("a", b"2", object_lock_legal_hold=True).version_id
    bucket.delete_object("b")
    bucket.put_object("c", b"2")
    bucket.put_object("same", b"1")
    bucket.put_object_lock_configuration({"Mode": "GOVERNANCE", "Days": 1})
    ids = {(one.key, one.version_id) for one in bucket.list_object_versions().versions}
    report = bucket.restore(1)
    assert [change.key for change in report.changes] == ["a", "b", "c"]
    assert contents(bucket) == {"a": b"1", "b": b"1", "same": b"1"}
    after = {(one.key, one.version_id): one for one in bucket.list_object_versions().versions}
    assert ids < after.keys()
    assert sorted((key, one.delete_marker) for (key, id_), one in after.items() if (key, id_) not in ids) == [
        ("a", False), ("b", False), ("c", True),
    ]  # fmt: skip
    with pytest.raises(AccessDenied):
        bucket.delete_object("a", version_id=locked)
    with pytest.raises(AccessDenied):
        bucket.delete_object("a", version_id=bucket.head_object("a").version_id)
    assert bucket.restore(1).changes == ()
    assert bucket.verify().dirty == 0


def test_a_suspended_bucket_has_one_null_version_afterwards(bucket: mstbucket.Bucket) -> None:
    """[PAST-52]"""
    put(bucket, a="1")
    bucket.flush()
    bucket.put_bucket_versioning("Enabled")
    put(bucket, a="2")
    bucket.put_bucket_versioning("Suspended")
    put(bucket, b="2")
    bucket.restore(1)
    shown = [(one.key, one.version_id == "null", one.delete_marker) for one in bucket.list_object_versions().versions]
    assert shown == [("a", True, False), ("a", False, False), ("b", True, True)]
    assert contents(bucket) == {"a": b"1"}
    bucket.verify()


def test_more_than_one_restore_holds_is_refused_and_nothing_has_changed(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-53]"""
    monkeypatch.setattr(restoring, "RESTORE_KEYS", 3)
    put(bucket, a="1", b="1", c="1", d="1")
    bucket.flush()
    put(bucket, a="2", b="2", c="2", d="2")
    with pytest.raises(Unsupported, match="prefixes"):
        bucket.restore(1, dry_run=True)
    with pytest.raises(Unsupported, match="prefixes"):
        bucket.restore(1)
    assert contents(bucket)["a"] == b"2"
    for key in "abcd":
        bucket.restore(1, prefix=key)
    assert set(contents(bucket).values()) == {b"1"}


def test_a_restore_that_breaks_off_leaves_everything(
    store: mstbucket.Store, bucket: mstbucket.Bucket, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-50]: at the last step of its transaction. To what it has written nothing leads ([PAST-55])."""
    put(bucket, a="1")
    bucket.flush()
    put(bucket, a="2")
    newest = bucket.flush().cid

    def broken(*_: object) -> None:
        raise StorageError("no room")

    monkeypatch.setattr(change_keys, "record_fold", broken)
    packs = rows("SELECT name FROM packs")
    with pytest.raises(StorageError):
        bucket.restore(1)
    assert (bucket.flush().cid, contents(bucket)) == (newest, {"a": b"2"})
    store.collect(grace=0)
    assert rows("SELECT name FROM packs") == packs
    assert rows("SELECT 1 FROM leases") == []


def test_a_body_in_parts_keeps_its_parts(bucket: mstbucket.Bucket) -> None:
    """[PAST-52]: the whole manifest comes back, with metadata and tags."""
    upload = bucket.create_multipart_upload("big", metadata={"m": "1"})
    part = bucket.upload_part("big", upload.id, 1, b"x" * 5_242_880)
    last = bucket.upload_part("big", upload.id, 2, b"y")
    bucket.complete_multipart_upload("big", upload.id, [(1, part.etag), (2, last.etag)])
    bucket.put_object_tagging("big", {"t": "1"})
    before = bucket.head_object("big")
    bucket.flush()
    bucket.delete_object("big")
    bucket.restore(1)
    assert bucket.head_object("big") == before
    assert len(before.parts) == 2


STEP = st.tuples(st.sampled_from(["put", "put", "delete", "flush", "versioning", "suspend", "restore"]), st.integers(0, 5))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=30), st.randoms(use_true_random=False))
def test_any_restore_in_any_history_gives_what_was_noted(store: mstbucket.Store, steps: list[Any], random: Any) -> None:
    """[PAST-50], [PAST-52]: the objects in its scope are those of the commit, all others are as they were."""
    bucket = store.create_bucket(f"b{len(store.list_buckets())}-things")
    noted: dict[int, dict[str, bytes]] = {}
    for n, (step, key) in enumerate([("flush", 0), *steps, ("restore", 0)]):
        if step == "put":
            bucket.put_object(f"k{key % 3}/{key}", b"%d" % (n % 3))
        elif step == "delete":
            bucket.delete_object(f"k{key % 3}/{key}")
        elif step == "versioning":
            bucket.put_bucket_versioning("Enabled")
        elif step == "suspend" and bucket.get_bucket_versioning() is not None:
            bucket.put_bucket_versioning("Suspended")
        elif step == "flush":
            noted[bucket.flush().seq] = contents(bucket)
        elif step == "restore":
            seq = random.choice(sorted(noted))
            scope = random.choice([{}, {"prefix": f"k{key % 3}/"}, {"key": f"k{key % 3}/{key}"}])
            inside = next(iter(scope.values()), "")
            there = contents(bucket)
            dry = bucket.restore(seq, dry_run=True, **scope)
            assert bucket.restore(seq, **scope).changes == dry.changes
            wanted = {name: body for name, body in there.items() if not name.startswith(inside)}
            wanted |= {name: body for name, body in noted[seq].items() if name.startswith(inside)}
            assert contents(bucket) == wanted
            assert {change.key for change in dry.changes} >= {k for k in wanted | there if wanted.get(k) != there.get(k)}
            head = bucket.head_commit()
            assert head is not None
            noted[head.seq] = contents(bucket)
    assert bucket.verify().dirty == 0


def test_readers_and_writers_beside_restores_see_one_state_or_another(store: mstbucket.Store) -> None:
    """[PAST-50], [PAST-51]: every commit holds all keys of one round, whoever flushes; and no acknowledged write is lost."""
    bucket = store.create_bucket("racing")
    keys = [f"k{n:02}" for n in range(30)]
    bucket.put_objects([PutRequest(key, b"old") for key in keys])
    seq = bucket.flush().seq
    stop = threading.Event()
    wrong: list[object] = []

    def run(work: Callable[[int], None]) -> threading.Thread:
        def loop() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    work(n)
                except Exception as error:
                    wrong.append(error)
                    return

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def write(n: int) -> None:
        bucket.put_objects([PutRequest(key, b"%d" % n) for key in keys])

    def write_elsewhere(n: int) -> None:
        bucket.put_object("other", b"%d" % n)
        with bucket.get_object("other") as reader:
            if reader.read() != b"%d" % n:
                wrong.append(n)

    def look(_: int) -> None:
        with bucket.at(bucket.flush().seq) as view:
            bodies = {view.get_object(key).read() for key in keys}
        if len(bodies) != 1:
            wrong.append(bodies)

    threads = [run(work) for work in (write, write_elsewhere, look, look)]
    for _ in range(12):
        report = bucket.restore(seq, prefix="k")
        with bucket.at(report.commit) as view:
            assert {view.get_object(key).read() for key in keys} == {b"old"}
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    bucket.flush()
    assert bucket.verify().dirty == 0
