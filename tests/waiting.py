"""Tests wait for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 120.0  # seconds, on a hang; only a failing test waits that long


def until(condition: Callable[[], T], what: str = "it came about") -> T:
    """Wait for a condition, and give what it found: asked once more, it might find something else."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain: {what}"
        time.sleep(0.01)
    return found
