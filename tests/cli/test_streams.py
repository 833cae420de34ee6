"""Standard streams that are full, closed or terminals; every command here is a process of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHELL = 'exec "$@" {}'


def shell(redirection: str, *argv: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command with its streams redirected by a shell."""
    command = ["sh", "-c", SHELL.format(redirection), "sh", sys.executable, "-m", "mstbucket", *argv]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, check=False, timeout=60, **pipes)


@pytest.fixture
def there(cli: Any, bucket: str, tmp_path: Path) -> list[str]:
    """A bucket with one object, as arguments: the store, and its address."""
    (tmp_path / "file").write_bytes(b"bytes\n")
    cli("cp", tmp_path / "file", f"mst://{bucket}/k")
    return [bucket]


@pytest.fixture
def at(store_path: Path, home: Path) -> list[str]:
    return ["--store", str(store_path)]


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_standard_error_that_takes_nothing_changes_no_exit_code(
    at: list[str], there: list[str], tmp_path: Path, redirection: str
) -> None:
    """[CLI-41] done is done, and what is not found is not found."""
    address = f"mst://{there[0]}"
    table = [
        (["ls", address], 0),
        (["ls", "mst://nowhere"], 3),
        (["ls", "mst://nowhere", "--debug"], 3),
        (["nonsense"], 2),
        (["ls", "s3://abc"], 2),
        (["cat", f"{address}/k", f"{address}/missing"], 3),
        (["cp", "-r", str(tmp_path / "missing"), address], 3),
        (["export", address, str(tmp_path / "x.car")], 0),
        (["verify", str(tmp_path / "file")], 5),
    ]
    assert [(argv, shell(redirection, *at, *argv).returncode) for argv, _ in table] == table


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_a_standard_output_that_takes_nothing_is_an_error(at: list[str], there: list[str], redirection: str) -> None:
    """[CLI-41] [CLI-3] what could not be written was not done, the help included."""
    address = f"mst://{there[0]}"
    table = [
        ["ls", address], ["ls", address, "--json"], ["cat", f"{address}/k"], ["export", address, "-"], ["stat", address],
        ["status"], ["--help"], ["cp", "--help"], ["store", "--help"], ["--version"], ["completion", "bash"],
    ]  # fmt: skip
    for argv in table:
        ran = shell(redirection, *at, *argv)
        (line,) = ran.stderr.decode().splitlines()
        assert (argv, ran.returncode) == (argv, 6)
        assert line.startswith("mstbucket: error: ")
    assert [(argv, shell(f"{redirection} 2>&-", *at, *argv).returncode) for argv in table] == [(argv, 6) for argv in table]
    assert shell(redirection, *at, "ls", "mst://nowhere").returncode == 3  # it had nothing to write


def test_a_standard_input_that_is_closed_is_an_error(at: list[str], there: list[str]) -> None:
    """[CLI-3]"""
    for argv in (["cp", "-", f"mst://{there[0]}/new"], ["import", "-"], ["verify", "-"]):
        ran = shell("<&-", *at, *argv)
        assert (argv, ran.returncode, len(ran.stderr.splitlines())) == (argv, 6, 1)


def test_a_car_is_not_written_to_a_terminal(at: list[str], there: list[str]) -> None:
    """[CLI-40] nor to one by its name; a pipe is what it is for."""
    master, terminal = pty.openpty()
    try:
        name = os.ttyname(terminal)
        for target, stdout in (("-", terminal), (name, subprocess.PIPE)):
            ran = shell("", *at, "export", f"mst://{there[0]}", target, "--force", stdout=stdout)
            (line,) = ran.stderr.decode().splitlines()
            assert ran.returncode == 2
            assert "is a terminal, and a CAR is no text: name a file" in line
        os.set_blocking(master, False)
        with pytest.raises(BlockingIOError):
            os.read(master, 1)  # not one byte came
    finally:
        os.close(master)
        os.close(terminal)
    assert shell("", *at, "export", f"mst://{there[0]}", "-").stdout.startswith(b"\x3a\xa2")


def test_a_car_is_not_waited_for_from_a_terminal(at: list[str]) -> None:
    """[CLI-40] the command ends at once, though nobody types anything."""
    master, terminal = pty.openpty()
    try:
        for command in ("import", "verify"):
            ran = shell("", *at, command, "-", stdin=terminal)
            (line,) = ran.stderr.decode().splitlines()
            assert ran.returncode == 2
            assert "standard input is a terminal" in line
    finally:
        os.close(master)
        os.close(terminal)


def test_the_package_runs_as_a_module(home: Path) -> None:
    for module in ("mstbucket", "mstbucket.cli"):
        command = [sys.executable, "-m", module, "--help"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert ran.stdout.startswith("usage: mstbucket ")


def test_a_command_without_a_home_uses_the_one_of_the_user_database(tmp_path: Path) -> None:
    """[CLI-6] and not the root directory, which an empty HOME looks like."""
    import pwd

    environment = {"PATH": os.environ["PATH"], "HOME": ""}
    ran = shell("", "status", env=environment, cwd=tmp_path)
    assert f"{pwd.getpwuid(os.getuid()).pw_dir}/.local/share/mstbucket " in ran.stdout.decode()
