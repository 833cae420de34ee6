"""Which store a file system works on, and how many of them a process opens."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.fsspec import MstBucketFileSystem, close_stores
from mstbucket.fsspec.stores import find_place, open_place

ROOT = Path(__file__).parents[2]
VARIABLES = ("MSTBUCKET_STORE", "MSTBUCKET_DATABASE", "MSTBUCKET_BLOBS", "MSTBUCKET_PG_BIN")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """fsspec keeps file systems, and the process their stores: neither of one test for the next."""
    yield
    MstBucketFileSystem.clear_instance_cache()
    close_stores()


@pytest.fixture
def place(database_url: str, store: mstbucket.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the test's store, which has the bucket `things`."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MSTBUCKET_DATABASE", database_url)
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(tmp_path / "blobs"))
    store.create_bucket("things")


def test_the_store_is_the_one_of_the_environment(place: None, store: mstbucket.Store) -> None:
    """[FS-4]"""
    store.bucket("things").put_object("a", b"x")
    with fsspec.open("mstbucket://things/a") as file:
        assert file.read() == b"x"
    fs = fsspec.filesystem("mstbucket")
    assert isinstance(fs, MstBucketFileSystem)
    assert fs.fsid == f"mstbucket_{store.identity}"
    assert fs.unstrip_protocol("things/a") == "mstbucket://things/a"


def test_a_directory_is_a_store(tmp_path: Path) -> None:
    """[FS-4] A real one, with its own server; `close_stores` ends that."""
    path = tmp_path / "s"
    with mstbucket.open(path) as store:
        store.create_bucket("things")
    with fsspec.open("mstbucket://things/a", "w", store=path) as file:
        file.write("x")
    fs = fsspec.filesystem("mstbucket", store=str(path))
    assert fs.cat_file("things/a") == b"x"
    close_stores()
    assert fs.cat_file("things/a") == b"x"
    close_stores()
    close_stores()
    with mstbucket.open(path) as store:
        assert store.bucket("things").get_object("a").read() == b"x"


def test_no_store_is_made(tmp_path: Path) -> None:
    """[FS-4]"""
    fs = MstBucketFileSystem(store=tmp_path / "none")
    for use in (fs.ls, fs.mkdir, fs.find, fs.exists, fs.isfile, fs.isdir, fs.cat_file, fs.glob):
        with pytest.raises(OSError, match="no store") as caught:
            use("things")
        assert not isinstance(caught.value, FileNotFoundError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", ["", "postgresql://host/db", 5, b"", ["a"]])
def test_what_is_no_store_is_refused(store: object) -> None:
    with pytest.raises(errors.InvalidInput, match="store"):
        MstBucketFileSystem(store=store, skip_instance_cache=True)


def test_the_threads_of_a_process_share_a_store(place: None) -> None:
    """[FS-4] fsspec makes a file system for each."""
    made: list[MstBucketFileSystem] = []

    def use(number: int) -> None:
        fs = fsspec.filesystem("mstbucket")
        fs.pipe_file(f"things/{number}", b"x")
        made.append(fs)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(fs) for fs in made}) == 6
    assert {id(fs._opened) for fs in made} == {id(open_place(find_place(None)))}
    assert len(made[0].find("things")) == 6


def test_a_file_system_goes_to_another_process(place: None) -> None:
    fs = fsspec.filesystem("mstbucket")
    fs.pipe_file("things/a", b"x")
    assert pickle.loads(pickle.dumps(fs)) == fs
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).cat_file('things/a'))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(fs), env=environment, capture_output=True, check=False
    )
    assert (done.stdout, done.stderr) == (b"b'x'\n", b"")


def test_that_of_an_open_store_does_not(store: mstbucket.Store) -> None:
    with pytest.raises(errors.Unsupported, match="directory"):
        pickle.dumps(MstBucketFileSystem(store))


def test_an_open_store_stays_open(store: mstbucket.Store) -> None:
    fs = MstBucketFileSystem(store)
    fs.mkdir("things")
    close_stores()
    fs.invalidate_cache()
    assert fs.ls("", detail=False) == ["things"]


def test_a_child_that_is_forked_opens_the_store_for_itself(place: None) -> None:
    """What it inherits are the connections of its parent."""
    code = """
import os, fsspec
fs = fsspec.filesystem("mstbucket")
fs.pipe_file("things/a", b"parent")
child = os.fork()
if child == 0:
    fs.pipe_file("things/b", fs.cat_file("things/a") + b" and child")
    from mstbucket.fsspec import close_stores
    close_stores()
    os._exit(0)
print(os.waitpid(child, 0)[1], fs.cat_file("things/b"), fs.find("things"))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0 b'parent and child' ['things/a', 'things/b']\n", "")


@pytest.mark.parametrize("option", ["path", "stores", "database", "anon"])
def test_an_option_that_there_is_not_is_refused(store: mstbucket.Store, option: str) -> None:
    """[FS-4] else `path=` would be forgotten, and the store that the environment names be written to."""
    with pytest.raises(errors.InvalidInput, match=option):
        fsspec.filesystem("mstbucket", **{option: "somewhere"})
    assert MstBucketFileSystem(store, skip_instance_cache=True, use_listings_cache=False).ls("") == []
