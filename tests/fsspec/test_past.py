"""`bucket@COMMIT`: everything that reads, at any commit; and nothing that writes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem
from mstbucket.limits import FSSPEC_VIEWS_MAX


@pytest.fixture
def commit(fs: MstBucketFileSystem, store: mstbucket.Store) -> mstbucket.CommitInfo:
    """A commit of two objects, which were changed and removed since."""
    fs.pipe({"things/a/b": b"old", "things/c": b"gone"})
    found = store.bucket("things").flush()
    store.bucket("things").create_snapshot("before")
    fs.pipe_file("things/a/b", b"new")
    fs.rm("things/c")
    fs.pipe_file("things/d", b"later")
    return found


@pytest.mark.parametrize("name", ["CID", "1", "before", "TIME"])
def test_a_bucket_is_read_as_it_was(
    fs: MstBucketFileSystem, commit: mstbucket.CommitInfo, tmp_path: Path, name: str
) -> None:
    """[FS-2]"""
    name = {"CID": commit.cid, "TIME": commit.time.isoformat()}.get(name, name)
    root = f"mstbucket://things@{name}"
    assert fs.cat_file(f"{root}/a/b") == b"old"
    assert fs.cat_file(f"{root}/a/b", 1, -1) == b"l"
    assert fs.find(root) == [f"things@{name}/a/b", f"things@{name}/c"]
    assert fs.find(root, maxdepth=1, withdirs=True) == [f"things@{name}", f"things@{name}/a", f"things@{name}/c"]
    assert fs.ls(root, detail=False) == [f"things@{name}/a", f"things@{name}/c"]
    assert fs.glob(f"{root}/**/b") == [f"things@{name}/a/b"]
    assert [sorted(files) for _, _, files in fs.walk(root)] == [["c"], ["b"]]
    with fs.open(f"{root}/c", "r") as file:
        assert file.read() == "gone"
    assert fs.exists(f"{root}/c")
    assert not fs.exists(f"{root}/d")
    assert fs.cat_ranges([f"{root}/c", "things/d"], 0, 2) == [b"go", b"la"]
    fs.get(root, str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out" / "a" / "b").read_bytes() == b"old"


WRITES: dict[str, Callable[[MstBucketFileSystem, str], object]] = {
    "open": lambda fs, root: fs.open(f"{root}/x", "wb"),
    "touch": lambda fs, root: fs.touch(f"{root}/x"),
    "pipe": lambda fs, root: fs.pipe_file(f"{root}/x", b"x"),
    "cp": lambda fs, root: fs.cp("things/d", f"{root}/d"),
    "mv to": lambda fs, root: fs.mv("things/d", f"{root}/d"),
    "mv from": lambda fs, root: fs.mv(f"{root}/c", "things/c"),
    "rm": lambda fs, root: fs.rm(f"{root}/c"),
    "rm_file": lambda fs, root: fs.rm_file(f"{root}/c"),
    "rm recursive": lambda fs, root: fs.rm(f"{root}/a", recursive=True),
    "rm bucket": lambda fs, root: fs.rm(root, recursive=True),
    "cp several": lambda fs, root: fs.cp(["things/d", "things/d"], ["things/e", f"{root}/d"]),
    "rm several": lambda fs, root: fs.rm(["things/d", f"{root}/c"]),
    "rm several recursive": lambda fs, root: fs.rm(["things/d", f"{root}/c"], recursive=True),
    "rmdir": lambda fs, root: fs.rmdir(root),
    "mkdir": lambda fs, root: fs.mkdir(f"{root}/x"),
    "makedirs": lambda fs, root: fs.makedirs(f"{root}/x", exist_ok=True),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_the_past_cannot_be_written(
    fs: MstBucketFileSystem, commit: mstbucket.CommitInfo, write: Callable[[MstBucketFileSystem, str], object]
) -> None:
    """[FS-2]"""
    with pytest.raises(OSError, match="only be read") as caught:
        write(fs, "things@before")
    assert caught.value.errno == errno.EROFS
    assert fs.cat("things", recursive=True) == {"things/a/b": b"new", "things/d": b"later"}


def test_what_was_comes_back_by_a_copy(
    fs: MstBucketFileSystem, store: mstbucket.Store, commit: mstbucket.CommitInfo
) -> None:
    """[FS-2]"""
    fs.cp("things@before/c", "things/c")
    fs.cp("things@1", "things/was", recursive=True)
    assert fs.cat_file("things/c") == b"gone"
    assert fs.cat("things/was", recursive=True) == {"things/was/a/b": b"old", "things/was/c": b"gone"}


def test_a_name_means_the_same_commit_until_it_is_forgotten(
    fs: MstBucketFileSystem, store: mstbucket.Store, commit: mstbucket.CommitInfo
) -> None:
    """[FS-3]"""
    bucket = store.bucket("things")
    assert fs.cat_file("things@before/a/b") == b"old"
    bucket.delete_snapshot("before")
    bucket.create_snapshot("before")
    assert fs.cat_file("things@before/a/b") == b"old"
    fs.pipe_file("things/e", b"a write forgets nothing")
    assert fs.cat_file("things@before/a/b") == b"old"
    fs.invalidate_cache()
    assert fs.cat_file("things@before/a/b") == b"new"


def test_more_commits_than_are_remembered_can_be_read(
    fs: MstBucketFileSystem, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FS-3]"""
    monkeypatch.setattr("mstbucket.fsspec.stores.FSSPEC_VIEWS_MAX", 2)
    assert FSSPEC_VIEWS_MAX > 2
    for number in range(4):
        fs.pipe_file("things/a", b"%d" % number)
        store.bucket("things").flush()
    for _ in range(2):
        for number in range(4):
            assert fs.cat_file(f"things@{number + 1}/a") == b"%d" % number


@pytest.mark.parametrize("name", ["99", "none", "", "2001-01-01T00:00:00Z"])
def test_a_commit_that_there_is_not_is_not_there(fs: MstBucketFileSystem, commit: mstbucket.CommitInfo, name: str) -> None:
    assert not fs.exists(f"things@{name}/a/b")
    with pytest.raises((FileNotFoundError, ValueError)):
        fs.cat_file(f"things@{name}/a/b")
