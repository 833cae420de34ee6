"""Real client processes, and a look at what runs and lies around outside them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

import mstbucket
from mstbucket.pg import supervisor
from mstbucket.pg.embedded import EmbeddedPostgres

PATIENCE: Final = 30.0  # seconds for something that takes milliseconds; only a failing test waits that long

_CLIENT: Final = """
import sys
from mstbucket.pg.embedded import EmbeddedPostgres
server = EmbeddedPostgres(sys.argv[1], root_as=sys.argv[2] or None)
print(server.start(), flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain: {what}"
        time.sleep(0.01)


class Place:
    """A directory for an embedded server, in a parent of its own, with a temporary directory of its own beside it."""

    def __init__(self, top: Path, name: str = "store") -> None:
        self.top = top
        self.temporary = top / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.directory = top / name
        self._clients: list[subprocess.Popen[str]] = []

    def spawn(self, *, root_as: str = "", **options: object) -> subprocess.Popen[str]:
        """A client process that has called `start` but perhaps not returned from it."""
        client = subprocess.Popen(
            [sys.executable, "-c", _CLIENT, str(self.directory), root_as],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TMPDIR": str(self.temporary),
                "PYTHONPATH": str(Path(mstbucket.__file__).parents[1]),
                "PGDATA": "/nonexistent",  # the user's settings for other servers must not matter
                "PGPORT": "1",
                "PGOPTIONS": "-c nonsense=1",
            },
            **options,  # type: ignore[call-overload]
        )
        self._clients.append(client)
        return client

    def client(self, *, root_as: str = "", **options: object) -> subprocess.Popen[str]:
        """A client process whose server is up; its connection string is the attribute `conninfo`."""
        client = self.spawn(root_as=root_as, **options)
        assert client.stdout is not None
        client.conninfo = client.stdout.readline().strip()  # type: ignore[attr-defined]
        assert client.conninfo, client.stderr.read() if client.stderr else ""  # type: ignore[attr-defined]
        return client

    def embedded(self, **options: object) -> EmbeddedPostgres:
        """The directory's server for this process."""
        return EmbeddedPostgres(self.directory, **options)  # type: ignore[arg-type]

    def servers(self) -> list[int]:
        """Every process that works in the data directory: the postmaster (the least number is oldest) and the rest."""
        return sorted(pid for pid in _pids() if _works_in(pid, self.directory))

    def supervisors(self) -> list[int]:
        """The supervisor processes of this directory."""
        wanted = [os.fsencode(supervisor.__file__), os.fsencode(os.path.realpath(self.directory))]
        return [pid for pid in _pids() if all(word in _words(pid) for word in wanted)]

    def postmaster(self) -> int:
        """The server's main process."""
        return int((self.directory / "data" / "postmaster.pid").read_text().split("\n")[0])

    def gone(self) -> None:
        """Wait until no process of the server is left."""
        until(lambda: not self.servers() and not self.supervisors(), f"the server of {self.directory} to be gone")

    def end_clients(self) -> None:
        """End every client process by closing its input."""
        for client in self._clients:
            client.communicate()
        self._clients.clear()


def kill(process: int | subprocess.Popen[str]) -> None:
    """SIGKILL, and for a child wait until it is gone."""
    if isinstance(process, int):
        os.kill(process, signal.SIGKILL)
    else:
        process.kill()
        process.wait()


def ask(conninfo: str, statement: str) -> object:
    """The first value that a statement gives."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(f"{os.path.realpath(directory)}/data")
    except OSError:
        return False


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def outside() -> tuple[list[str], list[str], list[str]]:
    """What a server could leave outside its directory: temporary files, POSIX and System V shared memory."""
    shm = sorted(os.listdir("/dev/shm"))
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()
    mine = sorted(name for name in os.listdir(tempfile.gettempdir()) if name.startswith("mstbucket-0-"))
    return mine, shm, [line.split()[1] for line in segments]


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory with a short path that anybody may enter."""
    made = Path(tempfile.mkdtemp(prefix="mstb-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def place(top: Path) -> Iterator[Place]:
    """A place for a server; when the test ends, so do its clients, and then nothing may run or lie around."""
    made = Place(top)
    yield made
    made.end_clients()
    made.gone()
    assert list(made.temporary.iterdir()) == []
    assert sorted(path.name for path in top.iterdir()) == sorted(
        {"tmp", *([made.directory.name] * made.directory.exists())}
    )


# Functions that tests of this folder share, as fixtures: test folders are no packages.
@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], object], str], None]:
    return until


@pytest.fixture(name="kill")
def _kill() -> Callable[[int | subprocess.Popen[str]], None]:
    return kill


@pytest.fixture(name="ask")
def _ask() -> Callable[[str, str], object]:
    return ask
