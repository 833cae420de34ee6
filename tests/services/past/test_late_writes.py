"""What is written while a restore or a merge is made ready, before it is alone in the bucket ([PAST-55])."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import PutRequest
from mstbucket.index import changing
from mstbucket.services.past import change_keys
from mstbucket.services.tree import turns

STATES = [None, "Enabled", "Suspended"]
KEYS = [f"in/{n}" for n in range(5)] + ["out/0", "out/1"]
DEEDS = ("put", "delete", "delete newest version", "delete oldest version", "tag", "flush")


def do(bucket: mstbucket.Bucket, deed: str, key: str, text: str) -> None:
    """One deed of somebody else."""
    if deed == "put":
        bucket.put_object(key, text.encode() * (1 + len(text)))
    elif deed == "delete":
        bucket.delete_object(key)
    elif deed == "flush":
        bucket.flush()
    elif deed == "tag":
        if key in contents(bucket):
            bucket.put_object_tagging(key, {"said": text})
    else:
        found = [one for one in bucket.list_object_versions(key).versions if one.key == key]
        if found and bucket.get_bucket_versioning() is not None:
            version = found[0 if "newest" in deed else -1].version_id
            assert version is not None
            bucket.delete_object(key, version_id=version)


def contents(bucket: Any) -> dict[str, tuple[bytes, tuple[tuple[str, str], ...]]]:
    """What the keys hold: bodies and tags."""
    found = {}
    for item in bucket.objects():
        with bucket.get_object(item.key) as reader:
            found[item.key] = (reader.read(), tuple(sorted(bucket.head_object(item.key).tags.items())))
    return found


steps = st.lists(st.tuples(st.sampled_from(DEEDS), st.sampled_from(KEYS), st.sampled_from("abc")), max_size=7)


@pytest.mark.parametrize("state", STATES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=steps, meanwhile=steps, late=steps)
def test_whatever_is_written_meanwhile_is_undone_in_scope_and_stays_elsewhere(
    store: mstbucket.Store, state: str | None, before: list[Any], meanwhile: list[Any], late: list[Any]
) -> None:
    """[PAST-50] [PAST-51] [PAST-52] [PAST-55] And index and trees agree, also where a flush comes between."""
    bucket = store.create_bucket(f"b{threading.get_ident()}{len(list(store.list_buckets()))}")
    if state is not None:
        bucket.put_bucket_versioning("Enabled")
    bucket.put_objects([PutRequest(key, b"old") for key in KEYS[1:]])
    if state == "Suspended":
        bucket.put_bucket_versioning("Suspended")
        bucket.put_object(KEYS[1], b"null version")
    for deed in before:
        do(bucket, *deed)
    then = bucket.flush()
    was = contents(bucket)
    for deed in meanwhile:
        do(bucket, *deed)
    real, left = changing.stage, [late]

    def stage(*given: Any) -> None:
        real(*given)
        for deed in left.pop() if left else ():
            do(bucket, *deed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changing, "stage", stage)
        patch.setattr(turns, "WAIT_SECONDS", 0.0)  # else a flush waits for the restore that waits for it
        report = bucket.restore(then.cid, prefix="in/")
    elsewhere = contents(bucket)
    assert {key: value for key, value in elsewhere.items() if key.startswith("in/")} == {
        key: value for key, value in was.items() if key.startswith("in/")
    }
    assert bucket.verify() is not None
    if report.commit is not None:
        with bucket.at(report.commit) as view:
            inside = {item.key: view.get_object(item.key).read() for item in view.objects(prefix="in/")}
        assert inside == {key: body for key, (body, _) in was.items() if key.startswith("in/")}
    bucket.flush()
    bucket.verify()
    assert contents(bucket) == elsewhere


@pytest.mark.parametrize("breaks_off", [False, True], ids=["goes through", "breaks off"])
@pytest.mark.parametrize("state", STATES)
def test_what_was_written_between_the_flush_and_the_snapshot_is_kept_or_undone(
    store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch, state: str | None, breaks_off: bool
) -> None:
    """[PAST-51] [PAST-55] A restore flushes first, so its snapshot seldom has dirty rows. Here it has some."""
    bucket = store.create_bucket("between")
    if state is not None:
        bucket.put_bucket_versioning("Enabled")
        bucket.put_bucket_versioning(state)
    bucket.put_objects([PutRequest(key, b"old") for key in KEYS[:4]])
    then = bucket.flush()
    was = contents(bucket)
    bucket.put_objects([PutRequest(key, b"new") for key in KEYS[2:]])
    real, left = change_keys._read, [True]

    def read(*given: Any) -> Any:
        if left and left.pop():
            bucket.delete_object("in/1")
            bucket.put_objects([PutRequest(key, b"between " + key.encode()) for key in ("in/0", "in/4", "in/5", "out/1")])
        return real(*given)

    def break_off(*_: Any) -> None:
        raise mstbucket.errors.Unsupported("here it breaks off")

    monkeypatch.setattr(change_keys, "_read", read)
    if breaks_off:
        with monkeypatch.context() as patch:
            patch.setattr(changing, "find_late", break_off)
            with pytest.raises(mstbucket.errors.Unsupported, match="breaks off"):
                bucket.restore(then.cid, prefix="in/")
        there = contents(bucket)
        assert there["in/5"][0] == b"between in/5"
        assert "in/1" not in there
        store.collect(grace=0)
        assert contents(bucket) == there
        bucket.flush()
        bucket.verify()
    bucket.restore(then.cid, prefix="in/")
    store.collect(grace=0)
    assert contents(bucket) == {**was, "out/0": (b"new", ()), "out/1": (b"between out/1", ())}
    bucket.verify()


def test_a_late_version_and_its_lock_stay(store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PAST-52] [PAST-55] [LOCK-4] What came meanwhile is a version with its lock, and so is what comes back."""
    bucket = store.create_bucket("locked", object_lock=True)
    bucket.put_object_lock_configuration(mstbucket.DefaultRetention("GOVERNANCE", days=3))
    bucket.put_objects([PutRequest(key, b"old") for key in "ab"])
    then = bucket.flush()
    bucket.put_objects([PutRequest(key, b"new") for key in "ab"])
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    real = changing.stage

    def stage(*given: Any) -> None:
        real(*given)
        monkeypatch.setattr(changing, "stage", real)
        bucket.put_object("a", b"late", object_lock_mode="COMPLIANCE", object_lock_retain_until=until)

    monkeypatch.setattr(changing, "stage", stage)
    report = bucket.restore(then.cid)
    assert [change.key for change in report.changes] == ["a", "b"]
    assert {key: value[0] for key, value in contents(bucket).items()} == {"a": b"old", "b": b"old"}
    for key, bodies in (("a", [b"old", b"late", b"new", b"old"]), ("b", [b"old", b"new", b"old"])):
        versions = bucket.list_object_versions(key).versions
        assert [bucket.get_object(key, version_id=one.version_id).read() for one in versions] == bodies
        for one in versions:
            head = bucket.head_object(key, version_id=one.version_id)
            late = head.object_lock_mode == "COMPLIANCE"
            assert late == (bodies[versions.index(one)] == b"late")
            assert head.object_lock_retain_until is not None
            with pytest.raises(mstbucket.errors.MstBucketError):
                bucket.delete_object(key, version_id=one.version_id)
    bucket.verify()


@pytest.mark.parametrize("state", [None, "Enabled"])
def test_restores_beside_writers_flushes_and_collections(store: mstbucket.Store, state: str | None) -> None:
    """[PAST-51] [PAST-55] No acknowledged write elsewhere is lost, and every body can be read."""
    bucket = store.create_bucket("racing")
    if state is not None:
        bucket.put_bucket_versioning(state)
    keys = [f"k{n:02}" for n in range(40)]
    large = bytes(100_000)  # in packs, which collections remove
    bucket.put_objects([PutRequest(key, b"old" + key.encode() + large) for key in keys])
    seq = bucket.flush().seq
    bucket.create_snapshot("old")
    stop, wrong, acknowledged = threading.Event(), [], {}

    def loop(work: Callable[[int], object]) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            try:
                work(n)
            except Exception as error:
                wrong.append(error)
                return

    def write(n: int) -> None:
        bucket.put_object(keys[n % len(keys)], b"%d" % n + large)

    def write_elsewhere(n: int) -> None:
        bucket.put_object(f"other{n % 7}", b"%d" % n)
        acknowledged[f"other{n % 7}"] = b"%d" % n

    works = (write, write_elsewhere, lambda _: bucket.flush(), lambda _: store.collect(grace=0))
    threads = [threading.Thread(target=loop, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for _ in range(3):
        report = bucket.restore(seq, prefix="k")
        if report.commit is not None:
            with bucket.at(report.commit) as view:
                assert all(view.get_object(key).read() == b"old" + key.encode() + large for key in keys)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert {key: bucket.get_object(key).read() for key in acknowledged} == acknowledged
    bucket.restore("old", prefix="k")
    store.collect(grace=0)
    assert all(bucket.get_object(key).read() == b"old" + key.encode() + large for key in keys)
    bucket.verify()
