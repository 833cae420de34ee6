"""Others work on a store: on threads, again and again, while it is checked; or in processes that begin at once."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mstbucket.errors import Conflict, NotFound

Step = Callable[[random.Random], object]


@contextmanager
def repeating(*steps: Step, lost: tuple[type[Exception], ...] = (Conflict, NotFound)) -> Iterator[None]:
    """Repeat each step on its own thread until the block ends. A *lost* race is tried again; other errors fail the test."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def repeat(seed: int, step: Step) -> None:
        numbers = random.Random(seed)
        try:
            while not stop.is_set():
                try:
                    step(numbers)
                except lost:
                    continue
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=repeat, args=given) for given in enumerate(steps)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed, failed


def run_at_once(programs: Iterable[Sequence[str]]) -> list[str]:
    """Run programs of Python, each a text and its arguments, in processes of their own; return what each printed.

    A program says "ready", and begins when it reads a line: all at once. Every one has to end with 0.
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for program in programs
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed
