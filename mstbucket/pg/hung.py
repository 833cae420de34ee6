"""A supervisor that does not move: found by its lock, and killed, so that its clients get another.

The kernel signals the server when its supervisor is killed, and the next supervisor ends what is left ([PG-6]). So nothing
is lost by that but time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mstbucket.pg import processes

_PROGRAM: Final = b"/supervisor.py"
LOCK: Final = "supervisor.lock"  # its text is the number of the process, a hint: only the lock proves anything


def is_known_stopped(run: Path) -> bool:
    """Whether the supervisor whose number is written down is stopped, as by SIGSTOP. Takes microseconds."""
    try:
        with open(run / LOCK, "rb", buffering=0) as file:
            pid = _number(file.read(32))
            return processes.is_stopped(pid) and _is_supervisor(file.fileno(), pid)
    except FileNotFoundError:
        return False


def kill_if_stopped(run: Path) -> None:
    """Kill the supervisor of this directory if it is stopped, as by SIGSTOP: it may stay so for ever."""
    _kill(run, processes.is_stopped)


def kill(run: Path) -> None:
    """Kill the supervisor of this directory, for somebody who has waited for it too long."""
    _kill(run, lambda pid: True)


def _kill(run: Path, meant: Callable[[int], bool]) -> None:
    with contextlib.suppress(FileNotFoundError), open(run / LOCK, "rb", buffering=0) as file:
        lock = file.fileno()

        def is_it(pid: int) -> bool:
            return _is_supervisor(lock, pid) and meant(pid)

        for pid in processes.holders(lock, [_number(file.read(32))]) or processes.holders(lock):
            # [PG-4] told by its lock, and asked about when the signal can reach no other process
            processes.signal_if(pid, processes.SIGKILL, is_it)


def _is_supervisor(lock: int, pid: int) -> bool:
    """Whether a process holds the lock and is no client: one that starts a supervisor has it for a moment."""
    return any(word.endswith(_PROGRAM) for word in processes.words(pid)) and bool(processes.holders(lock, [pid]))


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
