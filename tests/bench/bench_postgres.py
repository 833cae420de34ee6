"""The embedded server's starts, and what the door to PostgreSQL adds to a statement, each beside its floor.

Wall time, since other processes do the work; the least of several runs, since other processes disturb it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from rows import Row

from mstbucket.pg import binaries, settings, supervisor
from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.identity import enter_namespace

STARTS = 15
STATEMENTS = 2000


def run() -> list[Row]:
    """All figures of the Postgres edge."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        return [_cold(Path(folder)), _warm(server), *_statements(server)]


def _ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def _row(name: str, value: float, unit: str, floor_name: str, floor: float, most: float) -> Row:
    ratio = value / floor
    return Row(name, value, unit, floor_name, ratio, f"<= {most:g}x", ratio <= most)


def _bare(arguments: list[str]) -> subprocess.Popen[bytes]:
    """A program of PostgreSQL as a user that it accepts, its output thrown away."""
    as_user = enter_namespace if _root() else None
    return subprocess.Popen(
        arguments,
        preexec_fn=as_user,  # noqa: PLW1509 - there are no threads here
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _root() -> bool:
    return Path("/proc/self").stat().st_uid == 0


def _cold(folder: Path) -> Row:
    place = binaries.find()
    arguments = [str(place / "initdb"), *settings.initdb(binaries.major(place))]
    floor = min(_ms(lambda n=n: _bare([*arguments, "-D", f"{folder}/bare{n}"]).wait()) for n in range(3))  # type: ignore[misc]
    ours = []
    for n in range(3):
        server = EmbeddedPostgres(folder / f"cold{n}")
        ours.append(_ms(server.start))
        server.close()
        server.await_stopped()
    return _row("first start in a directory", min(ours), "ms", "initdb alone", floor, 1.5)


@cache
def _server() -> tuple[str, ...]:
    place = binaries.find()
    chosen = settings.server(binaries.major(place))
    return str(place / "postgres"), *(f"--{name}={value}" for name, value in chosen.items())


@contextlib.contextmanager
def bare_postgres(data: Path, sockets: Path) -> Iterator[None]:
    """A server with our settings and nothing around it, from when it is ready until it has ended."""
    program, *arguments = _server()
    process = _bare([program, "-D", str(data), f"--unix_socket_directories={sockets}", *arguments])
    pid_file = data / "postmaster.pid"
    while not (pid_file.exists() and b"ready" in pid_file.read_bytes()):
        time.sleep(supervisor.POLL_SECONDS)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _warm(server: EmbeddedPostgres) -> Row:
    server.start()
    server.close()
    server.await_stopped()
    data, sockets = server.directory / "data", server.directory / "run"
    _server()  # asked once, and not in what is measured
    floors, ours = [], []
    for _ in range(STARTS):
        start = time.perf_counter()
        with bare_postgres(data, sockets):
            floors.append((time.perf_counter() - start) * 1000)
        ours.append(_ms(server.start))
        server.close()
        server.await_stopped()
    return _row("start with data", min(ours), "ms", "bare postgres until ready", min(floors), 3)


def _statements(server: EmbeddedPostgres) -> list[Row]:
    with Database(server.start()) as db:

        def through_the_door() -> None:
            for _ in range(STATEMENTS):
                with db.reading() as connection:
                    connection.execute("SELECT 1").fetchone()

        with db.reading() as held:

            def bare() -> None:
                for _ in range(STATEMENTS):
                    held.execute("SELECT 1").fetchone()

            floor = min(_ms(bare) for _ in range(3))
        ours = min(_ms(through_the_door) for _ in range(3))
        again = min(_ms(server.start) for _ in range(100))
        probe = min(_ms((server.directory / "run" / "ready.lock").read_bytes) for _ in range(100))
    server.close()
    server.await_stopped()
    return [
        _row(
            "a statement on a lent connection", ours * 1000 / STATEMENTS, "µs", "psycopg alone", floor * 1000 / STATEMENTS, 2
        ),
        _row("start of a running server", again * 1000, "µs", "reading a small file", probe * 1000, 5),
    ]
