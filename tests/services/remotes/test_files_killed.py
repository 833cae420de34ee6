"""Processes killed in the middle of a push into files, and of a pull from them: the old state or the new one is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import mstbucket

PROGRAM = """
import os, signal, sys
import mstbucket
from mstbucket.files import car_file, shared_folder, whole
from mstbucket.index import following
from mstbucket.services.remotes import file_peer, file_push

database, blobs, place, point = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

write, replace, swap = car_file.CarFile._write, os.replace, shared_folder.SharedFolder.swap

def half(self):
    write(self)
    self._target.flush()
    die()

def swap_and_die(*given):
    swap(*given)
    die()

def replace_head(source, target):
    if os.fspath(target).endswith("head"):
        die()
    replace(source, target)

if point == "in the file":
    car_file.CarFile._write = half
if point == "before the file has its name":
    os.replace = die
if point == "behind the file":
    shared_folder.SharedFolder.swap = die
if point == "with the lock":
    os.replace = replace_head
if point == "behind the head":
    shared_folder.SharedFolder.swap = swap_and_die
if point == "between two files":
    load, left = file_peer._Loaded.load, [1]
    def counted(self, head, index, alive):
        load(self, head, index, alive)
        left[0] -= 1
        if left[0] < 0:
            die()
    file_peer._Loaded.load = counted
if point == "in the switch":
    following.move = die
with mstbucket.open(database=database, blobs=blobs, background=False) as store:
    remote = mstbucket.FileRemote(place)
    if point in ("between two files", "in the switch"):
        store.pull(remote.bucket("things"))
    else:
        store.bucket("things").push(remote)
"""


def killed(database: str, blobs: Path, place: Path, point: str) -> None:
    given = [sys.executable, "-c", PROGRAM, database, str(blobs), str(place), point]
    ended = subprocess.run(given, check=False, timeout=300)
    assert ended.returncode == -signal.SIGKILL, point


def test_a_push_and_a_pull_killed_at_any_point_are_whole_or_not_at_all(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, database_url: str, second_database_url: str, tmp_path: Path
) -> None:
    """[FOLD-2] [FOLD-9] [FOLD-11] No lock is left behind, and the folder proves itself after every kill."""
    rng = random.Random(3)
    place = tmp_path / "there"
    place.mkdir()
    remote = mstbucket.FileRemote(place)
    for n in range(40):
        bucket.put_object(f"k{n}", rng.randbytes(2000))
    bucket.put_object("large", rng.randbytes(3 << 20))
    bucket.push(remote)
    second_store.pull(remote.bucket("things"))
    (folder,) = place.iterdir()
    for number, point in enumerate(
        ("in the file", "before the file has its name", "behind the file", "with the lock", "behind the head")
    ):
        bucket.put_object(f"new{number}", rng.randbytes(2000))
        bucket.flush()
        before = (folder / "head").read_bytes()
        killed(database_url, tmp_path / "blobs", place, point)
        subprocess.run(["sha256sum", "--strict", "-c", "head"], cwd=folder, check=True, capture_output=True)
        assert ((folder / "head").read_bytes() == before) == (point != "behind the head")
        report = bucket.push(remote)
        assert report.outcome == ("same" if point == "behind the head" else "moved")
        assert (report.bytes == 0) == (point in ("behind the file", "with the lock", "behind the head"))
    copy = second_store.bucket("things")
    old, new = copy.head_commit(), bucket.head_commit()
    for point in ("between two files", "in the switch"):
        killed(second_database_url, tmp_path / "blobs-2", place, point)
        assert copy.head_commit() == old
        copy.verify()
    assert second_store.pull(remote.bucket("things")).outcome == "moved"
    found = copy.head_commit()
    assert found is not None
    assert new is not None
    assert found.cid == new.cid
    copy.verify()
