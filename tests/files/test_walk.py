"""What a recursive copy finds in a directory, and what it leaves out ([CLI-17], [CLI-18])."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from mstbucket.errors import InvalidKey
from mstbucket.files.walk import Found, Skipped, open_file, walk


def keys(root: Path, *, follow: bool = True) -> list[str]:
    return [found.key for found in walk(str(root), follow=follow) if isinstance(found, Found)]


def skipped(root: Path, *, follow: bool = True) -> dict[str, tuple[str, bool]]:
    items = [item for item in walk(str(root), follow=follow) if isinstance(item, Skipped)]
    return {os.path.relpath(os.fsdecode(item.path), root): (item.reason, item.failed) for item in items}


def test_files_in_byte_order_and_no_directories(tmp_path: Path) -> None:
    for name in ("b", "a.txt", "a/x", "a/é", "a/Z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    assert keys(tmp_path) == ["a/Z", "a/x", "a/é", "a.txt", "b"]


def test_links_are_followed_unless_told_otherwise(tmp_path: Path) -> None:
    """[CLI-18]"""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").touch()
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "y").symlink_to("d/x")
    assert keys(tmp_path) == ["d/x", "link/x", "y"]
    assert skipped(tmp_path) == {}
    assert keys(tmp_path, follow=False) == ["d/x"]
    assert set(skipped(tmp_path, follow=False)) == {"link", "y"}


def test_a_link_to_a_directory_above_it_ends_the_walk_there(tmp_path: Path) -> None:
    """[CLI-18]"""
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "up").symlink_to("../..")
    (tmp_path / "d" / "x").touch()
    assert keys(tmp_path) == ["d/x"]
    assert skipped(tmp_path) == {"d/e/up": ("a link to a directory above it", False)}


def test_what_is_no_file(tmp_path: Path) -> None:
    """[CLI-18] pipes, sockets and devices are left out; a link to nothing has failed."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(tmp_path, os.O_RDONLY)  # a path short enough for a socket
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "gone").symlink_to("nowhere")
    assert keys(tmp_path) == []
    assert skipped(tmp_path) == {
        "pipe": ("neither a file nor a directory", False),
        "socket": ("neither a file nor a directory", False),
        "null": ("neither a file nor a directory", False),
        "gone": ("a symbolic link to nothing", True),
    }


def test_a_directory_that_goes_away_during_the_walk(tmp_path: Path) -> None:
    for name in ("a/x", "b/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    items = walk(str(tmp_path), follow=True)
    assert isinstance(next(items), Found)
    shutil.rmtree(tmp_path / "b")
    (last,) = items
    assert isinstance(last, Skipped)
    assert last.failed


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """[CLI-17]"""
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).touch()
    (found,) = walk(str(tmp_path), follow=True)
    assert isinstance(found, Found)
    with pytest.raises(InvalidKey, match="the file's name is not UTF-8"):
        _ = found.key


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk(str(tmp_path / "nowhere"), follow=True))


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        open_file(os.fsencode(tmp_path / "pipe"))


def test_a_directory_of_more_names_than_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mstbucket.files.walk._SORTED", 3)
    for number in range(10):
        (tmp_path / str(number)).touch()
    assert sorted(keys(tmp_path)) == [str(number) for number in range(10)]
