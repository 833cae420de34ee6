"""A look at an embedded server each second: what stands still is killed, since it would not move again.

Standard library only, as all that `supervisor.py` imports.
"""

from __future__ import annotations

import time

from mstbucket.pg import processes
from mstbucket.pg.processes import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    class Supervisor(Protocol):
        """What `watch` needs of one: the data, the number of the server's process, and whether it is to end."""

        data: str
        pid: int | None
        ending: bool

        def signal(self, number: int) -> None: ...

STUCK_LOOKS: Final = 3  # a server that stood still at so many looks in a row will not move again
LOOK_SECONDS: Final = 1.0
_BUSY: Final = (b"startup", b"walwriter")  # who recovers the data, and who writes the log: there is always one of them


def watch(supervisor: Supervisor) -> None:
    """Kill the server of a supervisor when it stands still. In a thread of its own, for ever.

    [PG-19] PostgreSQL takes no notice of a death while it replaces what an earlier one took along. If the process that
    recovers is killed then, the server waits for it without end, and refuses everybody until it is killed itself.
    """
    still, busy = 0, 0
    while True:
        time.sleep(LOOK_SECONDS)
        pid = None if supervisor.ending else supervisor.pid
        family = [] if pid is None else processes.children(pid)
        if busy not in family or not is_busy(busy):  # asked again: one that nobody has noticed the death of is listed too
            busy = next((child for child in family if is_busy(child)), 0)
        idle = family and not busy and processes.state(supervisor.data) != processes.SHUTTING_DOWN
        still = still + 1 if idle else 0
        if still == STUCK_LOOKS:
            supervisor.signal(SIGKILL)


def is_busy(pid: int) -> bool:
    """Whether a process calls itself one that recovers the data or writes the log."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            title = file.read()
    except OSError:
        return False  # gone
    return title.startswith(b"postgres: ") and any(word in title for word in _BUSY)
