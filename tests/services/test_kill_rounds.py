"""Everything that works on a store is killed, round after round: nothing acknowledged is lost, and it opens again at once.

Two writers, a flusher, an exporter (the command line) and a compactor share an embedded store; in each round some of them,
the server's processes and its supervisor are killed in a random order. Then the store has to open before a deadline, to
hold what was acknowledged, and to verify. The first round has no store to begin with, so its making is killed too.

Hundreds of rounds: MSTBUCKET_TEST_KILL_ROUNDS=300 ./quickstart test tests/services/test_kill_rounds.py -s
The postmaster a hundred times: ./quickstart test -m slow tests/services/test_kill_rounds.py -s
The seed is printed; MSTBUCKET_TEST_KILL_SEED=N kills in the same order again, at about the same moments.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import killworker
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.pg.embedded import EmbeddedPostgres

pytestmark = pytest.mark.early

POSTMASTERS: Final = int(os.environ.get("MSTBUCKET_TEST_POSTMASTER_KILLS", "100"))
ROUNDS: Final = int(os.environ.get("MSTBUCKET_TEST_KILL_ROUNDS", "20"))
SEED: Final = int(os.environ.get("MSTBUCKET_TEST_KILL_SEED", "8"))
OPEN_SECONDS: Final = 20.0  # [PG-22]
HANG_SECONDS: Final = 60.0  # for what takes milliseconds; only a hang waits that long
ROLES: Final = ("write0", "write1", "flush", "export", "compact")
SERVER: Final = ("backend", "helper", "postmaster", "supervisor")
VICTIMS: Final = (*ROLES, "clients", *SERVER, *SERVER)
NONE: Final = ""  # the digest of a deleted key


@cache
def digest(key: str, generation: int, way: str) -> str:
    """What a listing must say of a key after that call."""
    return hashlib.md5(killworker.body(key, generation)).hexdigest() if way == "put" else NONE


class Told:
    """What the workers were told, read from their logs, and so what each key may hold."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._read: dict[Path, int] = {}
        self.may_hold: dict[str, set[tuple[int, str]]] = {}  # generation and "put" or "delete"
        self.tried: dict[str, set[tuple[int, str]]] = {}  # since the last listing began
        self.acknowledged = 0
        self.commit = 0  # the newest that a flusher was given
        self.bugs: list[str] = []

    def look(self) -> None:
        """Take in what is new."""
        for path in sorted(self._logs.iterdir(), key=lambda path: (len(path.name), path.name)):
            if path.name.isdigit():
                data = path.read_bytes()[self._read.get(path, 0) :]
                whole = data[: data.rfind(b"\n") + 1]  # the end of a line may not be there yet
                self._read[path] = self._read.get(path, 0) + len(whole)
                for line in whole.decode().splitlines():
                    self._take(line)

    def _take(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        if kind == "bug":
            self.bugs.append(rest)
            return
        key, number, way = rest.split(" ")
        if key == "commit":
            self.commit = max(self.commit, int(number))
        elif kind == "try":
            for states in (self.may_hold.setdefault(key, {(0, "delete")}), self.tried.setdefault(key, set())):
                states.add((int(number), way))
        elif kind == "not":
            # An error that is not "outcome unknown" says that nothing was done, then or later.
            for known in (self.may_hold, self.tried):
                known.get(key, set()).discard((int(number), way))
        else:
            # Whatever was tried before this has been done, or never will be.
            self.may_hold[key] = {(int(number), way)}
            self.acknowledged += 1

    def judge(self, listing: Callable[[], dict[str, str]], exactly: bool) -> dict[str, str]:
        """Have a listing made, key to MD5, and judge it; return it. *exactly* where no writer is left."""
        self.look()
        before = {key: set(states) for key, states in self.may_hold.items()}
        self.tried.clear()
        found = listing()
        self.look()
        assert not self.bugs, "\n".join(self.bugs)
        assert set(found) <= set(self.may_hold)
        for key in self.may_hold:
            states = before.get(key, {(0, "delete")}) | self.tried.get(key, set())
            fitting = {state for state in states if digest(key, *state) == found.get(key, NONE)}
            assert fitting, f"{key} holds {found.get(key)}, and may hold only {sorted(states)}"
            if exactly:
                self.may_hold[key] = fitting  # nobody is left whose call may still take effect
        return found


class Arena:
    """One store, who works on it, and ways to kill them."""

    def __init__(self, top: Path) -> None:
        self.path, self.logs = top / "store", top / "logs"
        self.logs.mkdir()
        self.told = Told(self.logs)
        self.workers: dict[str, int] = {}
        self.kills: Counter[str] = Counter()
        self._numbers = itertools.count(1)
        command = [sys.executable, killworker.__file__, str(self.path), str(self.logs)]
        environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
        self._nursery = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )

    def start_missing(self) -> None:
        """See to it that every role is played."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        for role in ROLES:
            if role not in self.workers:
                self._nursery.stdin.write(f"{role} {next(self._numbers)}\n")
                self.workers[role] = int(self._nursery.stdout.readline())

    def await_progress(self) -> None:
        """Wait until a writer has been told something."""
        before, deadline = self.told.acknowledged, time.monotonic() + HANG_SECONDS
        while self.told.acknowledged == before:
            assert time.monotonic() < deadline, self.explain("no writer gets anywhere")
            time.sleep(0.01)
            self.told.look()
            assert not self.told.bugs, "\n".join(self.told.bugs)

    def kill(self, victim: str) -> None:
        """Kill what plays that part at this moment, if anything does."""
        if victim == "clients":
            for role in ROLES:
                self.kill(role)
        elif victim in ROLES:
            pid = self.workers.pop(victim, None)
            if pid is not None:
                self._send(victim, os.killpg, pid)
        else:
            pids = self._server().get(victim, [])
            if pids:
                self._send(victim, os.kill, pids[0])

    def _send(self, victim: str, send: Callable[[int, int], None], pid: int) -> None:
        try:
            send(pid, signal.SIGKILL)
            self.kills[victim] += 1
        except ProcessLookupError:
            pass  # it was faster

    def _server(self) -> dict[str, list[int]]:
        """The processes of the server, by their parts."""
        found: dict[str, list[int]] = {}
        supervisor = [b"supervisor.py", os.fsencode(self.path / "postgres")]
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                place = os.readlink(f"/proc/{name}/cwd")
            except OSError:
                continue
            if supervisor[1] in words and any(word.endswith(supervisor[0]) for word in words):
                found.setdefault("supervisor", []).append(int(name))
            elif place.startswith(str(self.path / "postgres")):
                part = "backend" if words[0].startswith(b"postgres: mstbucket") else "helper"
                part = part if words[0].startswith(b"postgres: ") else "postmaster"  # or initdb, where there is none yet
                found.setdefault(part, []).append(int(name))
        return found

    def open(self) -> mstbucket.Store:
        """Open the store before the deadline."""
        opened: list[Any] = []

        def try_() -> None:
            try:
                opened.append(mstbucket.open(self.path, background=False))
            except BaseException as error:
                opened.append(error)

        thread = threading.Thread(target=try_, daemon=True)
        thread.start()
        thread.join(OPEN_SECONDS)
        assert opened, self.explain("the store does not open")
        if isinstance(opened[0], BaseException):
            raise opened[0]
        assert isinstance(opened[0], mstbucket.Store)
        return opened[0]

    def check(self) -> None:
        """Open the store, and judge it by what the workers were told; exactly, if none of them is left."""
        with self.open() as store:
            self.told.look()
            try:
                bucket = store.bucket(killworker.BUCKET)
            except errors.NoSuchBucket:
                assert self.told.acknowledged == self.told.commit == 0
                return
            found = self.told.judge(lambda: {item.key: item.etag for item in bucket.objects()}, not self.workers)
            commit = self.told.commit
            assert bucket.flush().seq >= commit
            report = bucket.verify()  # reads and hashes every byte of the commit
            if not self.workers:
                assert (report.objects, report.dirty) == (len(found), 0)
                for key, etag in found.items():
                    assert hashlib.md5(bucket.get_object(key).read()).hexdigest() == etag
        if not self.workers:
            for export in self.logs.glob("*.car"):
                mstbucket.verify_car(export)
                export.unlink()

    def explain(self, trouble: str) -> str:
        """The trouble, and what the server has said lately."""
        log = self.path / "postgres" / "server.log"
        said = log.read_text(errors="replace")[-3000:] if log.exists() else "nothing"
        return f"{trouble} (processes: {self._server()}); the server said:\n{said}"

    def end(self) -> None:
        """Leave nothing running."""
        self.kill("clients")
        self._nursery.communicate()
        assert EmbeddedPostgres(self.path / "postgres").await_stopped(), self.explain("the server does not end")


@pytest.fixture
def arena() -> Iterator[Arena]:
    """In memory where there is some: processes are killed here, not the machine."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="mstbucket-test-", dir=memory))
    made = Arena(top)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(top)


@pytest.mark.timeout(300 + 30 * ROUNDS)
def test_whatever_is_killed_nothing_acknowledged_is_lost_and_the_store_opens_again(arena: Arena) -> None:
    """[PG-22], [PG-8], [PUT-1], [PUT-4], [PUT-9], [FLUSH-3]."""
    print(f"seed {SEED}, {ROUNDS} rounds")
    choice = random.Random(SEED)
    for number in range(ROUNDS):
        victims = choice.choices(VICTIMS, k=choice.randint(1, 5))
        pauses = [choice.choice((0.0, 0.0, 0.01, 0.03, 0.15)) for _ in victims]
        done = f"seed {SEED}, round {number}: {victims}"
        try:
            arena.start_missing()
            if number > 0:
                arena.await_progress()
            time.sleep(choice.uniform(0, 0.4))
            for victim, pause in zip(victims, pauses, strict=True):
                arena.kill(victim)
                time.sleep(pause)
            if number % 4 == 3:
                arena.kill("clients")
            arena.check()
        except BaseException as error:
            error.add_note(done)
            raise
    arena.start_missing()
    arena.await_progress()
    arena.kill("clients")
    arena.check()
    print(f"{arena.told.acknowledged} acknowledged writes; killed {dict(arena.kills)}")


@pytest.mark.slow
@pytest.mark.timeout(300 + 30 * POSTMASTERS)
def test_the_server_is_killed_in_mid_load_a_hundred_times(arena: Arena) -> None:
    """[PG-8] [PG-19] [PG-22]: the postmaster alone; after every tenth time all end, and the store is judged exactly."""
    choice = random.Random(SEED)
    while arena.kills["postmaster"] < POSTMASTERS:
        arena.start_missing()
        arena.await_progress()
        time.sleep(choice.uniform(0, 0.2))
        before = arena.kills["postmaster"]
        arena.kill("postmaster")
        if arena.kills["postmaster"] % 10 == 0 and arena.kills["postmaster"] > before:
            arena.kill("clients")
            arena.check()
    arena.kill("clients")
    arena.check()
    print(f"{arena.told.acknowledged} acknowledged writes; killed {dict(arena.kills)}")
