"""Real client processes, and a look at what runs and lies around outside them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
import pytest

import mstbucket
from mstbucket.pg import binaries, identity, processes, supervisor
from tests.waiting import until

T = TypeVar("T")

# A failure is said by class and message, so that a test sees that it was a declared one.
_CLIENT: Final = """
import sys
from mstbucket.errors import MstBucketError
from mstbucket.pg.embedded import EmbeddedPostgres
directory, root_as, programs = sys.argv[1:]
try:
    server = EmbeddedPostgres(directory, root_as=root_as or None, programs=programs)
    print(server.start(), flush=True)
except MstBucketError as error:
    print(type(error).__name__, error, flush=True)
    sys.exit(3)
sys.stdin.read()
"""


class Place:
    """A directory for an embedded server, in a parent of its own, with a temporary directory of its own beside it."""

    def __init__(self, top: Path, name: str = "store") -> None:
        self.top = top
        self.temporary = top / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.directory = top / name
        self._clients: list[subprocess.Popen[str]] = []

    def spawn(
        self, *, root_as: str = "", programs: Path | None = None, mounting: str | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """A client process that has called `start` but perhaps not returned from it.

        *mounting* is a shell command run before it in a mount namespace of its own.
        """
        within = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{mounting} && exec "$0" "$@"']
        client = subprocess.Popen(
            [
                *([] if mounting is None else within),
                sys.executable,
                "-c",
                _CLIENT,
                str(self.directory),
                root_as,
                str(programs or binaries.find()),
            ],
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
            **options,
        )
        self._clients.append(client)
        return client

    def client(self, **options: Any) -> subprocess.Popen[str]:
        """A client process whose server is up; its connection string is the attribute `conninfo`."""
        client = self.spawn(**options)
        assert client.stdout is not None
        said = client.stdout.readline().strip()
        assert said.startswith("host="), said + client.communicate()[1]
        client.conninfo = said  # type: ignore[attr-defined]
        return client

    def refusal(self, **options: Any) -> str:
        """The declared error, "Class message", that a client process ends with."""
        client = self.spawn(**options)
        said, trouble = client.communicate()
        assert client.returncode == 3, said + trouble
        return said

    def servers(self) -> list[int]:
        """Every process that works in the data directory: the postmaster (the least number is oldest) and the rest."""
        return sorted(pid for pid in _pids() if _works_in(pid, self.directory))

    def supervisors(self) -> list[int]:
        """The supervisor processes of this directory, without those that have only started one and are about to end."""
        wanted = [os.fsencode(supervisor.__file__), os.fsencode(os.path.realpath(self.directory))]
        found = [pid for pid in _pids() if all(word in _words(pid) for word in wanted)]
        return [pid for pid in found if pid not in {processes.parent_of(other) for other in found}]

    def programs(self) -> list[int]:
        """What the supervisors have started: initdb, or the postmaster."""
        return [child for parent in self.supervisors() for child in processes.children(parent)]

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


def kill_one(find: Callable[[], list[int]], what: str) -> None:
    """Wait until *find* gives a process, and kill the first. One that is gone by then is looked for again."""

    def is_killed() -> bool:
        for pid in find():
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
                return True
        return False

    until(is_killed, what)


def kill_all(pids: list[int]) -> None:
    """SIGKILL for those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            kill(pid)


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


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory with a short path that anybody may enter."""
    # In memory where there is some: these tests start and kill a hundred servers, each with recovery and checkpoints.
    made = Path(tempfile.mkdtemp(prefix="mstb-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
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
    assert {path.name for path in top.iterdir()} <= {"tmp", made.directory.name, "programs"}


@pytest.fixture
def unprivileged() -> dict[str, Any]:
    """Options of `Place.client` for a user who is not root and has no capabilities."""
    if os.geteuid() != 0:
        return {}
    pid = os.fork()
    if pid == 0:
        os._exit(0 if identity.enter_namespace() else 1)
    if os.waitpid(pid, 0)[1] == 0:
        return {"preexec_fn": identity.enter_namespace}  # keeps the way to an interpreter in root's home
    return {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.fixture
def open_programs(top: Path) -> Path:
    """The PostgreSQL programs at a place that every user can reach."""
    found = binaries.find()
    if all(parent.stat().st_mode & 0o001 for parent in found.parents):
        return found
    home = found.parent
    shutil.copytree(home.parent.parent, top / "programs", ignore=lambda folder, names: [
        name for name in names if Path(folder) == home.parent.parent and not name.startswith(home.parent.name)
    ])  # fmt: skip
    return top / "programs" / home.parent.name / home.name / found.name


# Functions that tests of this folder share, as fixtures: test folders are no packages.
@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], T], str], T]:
    return until


@pytest.fixture(name="kill")
def _kill() -> Callable[[int | subprocess.Popen[str]], None]:
    return kill


@pytest.fixture(name="kill_one")
def _kill_one() -> Callable[[Callable[[], list[int]], str], None]:
    return kill_one


@pytest.fixture(name="kill_all")
def _kill_all() -> Callable[[list[int]], None]:
    return kill_all


@pytest.fixture(name="ask")
def _ask() -> Callable[[str, str], object]:
    return ask
