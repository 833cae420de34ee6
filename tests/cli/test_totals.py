"""The totals that people see while they wait: what is said of the work before it is done, and what it comes to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mstbucket.cli import progress


class Told(progress.Progress):
    """What was said of the work."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.totals: list[tuple[str, int, int]] = []
        self.objects = 0

    def __call__(self, done: int) -> None:
        self.done.append(done)

    def expect(self, objects: int, size: int) -> None:
        self.totals.append(("known", objects, size))

    def expect_about(self, size: int) -> None:
        self.totals.append(("about", 0, size))

    def one(self) -> None:
        self.objects += 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the commands of a test tell of their work."""
    one = Told()

    @contextmanager
    def bar(_label: str, _total: int | None = None, *, quiet: bool = False) -> Iterator[Told]:
        yield one

    monkeypatch.setattr(progress, "bar", bar)
    return one


def test_an_export_is_about_as_long_as_was_said(cli: Any, bucket: str, tmp_path: Path, told: Told) -> None:
    """[CLI-161] Small objects and large ones; an earlier commit too; and nothing is said where nobody knows."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for n in range(300):
        (folder / f"{n:03}.txt").write_bytes(b"%d" % n * 20)
    (folder / "large").write_bytes(os.urandom(2_000_000))
    assert cli("cp", "-r", folder, f"mst://{bucket}/").code == 0
    told.totals.clear()
    for argv in ([bucket], [f"{bucket}@1"], ["--files", bucket]):
        assert cli("export", *argv, tmp_path / "x.car", "--force").code == 0
        ((kind, _, size),) = told.totals
        assert kind == "about"
        assert 0.9 < (tmp_path / "x.car").stat().st_size / size < 1.1
        told.totals.clear()
    assert cli("export", bucket, tmp_path / "x.car", "--force", "--prefix", "0").code == 0
    assert cli("versioning", bucket, "enable").code == 0
    assert cli("cp", folder / "large", f"mst://{bucket}/large").code == 0
    assert cli("export", bucket, tmp_path / "x.car", "--force").code == 0
    assert told.totals == []


def test_a_sync_says_its_total_and_comes_to_it(cli: Any, bucket: str, tmp_path: Path, told: Told) -> None:
    """[SYNC-18] What is the same already is no part of it."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for n in range(50):
        (folder / f"{n:03}").write_bytes(bytes(n))
    assert cli("sync", folder, f"mst://{bucket}").code == 0
    assert (told.totals, told.objects) == ([("known", 50, sum(range(50)))], 50)
    told.__init__()  # type: ignore[misc]
    (folder / "new").write_bytes(bytes(7))
    assert cli("sync", folder, f"mst://{bucket}").code == 0
    # Files that are too new to be told by their times are read, and turn out to be the same.
    assert (told.totals[-1][1], told.objects) == (1, 1)
    told.__init__()  # type: ignore[misc]
    assert cli("sync", f"mst://{bucket}", tmp_path / "back").code == 0
    assert (told.totals, told.objects) == ([("known", 51, sum(range(50)) + 7)], 51)
    told.__init__()  # type: ignore[misc]
    assert cli("cp", "-r", f"mst://{bucket}", tmp_path / "copy").code == 0
    assert (told.totals, told.objects) == ([("known", 51, sum(range(50)) + 7)], 51)
