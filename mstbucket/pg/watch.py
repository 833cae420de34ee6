"""A look at an embedded server each second: what does not move is killed, since it would not move again.

Standard library only, as all that `supervisor.py` imports.
"""

from __future__ import annotations

import os
import time

from mstbucket.pg import processes
from mstbucket.pg.processes import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn, Protocol

    class Supervisor(Protocol):
        """What `Watch` needs of one: the data, the number of the server's process, and whether it is to end."""

        data: str
        pid: int | None
        ending: bool

        def signal(self, number: int) -> None: ...

STUCK_LOOKS: Final = 3  # what stood still at so many looks in a row will not move again
LOOK_SECONDS: Final = 1.0
_BUSY: Final = (b"startup", b"walwriter")  # who recovers the data, and who writes the log: there is always one of them


class Watch:
    """What was seen of one supervisor's children so far."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._still = 0  # looks in a row
        self._busy = 0  # the process that was busy at the last look
        self._stopped: dict[int, int] = {}  # looks in a row, by process
        self._next = 0.0

    def forever(self) -> NoReturn:
        """Look each second, in a thread of its own."""
        while True:
            time.sleep(LOOK_SECONDS)
            self._look_for_stopped()
            self._look_for_busy()

    def starting(self) -> None:
        """For a loop that waits for a program, the server or another, to be called as often as it likes."""
        if time.monotonic() > self._next:
            self._next = time.monotonic() + LOOK_SECONDS
            self._look_for_stopped()

    def _look_for_stopped(self) -> None:
        """Kill what is stopped, as by SIGSTOP, and so keeps everybody waiting.

        [PG-32] The postmaster replaces one that was killed, and the supervisor replaces the postmaster.
        """
        ours = processes.children(os.getpid())
        family = {child: pid for pid in ours for child in processes.children(pid)} | dict.fromkeys(ours, os.getpid())
        self._stopped = {pid: self._stopped.get(pid, 0) + 1 for pid in family if processes.is_stopped(pid)}
        for pid, looks in self._stopped.items():
            if looks >= STUCK_LOOKS:
                processes.signal_if(pid, SIGKILL, lambda pid: self._is_stopped_child(pid, family))

    def _is_stopped_child(self, pid: int, family: dict[int, int]) -> bool:
        return processes.is_stopped(pid) and processes.parent_of(pid) == family[pid]

    def _look_for_busy(self) -> None:
        """Kill the server when it stands still.

        [PG-19] PostgreSQL takes no notice of a death while it replaces what an earlier one took along. If the process that
        recovers is killed then, the server waits for it without end, and refuses everybody until it is killed itself.
        """
        pid = None if self._supervisor.ending else self._supervisor.pid
        family = [] if pid is None else processes.children(pid)
        if self._busy not in family or not is_busy(self._busy):  # asked again: a death that nobody noticed is listed too
            self._busy = next((child for child in family if is_busy(child)), 0)
        idle = family and not self._busy and processes.state(self._supervisor.data) != processes.SHUTTING_DOWN
        self._still = self._still + 1 if idle else 0
        if self._still == STUCK_LOOKS:
            self._supervisor.signal(SIGKILL)


def is_busy(pid: int) -> bool:
    """Whether a process calls itself one that recovers the data or writes the log."""
    title = processes.words(pid)[:1]
    return bool(title) and title[0].startswith(b"postgres: ") and any(word in title[0] for word in _BUSY)
