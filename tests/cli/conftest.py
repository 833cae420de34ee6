"""The command line against a real embedded store: one per module, kept open so that each command starts warm."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.cli.main import main
from mstbucket.pg.embedded import EmbeddedPostgres

_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did: its exit code, and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output as lines of text."""
        return self.out.decode().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as JSON objects, one per line ([CLI-8])."""
        assert self.out.isascii()
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one line that says what went wrong ([CLI-2])."""
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        assert line.startswith("mstbucket: error: ")
        return line.removeprefix("mstbucket: error: ")


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a store whose server runs as long as the module's tests."""
    path = tmp_path_factory.mktemp("store") / "store"
    with mstbucket.open(path, background=False):
        yield path
    assert EmbeddedPostgres(path / "postgres").await_stopped()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own, and no setting from outside."""
    home = tmp_path / "home"
    home.mkdir()
    for name in os.environ:
        if name.startswith(("MSTBUCKET_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return home


@pytest.fixture
def run(home: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process; `stdin` is what it can read."""

    def run_(*argv: str | Path, stdin: bytes = b"") -> Ran:
        capfdbinary.readouterr()
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            text = io.TextIOWrapper(file)
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdin", text)
                code = main([str(argument) for argument in argv])
            text.detach()
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return run_


@pytest.fixture
def cli(run: Run, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run` on the module's store."""
    monkeypatch.setenv("MSTBUCKET_STORE", str(store_path))
    return run


@pytest.fixture
def bucket(cli: Run) -> str:
    """The name of a new, empty bucket."""
    name = f"bucket-{next(_NUMBERS)}"
    assert cli("mb", f"mst://{name}").code == 0
    return name


@pytest.fixture
def process(home: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a command in a process of its own, with the environment of the test."""

    def run_(*argv: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "mstbucket.cli", *map(str, argv)]
        return subprocess.run(command, capture_output=True, check=False, timeout=120, **options)

    return run_


@pytest.fixture
def own_store(database_url: str, home: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own with an empty bucket, `abc`, which the commands find; the directory of its blobs."""
    monkeypatch.setenv("MSTBUCKET_DATABASE", database_url)
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(home / "packs"))
    assert run("mb", "mst://abc").code == 0
    return home / "packs"
