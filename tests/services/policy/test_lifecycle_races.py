"""Lifecycle beside writers in processes of their own: what is new never goes in place of what was old."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import LifecycleRule
from mstbucket.pg.database import Database

PROCESSES = 3
NOW_MS = Database.now_ms
KEYS = 150

# Overwrites keys in its own order, by every way in, and prints each when it is acknowledged.
WRITER = """
import random, sys, mstbucket
me = sys.argv[3]
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    bucket.list_objects()
    order = [n for n in range(int(sys.argv[4])) if n % 2]
    random.Random(me).shuffle(order)
    print("ready", flush=True)
    sys.stdin.readline()
    for n in order:
        key, body = f"{n:04}", f"new {n}".encode()
        if n % 3 == 0:
            bucket.put_object(key, body)
        elif n % 3 == 1:
            bucket.put_objects([mstbucket.PutRequest(key, body)])
        else:
            bucket.copy_object("source", key, metadata_directive="REPLACE", metadata={"n": str(n)})
        print(key, flush=True)
"""

# Carries out the rules again and again, until it is told to end.
EXPIRER = """
import sys, threading, mstbucket
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    bucket.list_objects()
    print("ready", flush=True)
    sys.stdin.readline()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set())).start()
    total = 0
    while not over.is_set():
        report = bucket.run_lifecycle()
        total += report.expired
    print(total, flush=True)
"""


def start(program: str, database_url: str, tmp_path: Path, me: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, database_url, str(tmp_path / "blobs"), me, str(KEYS)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
def test_no_put_is_lost_to_an_expiration_at_the_same_time(
    bucket: mstbucket.Bucket,
    database_url: str,
    tmp_path: Path,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    versioning: str | None,
) -> None:
    """[LIFE-12]: of the old objects all go, in two processes that expire at once; every new one is there at the end."""
    if versioning is not None:
        bucket.put_bucket_versioning(versioning)
    clock.pass_days(-10)
    bucket.put_objects(mstbucket.PutRequest(f"{n:04}", b"old") for n in range(KEYS))
    monkeypatch.setattr(Database, "now_ms", NOW_MS)
    bucket.put_object("source", b"new copy")
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1), LifecycleRule(noncurrent_days=1)])
    writers = [start(WRITER, database_url, tmp_path, f"{me}") for me in range(PROCESSES)]
    expirers = [start(EXPIRER, database_url, tmp_path, f"{me}") for me in range(2)]
    for process in (*writers, *expirers):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in (*writers, *expirers):
        tell(process)
    written = {key for process in writers for key in process.communicate()[0].split()}
    expired = sum(int(process.communicate("end\n")[0]) for process in expirers)
    assert [process.returncode for process in (*writers, *expirers)] == [0] * (PROCESSES + 2)
    assert written == {f"{n:04}" for n in range(KEYS) if n % 2}
    assert [o.key for o in bucket.objects()] == sorted(written | {"source"})
    for key in written:
        assert bucket.get_object(key).read().startswith(b"new")
    assert KEYS // 2 <= expired <= KEYS
    if versioning == "Enabled":  # of every write there is a version
        versions = [v for v in bucket.list_object_versions().versions if not v.delete_marker]
        assert len(versions) == KEYS + PROCESSES * len(written) + 1
    bucket.flush()
    bucket.verify()
