"""The processes that work on one server's data: which they are, and how they are brought to an end.

Standard library and `identity.py` only: `supervisor.py` imports this without site-packages. A process is ours
when it holds the flock on `server.lock`, which only the server's own processes inherit. A number in `postmaster.pid`
proves nothing: it may belong to any other process by now.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
import time
from contextlib import suppress

from mstbucket.pg.identity import become

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    class Supervisor(Protocol):
        """What `watch` needs of one: the data, the number of the server's process, and whether it is to end."""

        data: str
        pid: int | None
        ending: bool

        def signal(self, number: int) -> None: ...

SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM = 1, 2, 3, 9, 15  # numbers that POSIX fixes
POLL_SECONDS: Final = 0.002
# [PG-6] What each way of ending is given, in seconds. A fast shutdown: to end the sessions and begin the last checkpoint,
# and in all when that has begun. Less while somebody waits to open: nothing is lost, and recovery does the rest.
UNHURRIED: Final = (8.0, 60.0)
HURRIED: Final = (2.0, 10.0)
QUIT_SECONDS: Final = 6.0  # a postmaster gives its own children 5 before it kills them
KILL_SECONDS: Final = 5.0
STUCK_LOOKS, LOOK_SECONDS = 3, 1.0  # a server that stood still at so many looks in a row will not move again
_SHUTTING_DOWN, _CRASH_RECOVERY = 3, 4  # of the states in pg_control, the same in all versions
_STATE: Final = slice(16, 20)  # after the system's number and two versions


class Failed(Exception):
    """What the client that started the supervisor will read."""


def end(data: str, send: Callable[[int], object], ended: Callable[[], bool], patience: tuple[float, float]) -> bool:
    """End a server: fast, then without a checkpoint, then by force. False if it lives on.

    *send* gives it a signal, *ended* says whether it is gone; *patience* is `UNHURRIED` or `HURRIED`.
    """
    send(SIGINT)
    began = time.monotonic()
    while not ended():
        state, lasted = _state(data), time.monotonic() - began
        # A fast shutdown that comes while the server recovers from a crash can wait for ever, and there is nothing
        # to be written down then that the next start would not read from the log.
        if state == _CRASH_RECOVERY or lasted > patience[state == _SHUTTING_DOWN]:
            break
        time.sleep(POLL_SECONDS)
    for number, seconds in ((SIGQUIT, QUIT_SECONDS), (SIGKILL, KILL_SECONDS)):
        deadline = time.monotonic() + seconds
        sent = 0.0
        while not ended():
            now = time.monotonic()
            if now > deadline:
                break
            if now - sent > 0.2:  # more than once: the killed may have had children on the way
                send(number)
                sent = now
            time.sleep(POLL_SECONDS)
    return ended()


def clear(lock: int, data: str) -> None:
    """Take *lock*, an open `server.lock`, exclusively: then no process works on *data*. Ends those that do.

    Raises:
        Failed: they do not end, or cannot be seen.
    """
    if _take(lock):
        return

    def is_ours(pid: int) -> bool:
        return sys.platform != "linux" or bool(holders(lock, [pid]))

    def send(number: int) -> None:
        postmaster = server_of(data)
        known = [postmaster] if postmaster is not None and is_ours(postmaster) else []
        # To an orphaned backend SIGINT would mean something else. SIGKILL is for all, since nobody passes it on.
        for pid in known if number == SIGINT or (number == SIGQUIT and known) else holders(lock) or known:
            signal_if(pid, number, is_ours)

    if not end(data, lambda number: _as_owner(data, lambda: send(number)), lambda: _take(lock), HURRIED):
        left = ", ".join(map(str, holders(lock))) or "in another container perhaps"
        raise Failed(f"an earlier server still works on {data} and does not end (processes: {left}): end it")


def _as_owner(data: str, act: Callable[[], object]) -> None:
    """Do something with the rights of whoever the data belongs to, when we are root and that is another user.

    Root may signal its processes, but in a container it may not see what they have open.
    """
    owner = os.stat(data).st_uid if os.path.exists(data) else 0
    if os.geteuid() != 0 or owner == 0:
        act()
        return
    import signal  # noqa: F401 - while the library can be read for certain

    pid = os.fork()
    if pid == 0:
        try:
            become(owner)
            act()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def watch(supervisor: Supervisor) -> None:
    """Kill the server of a supervisor when it stands still. In a thread of its own, for ever.

    [PG-19] PostgreSQL takes no notice of a death while it replaces what an earlier one took along. If the process that
    recovers is killed then, the server waits for it without end, and refuses everybody until it is killed itself.
    """
    still = 0
    while True:
        time.sleep(LOOK_SECONDS)
        pid = None if supervisor.ending else supervisor.pid
        idle = pid is not None and _stands_still(pid) and _state(supervisor.data) != _SHUTTING_DOWN
        still = still + 1 if idle else 0
        if still == STUCK_LOOKS:
            supervisor.signal(SIGKILL)


def _stands_still(postmaster: int) -> bool:
    """Whether nobody recovers the data, and nobody writes the log either, as there is always one who does."""
    if sys.platform != "linux" or _works(_listed(postmaster)):
        return False
    children = _children(postmaster)  # the kernel's list may leave some out while others end
    return bool(children) and not _works(children)


def _works(children: list[int]) -> bool:
    """Whether one of these processes recovers the data or writes the log, by what they call themselves."""
    for child in children:
        with suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as file:  # else it is gone
            title = file.read()
            if b"startup" in title or b"walwriter" in title:
                return True
    return False


def _listed(parent: int) -> list[int]:
    """The children of a process of one thread, as the kernel lists them at once; none where it has no such list."""
    with suppress(OSError), open(f"/proc/{parent}/task/{parent}/children", "rb") as file:
        return list(map(int, file.read().split()))
    return []


def _children(parent: int) -> list[int]:
    """The children of a process: every process is asked for its parent."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(int(name)) == parent]


def _parent(pid: int) -> int | None:
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
    return None


def holders(lock: int, among: list[int] | None = None) -> list[int]:
    """The processes, without this one, that hold the flock of this open file; of those in *among*, if it is given."""
    if sys.platform != "linux":
        return []
    wanted = os.fstat(lock)
    candidates = [int(name) for name in os.listdir("/proc") if name.isdigit()] if among is None else among
    return [pid for pid in candidates if pid != os.getpid() and _holds(pid, wanted)]


def _holds(pid: int, wanted: os.stat_result) -> bool:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found = os.stat(f"/proc/{pid}/fd/{fd}")
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    # Open is not enough: a program that makes a backup has it open too.
                    with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
                        if b"FLOCK" in file.read():
                            return True
            except FileNotFoundError:
                continue  # closed meanwhile
    except OSError:
        pass  # gone, or another user's
    return False


def server_of(data: str) -> int | None:
    """The process that `postmaster.pid` names, if it is alive and a server of this data directory."""
    try:
        with open(os.path.join(data, "postmaster.pid"), "rb") as file:
            pid = int(file.readline())
        if pid <= 1:
            return None
        if sys.platform == "linux":
            return pid if os.path.samefile(f"/proc/{pid}/cwd", data) else None
        with os.popen(f"ps -o command= -p {pid}") as answer:
            return pid if data in answer.read() else None
    except (OSError, ValueError):
        return None  # no such process, or another user's


def signal_if(pid: int, number: int, meant: Callable[[int], bool]) -> None:
    """Send a signal to a process if it is the one that is *meant*; never to another that has got its number."""
    import signal  # here, since it costs 3 ms and is seldom needed

    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):  # an old kernel, or another system
        handle = -1
    try:
        # In this order: what is asked about now was the process of the handle, or the handle's process is gone.
        if not meant(pid):
            return
        if handle >= 0:
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone; or of another user, which `clear` reports at its end
    finally:
        if handle >= 0:
            os.close(handle)


def forget_shared_memory(data: str) -> None:
    """Remove the 56 bytes of System V shared memory that a killed server leaves; the kernel would keep them."""
    try:
        with open(os.path.join(data, "postmaster.pid"), "rb") as file:
            key_and_number = file.read().split(b"\n")[6].split()
        with open("/proc/sysvipc/shm", "rb") as table:
            known = [(line.split()[:2], line.split()[6]) for line in table]
    except (OSError, IndexError):
        return  # it had none yet, or the system does not show them
    if (key_and_number, b"0") in known:  # attached to nothing: after a restart of the system it may be another's
        ctypes.CDLL(None).shmctl(int(key_and_number[1]), 0, None)  # 0 is IPC_RMID


def remove_sockets(place: str) -> None:
    """Remove what a server leaves where its socket was."""
    for name in os.listdir(place):
        if name.startswith(".s.PGSQL"):
            os.unlink(os.path.join(place, name))


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _state(data: str) -> int | None:
    """The state of the cluster as its server has last written it down."""
    try:
        with open(os.path.join(data, "global", "pg_control"), "rb") as file:
            return int.from_bytes(file.read(_STATE.stop)[_STATE], sys.byteorder)
    except OSError:
        return None
