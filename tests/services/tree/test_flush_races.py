"""Many flushes at once: each returns, and what was put before it is in the commit that it returns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from racing import run_at_once

import mstbucket
from mstbucket.index.buckets import bucket_id
from mstbucket.pg.database import Database
from mstbucket.services.tree import turns
from mstbucket.services.tree.flush import fold_all

PROCESSES, THREADS, ROUNDS = 4, 6, 2

FLUSHERS = """
import sys, threading, mstbucket
me, threads, rounds = int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    problems, stop = [], threading.Event()
    def flusher(n):
        try:
            for at in range(rounds):
                key = f"{me}/{n}/{at}"
                bucket.put_object(key, key.encode())
                commit = bucket.flush()
                with store._context.db.reading() as connection:
                    dirty = connection.execute("SELECT FROM dirty WHERE key = %s", (key,)).fetchone()
                    assert dirty is None, f"{key} is not folded"
                assert commit.objects > 0
        except BaseException as error:
            problems.append(repr(error))
    def writer():
        n = 0
        while not stop.is_set():
            bucket.put_object(f"{me}/again/{n % 7}", b"%d" % n)
            n += 1
    print("ready", flush=True)
    sys.stdin.readline()
    other = threading.Thread(target=writer)
    other.start()
    running = [threading.Thread(target=flusher, args=(n,)) for n in range(threads)]
    for thread in running: thread.start()
    for thread in running: thread.join()
    stop.set()
    other.join()
    print(problems)
"""


def row_number(bucket: mstbucket.Bucket) -> int:
    with bucket._context.db.reading() as connection:
        return bucket_id(connection, bucket.name)


def test_two_dozen_flushers_and_writers_in_several_processes(
    bucket: mstbucket.Bucket, database_url: str, tmp_path: Path
) -> None:
    """[FLUSH-12] [FLUSH-12]"""
    where = (FLUSHERS, database_url, str(tmp_path / "blobs"))
    printed = run_at_once([*where, str(me), str(THREADS), str(ROUNDS)] for me in range(PROCESSES))
    assert printed == ["[]\n"] * PROCESSES
    bucket.flush()
    bucket.verify()


def test_a_flush_that_was_killed_frees_the_others(bucket: mstbucket.Bucket, database_url: str, tmp_path: Path) -> None:
    """[FLUSH-12]"""
    code = """
import sys, time, mstbucket
from mstbucket.blobs.media.local import LocalBlobs
LocalBlobs.open_write = lambda *_: (print("inside", flush=True), time.sleep(600))  # the pack of the flush
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    store.bucket("things").flush()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, database_url, str(tmp_path / "blobs")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "inside\n"
    bucket.put_object("k", b"v")  # puts never wait
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(bucket.flush()))
    thread.start()
    thread.join(0.3)
    assert done == []
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    thread.join(30)
    assert [commit.objects for commit in done] == [1]


def test_a_flush_that_hangs_is_not_waited_for_without_end(
    bucket: mstbucket.Bucket, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-11]"""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.2)
    number = row_number(bucket)
    bucket.put_object("k", b"v")
    with Database(database_url) as other, other.holding(turns.LOCK, number) as held:
        assert held
        assert bucket.flush().objects == 1


def test_who_waits_joins_the_second_commit_that_is_whole(
    bucket: mstbucket.Bucket, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-12]: not the first, whose snapshot may be older than the call."""
    number = row_number(bucket)
    done: list[Any] = []
    with Database(database_url) as other, other.holding(turns.LOCK, number) as held:
        assert held
        bucket.put_object("k", b"v")
        thread = threading.Thread(target=lambda: done.append(bucket.flush()))
        thread.start()
        for n in range(2):
            time.sleep(0.3)  # however long it is: only more of it can make the test fail that ought to
            assert done == []
            bucket.put_object(f"{n}", b"v")
            fold_all(bucket._context, bucket.name)
        thread.join(30)
        assert done == [bucket.head_commit()]
