"""A file is read as it was at one moment, or not at all ([PUT-14])."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mstbucket.errors import Conflict
from mstbucket.files import watched as watched_module
from mstbucket.files.watched import Watched

SIZE = 3000


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"2")


def overwrite_in_secret(path: Path) -> None:
    before = path.stat()
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "one byte": overwrite,
    "one byte and the old time": overwrite_in_secret,
    "longer": lambda path: path.write_bytes(b"2" * (SIZE + 1)),
    "the same bytes": lambda path: path.write_bytes(b"1" * SIZE),
    "cut": lambda path: os.truncate(path, 10),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("when", ["before the first byte", "half way", "before the end is seen"])
def test_a_change_is_noticed_whenever_it_comes(tmp_path: Path, change: Callable[[Path], object], when: str) -> None:
    """Right after the file was made too: two changes within one tick of the clock have one time."""
    path = tmp_path / "f"
    for _ in range(4):
        path.write_bytes(b"1" * SIZE)
        with open(path, "rb", buffering=0) as file:
            watched = Watched(file, str(path))
            if when != "before the first byte":
                watched.read(SIZE // 2 if when == "half way" else SIZE)
            change(path)
            with pytest.raises(Conflict, match="changed while it was read"):
                b"".join(watched)


def test_what_stays_as_it_is_can_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1" * SIZE)
    with open(path, "rb", buffering=0) as file:
        watched = Watched(file, str(path))
        assert (watched.size, b"".join(watched)) == (SIZE, b"1" * SIZE)
        watched.rewind()
        assert b"".join(watched) == b"1" * SIZE
    watched.check_by_name()


def test_another_file_under_the_name_is_noticed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1")
    (tmp_path / "g").write_bytes(b"2")
    with open(path, "rb", buffering=0) as file:
        watched = Watched(file, str(path))
        os.replace(tmp_path / "g", path)
        with pytest.raises(Conflict):
            watched.check_by_name()


def test_a_file_that_is_never_at_rest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_module, "_TICK", 0.2)  # a thread that changes it all the time is sure to do so within that
    monkeypatch.setattr(watched_module, "_WAITS", 3)
    path = tmp_path / "f"
    path.write_bytes(b"1")
    ended = threading.Event()

    def change() -> None:
        while not ended.is_set():
            os.utime(path)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with open(path, "rb", buffering=0) as file, pytest.raises(Conflict):
            Watched(file, str(path))
    finally:
        ended.set()
        thread.join()


def test_a_pipe_is_taken_as_it_comes() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"12")
    os.close(writing)
    with open(reading, "rb", buffering=0) as file:
        watched = Watched(file, "a pipe")
        assert (watched.size, watched.read(1), watched.read(5), watched.read(5)) == (None, b"1", b"2", b"")
