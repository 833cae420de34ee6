"""Writers beside collections: rates in turn, and the CPU time of each put, here and in the server's sessions for it.

On two cores whoever computes takes a core from eight writers, whatever it computes. So a rate says how the cores were
shared, and the CPU time of a put says what the collection costs the writers: blocks touched again, locks, misses.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg

import mstbucket
from mstbucket.errors import Conflict

WRITERS = 8
_TICK = os.sysconf("SC_CLK_TCK")
_NAME = "collecting"  # of the other process's sessions


@dataclass(frozen=True, slots=True)
class Window:
    """What eight writers did in some seconds: puts, CPU seconds for them here and on the server, and the longest put."""

    seconds: float
    puts: int
    client: float
    server: float
    longest: float

    @property
    def rate(self) -> float:
        """Puts in a second."""
        return self.puts / self.seconds

    @property
    def cpu(self) -> float:
        """CPU time of a put, in us."""
        return 1e6 * (self.client + self.server) / self.puts


@dataclass(frozen=True, slots=True)
class Cycles:
    """What a collector did: cycles, CPU seconds of its process and of its sessions, and seconds until the last one ended."""

    count: int
    cpu: float
    seconds: float


def write(store: mstbucket.Store, seconds: float) -> Window:
    """Eight threads put small bodies for a while."""
    counts, longest = [0] * WRITERS, [0.0] * WRITERS
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        bucket = store.bucket("written")
        while (start := time.monotonic()) < end:
            bucket.put_object(f"{number}/{counts[number] % 500}", b"%d" % counts[number] * 100)
            counts[number] += 1
            longest[number] = max(longest[number], time.monotonic() - start)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WRITERS)]
    with sessions(store) as asked:
        client, server, start = time.process_time(), asked(False), time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.monotonic() - start
        return Window(taken, sum(counts), time.process_time() - client, asked(False) - server, max(longest))


@contextmanager
def sessions(store: mstbucket.Store) -> Iterator[Callable[[bool], float]]:
    """A function that gives the CPU seconds of the collector's sessions, or of those of all others."""
    with psycopg.connect(store.conninfo(), autocommit=True) as asking:

        def cpu(collector: bool) -> float:
            query = """
                SELECT pid FROM pg_stat_activity
                WHERE datname IS NOT NULL AND (application_name = %s) = %s AND pid <> %s
            """
            pids = asking.execute(query, (_NAME, collector, asking.info.backend_pid)).fetchall()
            return sum(_cpu_of(pid) for (pid,) in pids)

        yield cpu


def _cpu_of(pid: int) -> float:
    with suppress(OSError):
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICK
    return 0.0


class Other:
    """A process that collects one store when it is told to."""

    def __init__(self, store: mstbucket.Store, blobs: Path, work: Callable[[mstbucket.Store], object]) -> None:
        """*work* is one cycle; it can be imported by its name."""
        self._store = store
        context = multiprocessing.get_context("spawn")
        self._told, theirs = context.Pipe()
        url = psycopg.conninfo.make_conninfo(store.conninfo(), application_name=_NAME)
        self._process = context.Process(target=_collect_when_told, args=(url, blobs, theirs, work))
        self._process.start()
        self._told.recv()

    @contextmanager
    def collecting(self) -> Iterator[list[Cycles]]:
        """Have it collect without a pause; the list has what it did at the end."""
        done: list[Cycles] = []
        with sessions(self._store) as asked:
            before, start = asked(True), time.monotonic()
            self._told.send("go")
            try:
                yield done
            finally:
                self._told.send("stop")
                count, cpu = self._told.recv()
            done.append(Cycles(count, cpu + asked(True) - before, time.monotonic() - start))

    def close(self) -> None:
        self._told.send("end")
        self._process.join()


def _collect_when_told(url: str, blobs: Path, told: Connection, work: Callable[[mstbucket.Store], object]) -> None:
    with mstbucket.open(database=url, blobs=blobs, background=False) as store:
        work(store)  # the first one takes what was there before, and warms everything
        told.send("ready")
        while told.recv() == "go":
            start, count = time.process_time(), 0
            while not told.poll():
                with suppress(Conflict):
                    work(store)
                    count += 1
            told.recv()
            told.send((count, time.process_time() - start))


def in_turn(
    store: mstbucket.Store, other: Other, turns: int, seconds: float
) -> tuple[list[Window], list[Window], Cycles]:
    """Windows alone and beside the other, in turn: so what else the machine does falls on both."""
    alone, beside, cycles = [], [], []
    for _ in range(turns):
        alone.append(write(store, seconds))
        with other.collecting() as done:
            beside.append(write(store, seconds))
        cycles += done
    count, cpu, taken = (sum(values) for values in zip(*((one.count, one.cpu, one.seconds) for one in cycles), strict=True))
    return alone, beside, Cycles(int(count), cpu, taken)


def middle(windows: list[Window], what: Callable[[Window], float]) -> float:
    """The median of a figure."""
    return statistics.median(map(what, windows))
