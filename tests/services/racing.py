"""Others work on a store, again and again, each on a thread of its own, while it is checked."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
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
