"""Files that appear whole or not at all: what fails in the middle leaves what was there, and says what is known."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

import mstbucket
from mstbucket.errors import InvalidInput, NoSuchFile, OutcomeUnknown, StorageError
from mstbucket.files.shared_folder import SharedFolder
from mstbucket.files.tree import Tree, write_named
from mstbucket.files.whole import locked_beside, make_folders, replacing


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that are flushed."""
    seen: list[int] = []
    fsync = os.fsync

    def on_fsync(handle: int) -> None:
        fsync(handle)
        seen.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", on_fsync)
    return seen


def fail_on(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every flush of files, or of folders, fail."""

    def fail(handle: int) -> None:
        if stat.S_IFMT(os.fstat(handle).st_mode) == kind:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)


def test_a_file_that_cannot_be_flushed_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EXP-3]"""
    (tmp_path / "file").write_bytes(b"old")
    fail_on(stat.S_IFREG, monkeypatch)
    with pytest.raises(StorageError, match="check it") as raised, replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert type(raised.value) is StorageError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_name_that_cannot_be_flushed_has_an_unknown_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EXP-3]: the new file is there, and nobody may say that nothing was done."""
    (tmp_path / "file").write_bytes(b"old")
    fail_on(stat.S_IFDIR, monkeypatch)
    with pytest.raises(OutcomeUnknown, match="repeat the call"), replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"new")]


def test_a_file_that_is_in_its_place_is_no_failure_whatever_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[EXP-3] [CLI-16]: to look for the other name once more can only fail, and would then say that nothing was done."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Tree(str(tmp_path / "tree")) as tree:  # it asks the file system about case, by a file that it removes
        monkeypatch.setattr(os, "unlink", fail)
        tree.write("a/b", [b"new"])
    write_named(str(tmp_path / "named"), [b"new"])
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    for name in ("file", "named", "tree/a/b"):
        assert (tmp_path / name).read_bytes() == b"new"
    with pytest.raises(ValueError, match="mine"), replacing(tmp_path / "file"):
        raise ValueError("mine")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFDIR])
def test_a_key_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    """[CLI-47]: half a key would be in the way of the next try."""
    with monkeypatch.context() as patch:
        fail_on(kind, patch)
        with pytest.raises(StorageError):
            mstbucket.new_signing_key(tmp_path / "key")
    if kind == stat.S_IFREG:
        assert list(tmp_path.iterdir()) == []
        mstbucket.new_signing_key(tmp_path / "key")
    text = mstbucket.public_key(tmp_path / "key")
    with pytest.raises(StorageError, match="File exists"):
        mstbucket.new_signing_key(tmp_path / "key")
    assert mstbucket.public_key(tmp_path / "key") == text
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_folders_are_durable_with_all_above_them(tmp_path: Path, flushed: list[int]) -> None:
    """[CLI-153]: also the last one, which somebody else may have made an instant ago."""
    make_folders(tmp_path / "a" / "b")
    assert flushed == [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino]
    flushed.clear()
    make_folders(tmp_path / "a" / "b")
    assert flushed == [(tmp_path / "a").stat().st_ino]


def test_the_folder_of_a_bucket_is_durable_whoever_made_it(tmp_path: Path, flushed: list[int]) -> None:
    """[FOLD-4]: who made it may have died before it flushed the name."""
    (tmp_path / "bucket").mkdir()
    with SharedFolder(str(tmp_path)).write("bucket/one.car") as file:
        file.write(b"one")
    assert tmp_path.stat().st_ino in flushed


@pytest.mark.parametrize(
    ("name", "kind"), [("none/file", NoSuchFile), ("a\0b", InvalidInput), ("\udfff\ud800", InvalidInput), ("loop", None)]
)
def test_the_place_beside_a_file_is_locked_or_a_declared_error_says_why(
    tmp_path: Path, name: str, kind: type[Exception] | None
) -> None:
    """[ARG-12] A link that leads to itself has a directory, too."""
    (tmp_path / "loop").symlink_to("loop")
    if kind is not None:
        with pytest.raises(kind), locked_beside(f"{tmp_path}/{name}", "the pins cannot be written"):
            pass
        return
    with locked_beside(tmp_path / name, "the pins cannot be written"):
        handle = os.open(tmp_path, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(handle)
