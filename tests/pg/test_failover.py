"""A synchronous standby takes over: nothing acknowledged is lost, writers go on, and no outcome is guessed.

Two real servers on sockets of their own, joined by streaming replication; the address of the store names both. One take-over
by default; more of them by

    MSTBUCKET_TEST_FAILOVERS=20 pytest -m slow -s tests/pg/test_failover.py
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.pg import binaries
from mstbucket.pg import database as database_module
from mstbucket.pg.database import Database

FAILOVERS: Final = int(os.environ.get("MSTBUCKET_TEST_FAILOVERS", "5"))
WRITERS: Final = 3
SETTINGS: Final = """
listen_addresses = ''
wal_level = replica
track_commit_timestamp = on
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
max_wal_size = 256MB
"""
Until = Callable[[Callable[[], object], str], object]


class Server:
    """One server in a directory, its socket in another."""

    def __init__(self, top: Path, name: str, options: dict[str, Any]) -> None:
        self.name = name
        self.data = top / name
        self.socket = top / f"{name}.socket"
        self.socket.mkdir(exist_ok=True)
        self.url = f"host={self.socket} port=5432 user=mstbucket dbname=postgres"
        self._options = options
        self._log = top / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, program: str, *arguments: object) -> None:
        """One of the server's programs, to its end."""
        command = [str(binaries.find() / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._options)
        assert done.returncode == 0, done.stderr

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        command = [str(binaries.find() / "postgres"), "-D", str(self.data), "-k", str(self.socket)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([*command, *(word for one in settings for word in ("-c", one))],
                                            stdout=log, stderr=log, start_new_session=True, **self._options)  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)

    def ask(self, statement: str) -> Any:
        """The first value of an answer."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description is not None else None
            return None if row is None else row[0]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """By default the postmaster alone, by SIGKILL: its children notice and end."""
        if self.process is not None:
            os.kill(self.process.pid, number)
            self.process.wait()
            self.process = None


class Pair:
    """A primary with a synchronous standby."""

    def __init__(self, top: Path, options: dict[str, Any]) -> None:
        self._top = top
        self._options = options
        self._count = 1
        self.primary = Server(top, "s1", options)
        self.primary.run("initdb", "-D", self.primary.data, "-U", "mstbucket", "-A", "trust", "-E", "UTF8", "--no-sync")
        with (self.primary.data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        self.primary.start()
        self.standby = self._follow()

    def _follow(self) -> Server:
        """A standby of the primary, without which the primary acknowledges nothing from now on."""
        self._count += 1
        made = Server(self._top, f"s{self._count}", self._options)
        made.run("pg_basebackup", "-d", self.primary.url, "-D", made.data, "-R", "-c", "fast", "-X", "stream", "--no-sync")
        made.start(f"primary_conninfo={self.primary.url} application_name={made.name}")
        self.primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{made.name}'")
        self.primary.ask("SELECT pg_reload_conf()")
        while self.primary.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != 1:
            time.sleep(0.02)
        return made

    @property
    def url(self) -> str:
        """The address that stays, whoever is the primary."""
        hosts = f"host={self.primary.socket},{self.standby.socket} port=5432,5432"
        return f"{hosts} user=mstbucket dbname=postgres target_session_attrs=read-write"

    def take_over(self) -> None:
        """The primary is killed, and the standby takes its place; nobody follows it yet."""
        self.primary.kill()
        self.standby.ask("SELECT pg_promote()")
        self.primary = self.standby

    def follow_again(self) -> None:
        """The new primary gets a standby, too."""
        self.standby = self._follow()

    def end(self) -> None:
        """Leave nothing running."""
        for server in {self.primary, self.standby}:
            server.kill(signal.SIGQUIT)


@pytest.fixture
def pair(top: Path, unprivileged: dict[str, Any]) -> Iterator[Pair]:
    """Two servers, the first of them the primary."""
    made = Pair(top, unprivileged)
    yield made
    made.end()


class Writers:
    """Threads that put under keys of their own, one number after the other, and what they were told."""

    def __init__(self, bucket: mstbucket.Bucket) -> None:
        self._bucket = bucket
        self._end = threading.Event()
        self.acknowledged = [0] * WRITERS
        self.tried = [0] * WRITERS
        self.bugs: list[BaseException] = []
        self.unknown = 0
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int) -> None:
        while not self._end.is_set():
            self.tried[number] += 1
            try:
                self._bucket.put_object(f"{number}", b"%d" % self.tried[number])
                self.acknowledged[number] = self.tried[number]
            except errors.OutcomeUnknown:
                self.unknown += 1
            except errors.StorageError:
                time.sleep(0.01)
            except BaseException as error:
                self.bugs.append(error)
                return

    def await_progress(self, until: Until) -> None:
        """Until each has been told something new."""
        before = list(self.acknowledged)
        until(lambda: self.bugs or all(now > then for now, then in zip(self.acknowledged, before, strict=True)), "progress")
        assert not self.bugs, self.bugs

    def stop(self) -> None:
        """Stop them, and judge: each key holds what was acknowledged last, or something later that was tried."""
        self._end.set()
        for thread in self._threads:
            thread.join()
        for number in range(WRITERS):
            held = int(self._bucket.get_object(f"{number}").read())
            assert self.acknowledged[number] <= held <= self.tried[number]


def fail_over(pair: Pair, top: Path, until: Until, times: int) -> None:
    """Load, and as many take-overs."""
    for _ in range(times):
        with mstbucket.open(database=pair.url, blobs=top / "blobs", background=False) as store:
            if not store.list_buckets():
                store.create_bucket("things").put_object("large", b"large" * 100_000)
            identity, bucket = store.identity, store.bucket("things")
            writers = Writers(bucket)
            try:
                writers.await_progress(until)
                sequence = bucket.flush().seq
                writers.await_progress(until)
                pair.take_over()
                writers.await_progress(until)  # the same store object, behind the same address
            finally:
                writers.stop()
            assert store.identity == identity
            assert bucket.flush().seq >= sequence
            print(f"{writers.acknowledged} acknowledged, {writers.unknown} of unknown outcome")
        with mstbucket.open(database=pair.url, blobs=top / "blobs", background=False) as store:
            assert store.identity == identity
            assert store.bucket("things").get_object("large").read() == b"large" * 100_000
            assert [one for one in store.check("data").findings if one.severity == "damage"] == []
        pair.follow_again()


def test_a_standby_is_refused_and_said(pair: Pair, top: Path) -> None:
    """[PG-14]: by the library, by the doctor, and where the address says what it wants."""
    with mstbucket.open(database=pair.url, blobs=top / "blobs", background=False):
        pass
    with pytest.raises(errors.StorageError, match=r"is a standby.*name the primary"):
        mstbucket.open(database=pair.standby.url, blobs=top / "blobs")
    with pytest.raises(errors.StorageError, match=r"standby|read-only"):
        mstbucket.open(database=f"{pair.standby.url} target_session_attrs=read-write", blobs=top / "blobs")
    environment = os.environ | {"MSTBUCKET_DATABASE": pair.standby.url, "MSTBUCKET_BLOBS": str(top / "blobs")}
    done = subprocess.run([sys.executable, "-m", "mstbucket.cli", "doctor"], env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 6, done.stdout
    assert "standby" in done.stderr
    shutil.rmtree(top / "blobs")


def test_a_standby_takes_over_in_mid_load(pair: Pair, top: Path, until: Until) -> None:
    """[PG-8] [PG-12] [PG-13]"""
    fail_over(pair, top, until, 1)


@pytest.mark.slow
@pytest.mark.timeout(300 + 120 * FAILOVERS)
def test_standbys_take_over_again_and_again(pair: Pair, top: Path, until: Until) -> None:
    """[PG-8] [PG-12] [PG-13]"""
    fail_over(pair, top, until, FAILOVERS)


@pytest.fixture
def proxy(pair: Pair, top: Path, load_server: Callable[[str], Any]) -> Iterator[Any]:
    """What stands before the primary, and loses a COMMIT or the answer to it."""
    (top / "proxy").mkdir()
    made = load_server("commit_proxy").Proxy(top / "proxy", pair.primary.url)
    yield made
    made.close()


@pytest.mark.parametrize("arrives", [True, False], ids=["it arrived", "it never arrived"])
def test_a_commit_lost_with_the_primary_is_not_guessed(
    pair: Pair, top: Path, proxy: Any, until: Until, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PG-13]: the standby may have it, and may have another transaction with its number: nobody says "nothing was done"."""
    with Database(pair.primary.url) as setup, setup.connection() as connection:
        connection.execute("CREATE SCHEMA mstbucket")
        connection.execute("CREATE TABLE t (n int PRIMARY KEY)")
    behind = pair.url.replace(str(pair.primary.socket), str(top / "proxy"))
    monkeypatch.setattr(database_module, "RETURN_SECONDS", 120.0)

    def take_over() -> None:
        if arrives:
            until(lambda: pair.standby.ask("SELECT count(*) FROM mstbucket.t") == 1, "the standby to have it")
        pair.take_over()

    taking_over = threading.Thread(target=take_over)

    def crash() -> bool:
        proxy.refuse = True  # from here on nobody comes to the primary, alive or not
        if not arrives:
            pair.primary.kill()
        taking_over.start()
        return arrives

    proxy.at_commit = crash
    with Database(behind) as client:
        with pytest.raises(errors.StorageError) as raised, client.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
        taking_over.join()
        with client.transaction() as connection:
            there = connection.execute("SELECT n FROM t").fetchall()
            connection.execute("INSERT INTO t VALUES (2)")
    assert there == [(1,)] * arrives
    assert type(raised.value) is (errors.OutcomeUnknown if arrives else errors.StorageError)
