"""One line of a table of figures, and the clocks they are taken with."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, the floor it was measured beside in the same run, their ratio, and what it should be.

    The floor is work that cannot be left out (hashing the same bytes, say). Ratios can be compared between machines,
    values cannot. `target` is prose, `met` says whether it holds.
    """

    name: str
    value: float
    unit: str
    floor_name: str
    ratio: float
    target: str
    met: bool


def wall_seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """Return the least time of *repeat* runs of *work* by the clock, in seconds."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def cpu_seconds(work: Callable[[], object], repeat: int = 5) -> float:
    """Return the least CPU time of *repeat* runs of *work*, in seconds.

    What the caller holds already is hidden from the garbage collector first, so that the benchmark's own data does not
    count as the work's; what the work itself makes it scan does.
    """
    gc.collect()
    gc.freeze()
    best = float("inf")
    try:
        for _ in range(repeat):
            start = time.process_time()
            work()
            best = min(best, time.process_time() - start)
    finally:
        gc.unfreeze()
    return best
