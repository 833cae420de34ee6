"""The background flush: by age and by number, past every failure, in as many processes as there are."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import mstbucket
from mstbucket.services.upkeep import worker
from tests.waiting import until

OpenWorking = Callable[[], mstbucket.Store]


def dirty(store: mstbucket.Store) -> int:
    return sum(info.dirty for info in store.list_buckets())


@pytest.fixture
def open_working(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenWorking:
    """Opens the test's store with its background work, which looks very often."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    return lambda: mstbucket.open(database=database_url, blobs=tmp_path / "blobs")


def test_changes_are_folded_when_they_are_old(
    open_working: OpenWorking, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FLUSH_AGE_MS", 300)
    with open_working() as store:
        bucket.put_object("k", b"1")
        bucket.put_object("k", b"2")  # does not make the change any younger
        until(lambda: dirty(store) == 0)
        assert bucket.verify().objects == 1


def test_what_is_due_is_told_by_number_and_by_the_oldest_change_of_both_kinds(
    store: mstbucket.Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FLUSH_DIRTY", 3)
    store.create_bucket("many").put_objects(mstbucket.PutRequest(f"{n}", b"") for n in range(9))  # among the rows of one due
    expected = ["many"]
    insert = (
        "INSERT INTO mstbucket.dirty SELECT id, n, n, mstbucket.now_ms() - CASE WHEN n = %(old)s THEN 60000 ELSE 0 END "
        "FROM mstbucket.buckets, generate_series(1, %(live)s) n WHERE name = %(name)s",
        "INSERT INTO mstbucket.dirty_versions "
        "SELECT id, n, 1, n, mstbucket.now_ms() - CASE WHEN n = -%(old)s THEN 60000 ELSE 0 END "
        "FROM mstbucket.buckets, generate_series(1, %(past)s) n WHERE name = %(name)s",
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        for live, past, old in itertools.product(range(4), range(4), range(-3, 4)):
            name = f"b-{live}-{past}-{old + 3}"
            store.create_bucket(name)
            for query in insert:
                connection.execute(query, {"name": name, "live": live, "past": past, "old": old})
            if live + past >= 3 or 0 < old <= live or 0 < -old <= past:
                expected.append(name)
    assert worker.due(store._context) == sorted(expected)


def test_changes_are_folded_when_they_are_many(
    open_working: OpenWorking, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FLUSH_DIRTY", 50)
    bucket.put_objects(mstbucket.PutRequest(f"{n}", b"") for n in range(49))
    with open_working() as store:
        assert worker.due(store._context) == []
        bucket.put_object("one more", b"")
        until(lambda: dirty(store) == 0)
        assert bucket.verify().objects == 50


def test_what_fails_is_logged_and_tried_again_and_holds_up_no_other_bucket(
    open_working: OpenWorking,
    store: mstbucket.Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, whole = store.create_bucket("a-broken"), store.create_bucket("b-whole")
    broken.put_object("k", b"1")
    broken.flush()
    (pack,) = (tmp_path / "blobs" / "packs").rglob("*.car")
    pack.rename(tmp_path / "taken away")
    for one in (broken, whole):
        one.put_object("l", b"2")
    monkeypatch.setattr(worker, "FLUSH_AGE_MS", 0)
    with caplog.at_level(logging.WARNING, "mstbucket"), open_working() as working:
        until(lambda: whole.head_commit() is not None and "will be repeated" in caplog.text)
        assert dirty(working) == 1
        (tmp_path / "taken away").rename(pack)
        until(lambda: dirty(working) == 0)
    assert [one.verify().objects for one in (broken, whole)] == [2, 1]


def test_a_defect_does_not_end_the_thread(
    open_working: OpenWorking,
    bucket: mstbucket.Bucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket.put_object("k", b"")
    monkeypatch.setattr(worker, "FLUSH_AGE_MS", 0)
    due = worker.due
    calls: list[int] = []

    def wrong(context: object) -> list[str]:
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("a defect")
        return due(context)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "due", wrong)
    with open_working() as store:
        until(lambda: dirty(store) == 0)
    assert "a defect" in caplog.text


def test_after_close_no_thread_is_left_and_nothing_is_folded(
    open_working: OpenWorking, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FLUSH_AGE_MS", 0)
    before = set(threading.enumerate())
    store = open_working()
    names = sorted(thread.name for thread in set(threading.enumerate()) - before)
    assert names == ["mstbucket-collect", "mstbucket-flush", "mstbucket-scrub"]
    store.close()
    store.close()
    assert set(threading.enumerate()) <= before
    bucket.put_object("k", b"")
    assert bucket.head_commit() is None


def test_a_store_without_background_work_has_no_thread(open_store: Callable[[], mstbucket.Store]) -> None:
    before = set(threading.enumerate())
    open_store()
    assert set(threading.enumerate()) == before


WORKING = """
import sys, mstbucket
from mstbucket.services.upkeep import worker
worker.POLL_SECONDS, worker.FLUSH_AGE_MS = 0.01, 0
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2]) as store:
    bucket = store.bucket("things")
    for n in range(60):
        bucket.put_object(f"{n % 20}", f"{sys.argv[3]} {n}".encode() * 9)
    print("written", flush=True)
    sys.stdin.read()
"""


def test_the_workers_of_two_processes_fold_everything_once(
    store: mstbucket.Store, bucket: mstbucket.Bucket, database_url: str, tmp_path: Path
) -> None:
    """[FLUSH-5]: they overtake each other all the time, and every commit follows on the one before."""
    environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
    command = [sys.executable, "-c", WORKING, database_url, str(tmp_path / "blobs")]
    both = [
        subprocess.Popen(
            [*command, name], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
    until(lambda: dirty(store) == 0)
    for process in both:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    log = list(bucket.log())
    assert [commit.prev for commit in log] == [*(commit.cid for commit in log[1:]), None]
    assert bucket.verify().objects == 20
