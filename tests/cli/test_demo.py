"""`demo`: every step holds on real files, and the command says so when one does not ([CLI-25])."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import Untrue

STEPS = ["source", "open", "put", "list", "flush", "export", "verify", "open", "import", "compare", "damage", "done"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small tree with a file of several chunks, an empty one, and names of all kinds."""
    source = tmp_path / "in"
    for name, body in {
        "a.txt": b"a", "d/empty": b"", "d/é\n": b"x" * 70_000, "big": os.urandom(3_000_000), "__pycache__/x.pyc": b"kept",
    }.items():  # fmt: skip
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(body)
    return source


def test_every_step_holds_and_nothing_is_left(run: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-25] [CLI-8]"""
    with tempfile.TemporaryDirectory() as directory:  # shorter than pytest's, whose paths are too long for sockets
        monkeypatch.setattr(tempfile, "tempdir", directory)
        ran = run("demo", source, "--json")
        monkeypatch.undo()
        assert os.listdir(directory) == []
    assert ran.code == 0
    steps = {record["step"]: record for record in ran.records}
    assert [record["step"] for record in ran.records] == STEPS
    assert steps["put"]["objects"] == steps["compare"]["objects"] == steps["verify"]["objects"] == 5
    assert steps["put"]["bytes"] == steps["compare"]["bytes"] == 3_070_005
    assert steps["flush"]["commit"] == steps["import"]["commit"]
    assert steps["damage"]["block"] in steps["damage"]["error"]


def test_what_is_kept_can_be_played_with(run: Any, source: Path, tmp_path: Path) -> None:
    """[CLI-25] the commands that it prints work."""
    ran = run("demo", source, "--keep", tmp_path / "kept")
    assert ran.code == 0
    lines = ran.lines
    assert [line.split()[0] for line in lines[: len(STEPS)]] == [*STEPS[:-1], "everything"]
    printed = [line.strip() for line in lines[lines.index("Go on from here:") + 1 :]]
    codes = [run(*line.replace("somewhere", str(tmp_path / "out")).split()[1:]).code for line in printed]
    assert codes == [0, 0, 0, 0, 0, 5]
    assert (tmp_path / "out" / "big").read_bytes() == (source / "big").read_bytes()


def test_files_that_cannot_be_read_are_said_and_counted(run: Any, source: Path) -> None:
    """[CLI-5] [CLI-25] the demonstration goes on with the others."""
    (source / "gone").symlink_to("nowhere")
    ran = run("demo", source)
    assert ran.code == 1
    assert "'" + str(source / "gone") + "': a symbolic link to nothing" in ran.error


@pytest.mark.parametrize("files", [{}, {"only": b""}], ids=["no file", "an empty file"])
def test_next_to_nothing(run: Any, tmp_path: Path, files: dict[str, bytes]) -> None:
    """[CLI-25]"""
    (tmp_path / "in").mkdir()
    for name, body in files.items():
        (tmp_path / "in" / name).write_bytes(body)
    assert run("demo", tmp_path / "in").code == 0


def test_a_directory_that_is_not_there(run: Any, tmp_path: Path) -> None:
    """[CLI-3]"""
    ran = run("demo", tmp_path / "nowhere")
    assert (ran.code, "there is no directory" in ran.error) == (3, True)


def test_a_file_that_changes_meanwhile_is_noticed(run: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-25] the bodies of the second store are held against the files as they are."""
    real = mstbucket.verify_car

    def changing(*arguments: Any, **options: Any) -> Any:
        (source / "a.txt").write_bytes(b"b")
        return real(*arguments, **options)

    monkeypatch.setattr(mstbucket, "verify_car", changing)
    ran = run("demo", source)
    assert (ran.code, "object 'a.txt' and file" in ran.error) == (5, True)


def test_a_verifier_that_notices_nothing_is_noticed(run: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-25]"""
    real = mstbucket.verify_car

    def blind(path: Path) -> Any:
        return real(path.with_name("demo.car"))

    monkeypatch.setattr(mstbucket, "verify_car", blind)
    ran = run("demo", source)
    assert ran.code == 5
    assert "verify did not notice" in ran.error
    assert f"[{Untrue.code}]" in ran.error
