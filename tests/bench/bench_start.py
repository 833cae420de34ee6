"""How long a command takes from nothing to nothing: its process, its imports, its server, its exit.

Whole processes, in turns with their floors. Wall time is what a user waits; processor time is the command's own process (the
server is another's child). The floor of a command is the plainest program that asks Postgres anything through the same
driver, and with the server down the bare server started before it and stopped after it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench_postgres import bare_postgres
from rows import Row

import mstbucket

ROUNDS = 12
_COMMAND = [sys.executable, "-m", "mstbucket"]
_SECONDS = {"--help": 0.06, "server up": 0.15, "server down": 0.25}  # wanted, on a quiet machine
_CPU_MOST = {"--help": 5.0, "server up": 1.5, "server down": 1.5}  # times the floor
_ASK = "import psycopg; psycopg.connect({!r}, autocommit=True).execute('SELECT 1').fetchone()"


def run() -> list[Row]:
    """The three kinds of start, by the wall and by processor time."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = f"{folder}/store"
        # As installed: with bytecode, which a development environment may have switched off.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": f"{folder}/bytecode", "MSTBUCKET_STORE": store}
        environment["PYTHONPATH"] = str(Path(mstbucket.__file__).parents[1])
        with mstbucket.open(store, background=False) as opened:
            opened.create_bucket("photos").put_object("2026/note.txt", b"first light at six\n")
        listing = [*_COMMAND, "ls", "mst://photos"]
        down = _turns(
            lambda: _spent(listing, environment), lambda: _bare_around(f"{store}/postgres/data", folder, environment)
        )
        with mstbucket.open(store, background=False) as opened:
            asking = [sys.executable, "-c", _ASK.format(opened.conninfo())]
            up = _turns(lambda: _spent(listing, environment), lambda: _spent(asking, environment))
        helped = _turns(
            lambda: _spent([*_COMMAND, "--help"], environment),
            lambda: _spent([sys.executable, "-c", "pass"], environment),
        )
    return [
        *_rows("--help", "python -c pass", helped),
        *_rows("server up", "psycopg: SELECT 1", up),
        *_rows("server down", "that, in a bare postgres", down),
    ]


_Spent = tuple[float, float]


def _turns(ours: Callable[[], _Spent], floor: Callable[[], _Spent]) -> tuple[_Spent, _Spent]:
    """The least wall and processor seconds of both, taken in turns after one of each that does not count."""
    spent = [(ours(), floor()) for _ in range(ROUNDS + 1)][1:]
    return _least([pair[0] for pair in spent]), _least([pair[1] for pair in spent])


def _least(spent: list[_Spent]) -> _Spent:
    return min(wall for wall, _ in spent), min(cpu for _, cpu in spent)


def _spent(arguments: list[str], environment: Mapping[str, str]) -> _Spent:
    """Wall and processor seconds of a process and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _bare_around(data: str, sockets: str, environment: Mapping[str, str]) -> _Spent:
    """The plainest program between a bare server's start and its end; the processor time is the program's alone."""
    start = time.perf_counter()
    with bare_postgres(Path(data), Path(sockets)):
        asking = _ASK.format(f"host={sockets} port=5432 user=mstbucket dbname=postgres")
        _, cpu = _spent([sys.executable, "-c", asking], environment)
    return time.perf_counter() - start, cpu


def _rows(name: str, floor_name: str, measured: tuple[_Spent, _Spent]) -> list[Row]:
    (wall, cpu), (wall_floor, cpu_floor) = measured
    most, times = _SECONDS[name] * 1000, _CPU_MOST[name]
    name = f"command, {name}"
    return [
        Row(f"{name}: wall", wall * 1000, "ms", floor_name, wall / wall_floor, f"<= {most:g} ms", wall * 1000 <= most),
        Row(f"{name}: processor", cpu * 1000, "ms", floor_name, cpu / cpu_floor, f"<= {times:g}x", cpu <= times * cpu_floor),
    ]
