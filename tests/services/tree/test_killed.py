"""Processes killed for real: what was acknowledged is there, what was not is there whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors

WRITER = """
import sys, mstbucket
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    for n in range(10**9):
        kind = n % 4
        if kind == 0:
            bucket.put_object(f"large/{n:06}", f"{n}".encode() * 40_000)
        elif kind == 1:
            bucket.put_objects(mstbucket.PutRequest(f"many/{n:06}/{i}", f"{n}".encode() * 9000) for i in range(40))
        elif kind == 2:
            bucket.put_object(f"small/{n:06}", f"{n}".encode())
        else:
            bucket.flush()
        print(n, flush=True)
"""


def run_and_kill(program: str, arguments: list[str], seconds: float) -> list[str]:
    """Run a program, kill it after a while, and return the lines it had printed."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]  # it has started to work
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("seconds", [0.05, 0.31, 0.77, 1.3])
def test_a_killed_writer_loses_nothing_it_was_told(
    bucket: mstbucket.Bucket,
    open_store: Callable[[], mstbucket.Store],
    database_url: str,
    tmp_path: Path,
    seconds: float,
) -> None:
    """[PUT-1], [PUT-4], [PUT-9], [FLUSH-3]: every acknowledged object reads back, batches are whole, the bucket is true."""
    done = run_and_kill(WRITER, [database_url, str(tmp_path / "blobs")], seconds)
    again = open_store().bucket("things")
    keys = {item.key for item in again.objects()}
    for n in map(int, done):
        if n % 4 == 0:
            assert again.get_object(f"large/{n:06}").read() == f"{n}".encode() * 40_000
        elif n % 4 == 1:
            assert {f"many/{n:06}/{i}" for i in range(40)} <= keys
        elif n % 4 == 2:
            assert again.get_object(f"small/{n:06}").read() == f"{n}".encode()
    for key in keys:
        assert len(again.get_object(key).read()) == again.head_object(key).size
    batches = [key.split("/")[1] for key in keys if key.startswith("many/")]
    assert all(batches.count(batch) == 40 for batch in set(batches))
    again.flush()
    assert again.verify().objects == len(keys)


def test_what_a_killed_writer_left_is_known_to_the_database(
    bucket: mstbucket.Bucket, database_url: str, tmp_path: Path
) -> None:
    """[PUT-2]: every pack in the store has its row."""
    run_and_kill(WRITER, [database_url, str(tmp_path / "blobs")], 0.6)
    with bucket._context.db.reading() as connection:
        known = {row[0] for row in connection.execute("SELECT name FROM packs").fetchall()}
    for info in bucket._context.blobs.list("packs/"):
        assert info.name in known


def test_a_killed_import_shows_nothing(
    bucket: mstbucket.Bucket,
    open_store: Callable[[], mstbucket.Store],
    second_database_url: str,
    tmp_path: Path,
) -> None:
    """[IMP-3]."""
    bucket.put_objects(mstbucket.PutRequest(f"{n:06}", f"{n}".encode()) for n in range(20_000))
    bucket.flush()
    bucket.export_car(tmp_path / "x.car")
    program = """
import sys, mstbucket
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    print("ready", flush=True)
    store.import_car(sys.argv[3])
    print("done", flush=True)
    import time; time.sleep(60)
"""
    outcomes = set()
    for seconds in (0.02, 0.25, 0.6, 1.0):
        lines = run_and_kill(program, [second_database_url, str(tmp_path / "blobs-2"), str(tmp_path / "x.car")], seconds)
        with mstbucket.open(database=second_database_url, blobs=tmp_path / "blobs-2", background=False) as store:
            found = [info.name for info in store.list_buckets()]
            outcomes.add(bool(found))
            assert found == ["things"] if "done" in lines else found in ([], ["things"])
            if found:
                assert store.bucket("things").verify().objects == 20_000
                break
    assert False in outcomes


def test_a_killed_connection_is_told_and_the_next_call_works(bucket: mstbucket.Bucket) -> None:
    """[PUT-8]: a lost connection is a declared error; the pool recovers by itself."""
    bucket.put_object("k", b"1")
    db = bucket._context.db
    with pytest.raises(errors.StorageError), db.transaction() as connection:  # noqa: PT012
        with db.connection() as other:
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        connection.execute("SELECT * FROM enter('things')")
    bucket.put_object("k", b"2")
    assert bucket.get_object("k").read() == b"2"
