"""The process that keeps one embedded server: starts it, starts it again after a crash, stops it after the last client.

It is run by path: `python -I -S supervisor.py DIRECTORY PIPE LOCK`. The job is on its input, see `read_job`. So it can
import only a few files beside it, and the standard library. Of that it imports what is cheap: without json, signal and
typing it starts in a third of the time.

Four locks say what is true at any time. The kernel releases them however a process ends:

    clients.lock     shared by every client; this process waits for it exclusively, and then ends the server
    supervisor.lock  exclusive: taken by the client that starts this process, handed over, held until this process ends
    ready.lock       exclusive while the server answers; its text is the socket's directory
    server.lock      exclusive, inherited by every process that touches the data: free means that none is left

If this process dies, the kernel sends the server the signal for a fast shutdown (Linux: PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import _thread
import ctypes
import fcntl
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

if not __package__:
    # Run by path. The package itself would import what is not there without site-packages: stand in for it.
    for name, folder in (("mstbucket", ".."), ("mstbucket.pg", ".")):
        sys.modules[name] = type(sys)(name)
        sys.modules[name].__path__ = [os.path.join(os.path.dirname(__file__), folder)]

from mstbucket.pg import processes, trim  # noqa: E402
from mstbucket.pg.ownership import Ownership  # noqa: E402
from mstbucket.pg.processes import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, Failed  # noqa: E402
from mstbucket.pg.sockets import Sockets  # noqa: E402
from mstbucket.pg.watch import Watch  # noqa: E402

POLL_SECONDS: Final = 0.001  # while waiting for "ready" in postmaster.pid
CRASHES_MAX: Final = 5  # restarts; the count starts anew when a server has lived for CRASH_SECONDS
CRASH_SECONDS: Final = 60.0
START_SECONDS: Final = 580.0  # for initdb, and for recovery; a little less than clients wait
LOG_TAIL: Final = 2000  # bytes of the log that go into an error message
PR_SET_PDEATHSIG: Final = 1


class Crashed(Failed):
    """It was killed, so it may be tried again."""


class Supervisor:
    """The life of one server."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.data: str = job["data"]
        self.run: str = job["run"]
        self.ownership = Ownership()
        self.sockets = Sockets(self.run, self.ownership)
        self.watch = Watch(self)
        self.mutex = _thread.allocate_lock()  # over pid and ending
        self.pid: int | None = None
        self.ending = False
        self.server_lock = -1
        self.ready_lock = -1
        self.log_start = 0
        self.started = 0.0
        self.crashes = 0  # in a row

    # --- start ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring the server up, whatever state a crash left behind."""
        self.log_start = os.fstat(2).st_size
        # [PG-4] nothing touches the data while a process of an earlier server is alive
        if self.server_lock >= 0:
            os.close(self.server_lock)  # of an attempt that was cut short: it would be in our own way
        self.server_lock = self.open_lock("server.lock")
        processes.clear(self.server_lock, self.data)
        if os.geteuid() == 0:
            self.ownership.choose(self.job["root_as"], self.job["top"])
            self.ownership.own(self.job["directory"])
            self.ownership.own(self.run)
        self.sweep()
        if not os.path.exists(self.data):
            self.initialise()
        self.ownership.own_tree(self.data)
        if os.stat(self.data).st_mode & 0o077:
            os.chmod(self.data, 0o700)  # copied or unpacked here; PostgreSQL would refuse it
        self.sockets.make(self.job["sockets"])
        with self.mutex:
            if self.ending:
                self.leave(0)
            pid = self.pid = self.spawn(self.job["postgres"])
        self.started = time.monotonic()
        os.close(self.server_lock)  # from here on only the server holds it
        self.server_lock = -1
        self.await_ready(pid)
        self.publish()

    def open_lock(self, name: str) -> int:
        return os.open(os.path.join(self.run, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def sweep(self) -> None:
        """Remove what a killed predecessor left. server.lock says that none of its processes is alive."""
        # PostgreSQL refuses to start when some unrelated process has the stale number, so do not leave it to choose.
        # A server that was started by other means is another matter: its number is alive and stands in our directory.
        if processes.server_of(self.data) is not None:
            raise Failed("a server that mstbucket did not start is running on this data directory: stop it first")
        processes.forget_shared_memory(self.data)
        self.sockets.sweep()
        pid_file = os.path.join(self.data, "postmaster.pid")
        if os.path.lexists(pid_file):
            os.unlink(pid_file)
        # [PG-5] an initdb that did not come to its end is thrown away
        self.remove_tree(self.job["data_new"])

    def remove_tree(self, top: str) -> None:
        if os.path.isdir(top):
            import shutil

            shutil.rmtree(top)

    def initialise(self) -> None:
        """Make the data directory under another name, make it durable, then give it its name."""
        fresh = self.job["data_new"]
        os.mkdir(fresh, 0o700)
        self.ownership.own(fresh)
        pid = self.spawn([*self.job["initdb"], "-D", fresh])
        deadline = time.monotonic() + START_SECONDS
        while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, SIGKILL)  # a child that was not waited for: the number is still its own
            self.watch.starting()
            time.sleep(POLL_SECONDS)
        if ended[1] != 0:
            kind = Crashed if os.WIFSIGNALED(ended[1]) else Failed
            raise kind("initdb failed" + self.log_tail())
        os.rename(fresh, self.data)  # [PG-5] initdb has synced it
        parent = os.open(os.path.dirname(self.data), os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)

    def await_ready(self, pid: int) -> None:
        """Return when postmaster.pid says "ready"; recovery after a crash may take as long as it needs."""
        pid_file = os.path.join(self.data, "postmaster.pid")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with open(pid_file, "rb") as file:
                    lines = file.read().split(b"\n")
                if len(lines) >= 8 and lines[7].strip() == b"ready" and int(lines[0]) > 0:
                    return
            except (FileNotFoundError, ValueError):
                pass  # not written yet
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                kind = Crashed if os.WIFSIGNALED(self.await_end()) else Failed
                raise kind("the server did not start" + self.log_tail())
            if time.monotonic() > deadline:
                processes.end(self.data, self.signal, lambda: self.has_ended(pid), processes.HURRIED)
                self.await_end()
                raise Failed(f"the server has not come up within {START_SECONDS:.0f} seconds" + self.log_tail())
            self.watch.starting()
            time.sleep(POLL_SECONDS)

    def publish(self) -> None:
        self.ready_lock = self.open_lock("ready.lock")
        fcntl.flock(self.ready_lock, fcntl.LOCK_EX)  # last: whoever sees it held may read the text

    def log_tail(self) -> str:
        size = os.fstat(2).st_size
        with open(self.job["log"], "rb") as log:
            log.seek(max(self.log_start, size - LOG_TAIL))
            return ":\n" + log.read().decode(errors="replace").strip()

    def spawn(self, argv: list[str]) -> int:
        """Start a program that holds server.lock and ends when we end. Its output goes to the log."""
        parent = os.getpid()
        pid = os.fork()
        if pid != 0:
            return pid
        try:
            self.ownership.become()
            libc = ctypes.CDLL(None)
            for number in (SIGHUP, SIGINT, SIGQUIT, SIGTERM):
                libc.signal(number, None)  # the default: what a client ignores, as under nohup, must end the server
            # After every change of identity, since those clear it; then check that it was not too late already.
            if sys.platform == "linux":
                libc.prctl(PR_SET_PDEATHSIG, SIGINT, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)
            os.set_inheritable(self.server_lock, True)
            os.execve(argv[0], argv, dict(word.split("=", 1) for word in self.job["environment"]))
        except OSError as error:
            os.write(2, f"cannot run {argv[0]} as user {self.ownership.owner}: {error}\n".encode(errors="replace"))
        os._exit(126)

    # --- life and end --------------------------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Start the server, again when it was killed meanwhile."""
        # [PG-19] a crash is mended; a server that ended itself had a reason, which the next opener will be told
        while True:
            try:
                return self.start()
            except Crashed:
                self.crashes += 1
                if self.crashes > CRASHES_MAX or self.ending:
                    raise

    def keep(self) -> NoReturn:
        """Wait until the server ends; start it again when it was killed; end with it when it ended itself."""
        while True:
            status = self.await_end()
            os.close(self.ready_lock)  # nobody may take it for ready
            if time.monotonic() - self.started > CRASH_SECONDS:
                self.crashes = 0
            self.crashes += 1
            try:
                if not self.ending and os.WIFSIGNALED(status) and self.crashes <= CRASHES_MAX:
                    self.bring_up()
                    continue
                # What a killed server has left running must not outlive us, who are waited for.
                processes.clear(self.open_lock("server.lock"), self.data)
                trim.trim(self.data)
            except (Failed, OSError) as error:
                os.write(2, f"{error}\n".encode(errors="replace"))
            self.leave(0 if self.ending else 1)

    def await_end(self) -> int:
        """Wait for the server's end and give its wait status."""
        pid = self.pid
        assert pid is not None
        # Wait without reaping: until the mutex is held, the number must stay taken, since `await_last_client` may
        # be about to send a signal to it.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with self.mutex:
            self.pid = None
            status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            processes.forget_shared_memory(self.data)
        return status

    def signal(self, number: int) -> None:
        """Send the server a signal, if there is one."""
        with self.mutex:
            if self.pid is not None:
                os.kill(self.pid, number)

    def has_ended(self, pid: int) -> bool:
        """Whether our child has ended; it is not reaped by that."""
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def await_last_client(self, clients: int) -> None:
        """In a thread of its own: block until no process holds clients.lock, then end the server."""
        fcntl.flock(clients, fcntl.LOCK_EX)
        with self.mutex:
            self.ending = True
        processes.end(self.data, self.signal, lambda: self.pid is None, processes.UNHURRIED)

    def leave(self, code: int) -> NoReturn:
        """End this process. Releases every lock; what it made outside the directory is removed."""
        self.sockets.remove()
        os._exit(code)


def read_job(text: bytes) -> dict[str, Any]:
    """The job from words that each end in NUL: a name, "=" and its value, or a name, a number and so many values."""
    job: dict[str, Any] = {}
    words = iter(os.fsdecode(text).split("\0")[:-1])
    for name in words:
        count = next(words)
        job[name] = next(words) if count == "=" else [next(words) for _ in range(int(count))]
    return job


def report(pipe: int, text: str) -> None:
    """Tell the client that started us, if it is still there to hear it."""
    try:
        os.write(pipe, text.encode(errors="replace"))
    except BrokenPipeError:
        return  # [PG-31] killed, or closed before it needed the server; which ends in good order then, having no client
    finally:
        os.close(pipe)


def main() -> NoReturn:
    """Leave the client's session, start the server, report through the pipe, stay."""
    job, pipe, lock = read_job(sys.stdin.buffer.read()), int(sys.argv[2]), int(sys.argv[3])
    for fd in (pipe, lock):
        os.set_inheritable(fd, False)  # ours alone: held by the server they would outlive us
    if os.fork() != 0:
        os._exit(0)  # the client waits for this one only, so nobody has to reap the other
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)  # a hint for whoever wonders why we do not move
    os.umask(0o077)
    os.chdir(job["directory"])
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    supervisor = Supervisor(job)
    try:
        supervisor.bring_up()
    except (Failed, OSError) as error:
        report(pipe, str(error))
        supervisor.leave(1)
    except Exception as error:  # a defect, which must not be taken for a kill
        report(pipe, f"{type(error).__name__} in its supervisor: {error}")
        raise
    report(pipe, "ready")
    _thread.start_new_thread(supervisor.await_last_client, (supervisor.open_lock("clients.lock"),))
    _thread.start_new_thread(supervisor.watch.forever, ())
    supervisor.keep()


if __name__ == "__main__":
    main()
