"""What goes wrong alone is said and the rest goes on; what changes meanwhile is not stored; killed runs are continued."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.errors import Conflict
from mstbucket.limits import MIB
from mstbucket.sync.entry import Copy, Entry
from mstbucket.sync.filters import Filters
from mstbucket.sync.inward import Inward
from mstbucket.sync.mover import Meter, Ready
from mstbucket.sync.objects import Objects

Run = Callable[..., Any]
Write = Callable[..., None]
Contents = Callable[[Any], dict[str, bytes]]


def test_files_that_cannot_be_read_fail_alone(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """/proc/self/mem opens like any file, and cannot be read at its start."""
    write(tree, {"a": b"1", "z": b"2"})
    (tree / "mem").symlink_to("/proc/self/mem")
    bucket.put_object("mem", b"as it was")
    did = run(tree, bucket, delete=True)
    assert (set(did.copied), list(did.failed), did.summary.failed) == ({"a", "z"}, ["mem"], 1)
    assert contents(bucket) == {"a": b"1", "z": b"2", "mem": b"as it was"}


def test_keys_that_cannot_be_fail_alone(bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write) -> None:
    write(tree, {"/".join(["x" * 200] * 6): b"1", "ok": b"2"})
    did = run(tree, bucket)
    assert (set(did.copied), did.summary.failed) == ({"ok"}, 1)


def test_nothing_is_deleted_where_the_source_could_not_be_listed(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-10] what seems to be missing may be below what could not be read."""
    write(tree, {"a": b"1"})
    (tree / "gone").symlink_to("nowhere")
    bucket.put_object("gone/x", b"2")
    did = run(tree, bucket, delete=True)
    assert (set(did.copied), did.deleted, len(did.failed)) == ({"a"}, set(), 1)
    assert run(tree, bucket, delete=True, rules=((False, "gone"),)).deleted == {"gone/x"}


@pytest.mark.parametrize(
    ("rules", "concerned"),
    [
        ((), True),
        (((False, "*"), (True, "a/*")), False),
        (((False, "*"), (True, "*.txt")), True),
        (((False, "deep/*"),), False),
        (((False, "deeper/*"),), True),
    ],
    ids=["no filter", "only another", "a name anywhere", "it is left out", "another is"],
)
def test_a_directory_that_nobody_can_read_matters_where_a_filter_matches_below_it(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, rules: tuple[tuple[bool, str], ...], concerned: bool
) -> None:
    """[SYNC-9] [SYNC-10]: it is so deep that no path leads to it, for root neither."""
    write(tree, {"a/x.txt": b"1"})
    bucket.put_object("a/gone.txt", b"2")
    at = os.open(tree, os.O_RDONLY)
    for name in ("deep", *["x" * 250] * 17):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    did = run(tree, bucket, delete=True, rules=rules)
    assert set(did.copied) == {"a/x.txt"}
    assert (len(did.failed) > 0) is concerned
    assert did.deleted == (set() if concerned else {"a/gone.txt"})


def test_a_damaged_object_fails_alone_and_leaves_the_file(
    bucket: mstbucket.Bucket, tree: Path, tmp_path: Path, run: Run, write: Write, contents: Contents
) -> None:
    write(tree, {"bad": b"as it was"})
    bucket.put_object("bad", os.urandom(3 * MIB))
    (pack,) = (path for path in (tmp_path / "blobs" / "packs").rglob("*") if path.is_file())
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    bucket.put_object("good", b"1")
    did = run(bucket, tree)
    assert (set(did.copied), list(did.failed)) == ({"good"}, ["bad"])
    assert contents(tree) == {"bad": b"as it was", "good": b"1"}


@pytest.mark.parametrize("size", [10, 3 * MIB], ids=["small", "large"])
def test_a_file_that_changes_while_it_is_read_is_not_stored(
    bucket: mstbucket.Bucket, tree: Path, write: Write, size: int
) -> None:
    """[SYNC-12] the change is made at a known moment: when its first bytes are counted."""
    path = tree / "f"
    write(tree, {"f": b"1" * size})

    class Changing(Meter):
        def add(self, count: int) -> None:
            if self.bytes == 0:
                path.write_bytes(b"2" * size)
            super().add(count)

    mover = Inward(Objects(bucket, "", Filters()), Changing())
    with pytest.raises(Conflict, match="changed while it was read"):
        mover.move(Copy(Entry("f", size, 0, path=os.fsencode(path)), None, "new"))
    assert list(bucket.objects()) == []


@pytest.mark.parametrize("change", ["written", "replaced", "removed"])
def test_a_file_that_changes_before_its_batch_is_put_is_not_stored(
    bucket: mstbucket.Bucket, tree: Path, write: Write, change: str
) -> None:
    """[SYNC-12]"""
    path = tree / "f"
    write(tree, {"f": b"1", "other": b"2"})
    mover = Inward(Objects(bucket, "", Filters()), Meter())
    ready = mover.move(Copy(Entry("f", 1, 0, path=os.fsencode(path)), None, "new"))
    assert isinstance(ready, Ready)
    ready.check()
    if change == "written":
        path.write_bytes(b"3")
    elif change == "replaced":
        (tree / "other").rename(path)
    else:
        path.unlink()
    with pytest.raises((Conflict, FileNotFoundError), match=r"changed while it was read|No such file"):
        ready.check()


def test_a_tree_that_is_written_all_the_time_ends_up_equal(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-12] whatever the runs met half way, the first run after the last change makes both sides equal.

    All bodies have one size, so that only the times and the bytes can tell.
    """
    write(tree, {f"{number:02}": b"0" * 8 for number in range(40)})
    ended = threading.Event()

    def change() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            (tree / f"{number % 40:02}").write_bytes(b"%08d" % number)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(6):
            run(tree, bucket)
    finally:
        ended.set()
        thread.join()
    assert run(tree, bucket).failed == {}
    assert contents(bucket) == contents(tree)


def test_a_store_that_fails_ends_the_run(
    bucket: mstbucket.Bucket, tree: Path, tmp_path: Path, run: Run, write: Write
) -> None:
    write(tree, {f"{number}": os.urandom(2 * MIB) for number in range(4)})
    shutil.rmtree(tmp_path / "blobs")
    with pytest.raises(errors.StorageError):
        run(tree, bucket)
    assert list(bucket.objects()) == []


def test_a_bucket_that_goes_away_ends_the_run(store: mstbucket.Store, tree: Path, run: Run, write: Write) -> None:
    write(tree, {"a": b"1"})
    gone = store.create_bucket("gone")
    store.delete_bucket("gone")
    with pytest.raises(errors.NoSuchBucket):
        run(tree, gone)


PROGRAM = """
import sys, mstbucket
from mstbucket.sync import Directory, Filters, Objects, Options, sync
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = Objects(store.bucket("things"), "", Filters())
    tree = Directory(sys.argv[3], Filters(), print, follow=True)
    sides = (tree, bucket) if sys.argv[4] == "in" else (bucket, tree)
    print("begins", flush=True)
    sync(*sides, Options(workers=3), lambda event: print(event.step.source.key, flush=True), lambda _: None)
    print("ended", flush=True)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.2])
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_killed_run_shows_nothing_half_done_and_is_continued(
    bucket: mstbucket.Bucket, tree: Path, tmp_path: Path, database_url: str, run: Run, write: Write, way: str,
    seconds: float,
) -> None:  # fmt: skip
    """[SYNC-13]"""
    bodies = {f"{n % 7}/{n:04}": os.urandom(3 * MIB if n % 100 == 50 else 200) for n in range(1_200)}
    target: Any = bucket
    if way == "in":
        write(tree, bodies)
    else:
        bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in bodies.items())
        target = tree
    whole = {key: md5(body).hexdigest() for key, body in bodies.items()}
    arguments = [database_url, str(tmp_path / "blobs"), str(tree), way]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    first = process.stdout.readline().strip()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    told = [first, *process.stdout.read().splitlines()[:-1]]  # the last line may be cut
    process.stdout.close()
    process.wait()
    half = digests(target)
    assert half.items() <= whole.items()
    assert set(told) - {"ended"} <= half.keys()
    did = run(*((tree, bucket) if way == "in" else (bucket, tree)))
    assert set(did.copied) == whole.keys() - half.keys()
    assert digests(target) == whole


def digests(place: Any) -> dict[str, str]:
    """The MD5 of everything a side holds; the store has checked its own."""
    if isinstance(place, mstbucket.Bucket):
        return {item.key: item.etag for item in place.objects()}
    files = (path for path in place.rglob("*") if path.is_file() and path.suffix != ".partial")
    return {str(path.relative_to(place)): md5(path.read_bytes()).hexdigest() for path in files}
