"""An embedded PostgreSQL: one data directory, one server shared by all processes that have it open, none left behind.

Terminology: a *client* is a process that called `start` and has not ended or closed; the *supervisor* is the small
process that owns the server (`supervisor.py`, where the four locks are explained). Tricky bits:

* Counting clients is one shared `flock` each. The kernel drops it however a process ends, so nothing is ever counted
  wrongly. It is dropped by closing the descriptor, never by LOCK_UN: a forked child shares it and counts on.
* "Ready" is a lock too, held by the living supervisor, never a file that a crash could leave behind.
* The data directory is made under another name and renamed, so an interrupted initdb is no data directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from mstbucket.errors import InvalidInput, StorageError, Unsupported
from mstbucket.pg import binaries, hung, places, processes, settings
from mstbucket.pg.file_locks import POLL_SECONDS, lock_within, opened
from mstbucket.pg.launching import LOOK_SECONDS, START_SECONDS, Job, Launched, job

LOG_MAX: Final = 1 << 20  # bytes; past it, a start moves the log to server.log.1, so at most two such files stay
STOP_SECONDS: Final = 90.0  # for a server that is just being stopped
_DISK_FULL: Final = ("No space left on device", "Check free disk space")  # the kernel's words and the server's hint
KILLED_MAX: Final = 3  # supervisors in a row that are killed before they can say anything; then it is no accident


class EmbeddedPostgres:
    """The PostgreSQL server of one directory, shared with every other process that has the directory open.

    Several objects, threads, processes and forked children may use one directory at once. The directory holds `data`
    (the cluster), `run` (locks and socket) and `server.log`; nothing outside it is touched, except where its path is
    too long for a socket: then the socket is in a private directory under the system's temporary directory, which
    is removed with the server. The directory must be on a local file system.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        programs: str | os.PathLike[str] | None = None,
        root_as: Literal["namespace", "nobody"] | None = None,
        top: str | os.PathLike[str] | None = None,
    ) -> None:
        """Nothing happens before `start`.

        *programs* names the directory of `postgres` and `initdb` (default: `binaries.find`). *root_as* fixes how the
        server runs when we are root; by default in a user namespace, and as `nobody` where there are none. *top* is a
        directory above that belongs to the store alone: `nobody` is let pass through it.
        """
        if "\0" in os.fsdecode(directory):
            raise InvalidInput("a directory's name cannot hold the character NUL")
        self.directory = Path(os.path.realpath(directory))
        self._programs = programs
        self._root_as = root_as
        self._top = "" if top is None else os.path.realpath(top)
        self._clients: int | None = None
        self._launched: Launched | None = None
        self._guard = (os.getpid(), threading.Lock())

    def start(self) -> str:
        """Return the libpq connection string of the running server, after starting it if it is not running.

        Repeating the call is cheap (microseconds), and starts the server again if it has died. Warm about 40 ms, the
        first time in a directory about 400 ms; a crash recovery takes what it takes. What an earlier server has left
        running is ended first, by force where it does not end by itself: that takes 15 seconds at most.

        Raises:
            StorageError: the directory cannot be used or the server does not start; the message holds its log's end.
            Unsupported: no PostgreSQL is installed, or the data was made by another major version.
        """
        with self._starting():
            return self._await_server()

    def begin(self) -> None:
        """Have the server started if it is not running, and do not wait for it: `start` does.

        For whoever has something else to do meanwhile. What is begun is undone by `close`, as after `start`.

        Raises:
            StorageError, Unsupported: as `start`, as far as it is known already.
        """
        with self._starting():
            if self._ready() is None:
                self._launch_if_free()

    def conninfo(self) -> str:
        """The connection string, as `start` returns it, of a server that is in use; started again if it has died.

        Raises:
            StorageError: as `start`; or this object was not started, or is closed.
        """
        with self._mutex():
            if self._clients is None:
                raise StorageError(settings.CLOSED)
            try:
                return self._await_server()
            except StorageError:
                raise
            except OSError as error:
                raise StorageError(f"cannot use {self.directory} for the database: {_reason(error)}") from error

    def close(self) -> None:
        """Stop using the server. It ends by itself once no process uses it; `await_stopped` waits for that.

        Idempotent. A child forked meanwhile goes on using it until it ends or closes.
        """
        with self._mutex():
            self._leave()

    def await_stopped(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait until no process of a server works on this directory (then it may be moved or removed).

        False when it still runs after *seconds*: somebody else uses it. What does not move, and what a killed supervisor
        has left, is ended by force.
        """
        path = self._run / hung.LOCK
        if not path.exists():
            return True
        deadline = time.monotonic() + seconds
        # Exclusively: nobody may start a server meanwhile on what is being ended.
        with opened(path) as fd, opened(self._run / "server.lock") as server:
            while not lock_within(fd, fcntl.LOCK_EX, min(LOOK_SECONDS, deadline - time.monotonic())):
                if time.monotonic() >= deadline:
                    return False
                if not self.is_shared():
                    hung.kill_if_stopped(self._run)
            if lock_within(server, fcntl.LOCK_EX, 0.0):
                return True
            if time.monotonic() >= deadline:
                return False
            try:
                processes.clear(server, str(self._data))
            except processes.Failed:
                return False
            return True

    def is_shared(self) -> bool:
        """Whether somebody else, in this process or another, uses the server; asked after `close`."""
        path = self._run / "clients.lock"
        if not path.exists():
            return False
        with opened(path) as fd:
            # Shared, it is refused only by the supervisor, which holds it alone to end the server.
            return lock_within(fd, fcntl.LOCK_SH, 0.0) and not lock_within(fd, fcntl.LOCK_EX, 0.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self.directory)!r})"

    @property
    def _run(self) -> Path:
        return self.directory / "run"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _mutex(self) -> threading.Lock:
        """One thread at a time. A child forked while another thread held the lock must not wait for that thread."""
        if self._guard[0] != os.getpid():
            self._guard = (os.getpid(), threading.Lock())
        return self._guard[1]

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """The block as a client; no longer one if it fails, and then with a declared error."""
        with self._mutex():
            try:
                if self._clients is None:
                    self._clients = self._join()
                yield
            except OSError as error:
                self._leave()
                if isinstance(error, StorageError):
                    raise
                raise StorageError(f"cannot use {self.directory} for the database: {_reason(error)}") from error
            except Unsupported:
                self._leave()
                raise

    def _join(self) -> int:
        """Make the directory, and become a client."""
        if os.name != "posix":
            raise Unsupported("the embedded server needs a POSIX system: name a PostgreSQL server instead")
        for place in (self.directory, self._run):
            places.make_private(place)
            if place.stat().st_mode & 0o077:
                place.chmod(0o700)  # [PG-2] one that was copied or unpacked here may be open to all
        # [PG-3]
        fd = os.open(self._run / "clients.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Held exclusively only by a supervisor that is stopping its server: wait for that to end.
        began = time.monotonic()
        while not lock_within(fd, fcntl.LOCK_SH, LOOK_SECONDS):
            lasted = time.monotonic() - began
            if lasted > STOP_SECONDS:
                os.close(fd)
                raise StorageError(f"the server in {self.directory} does not stop: see {self.directory / 'server.log'}")
            # [PG-32] less than a supervisor gives a server that nobody waits for
            if lasted > processes.HURRIED[processes.state(str(self._data)) == processes.SHUTTING_DOWN]:
                hung.kill(self._run)
            else:
                hung.kill_if_stopped(self._run)
        return fd

    def _leave(self) -> None:
        launched, self._launched = self._launched, None
        if launched is not None:
            launched.forget()
        if self._clients is not None:
            os.close(self._clients)
            self._clients = None

    def _await_server(self) -> str:
        """Return the connection string once the server is ready; start it if nobody else does."""
        deadline = time.monotonic() + START_SECONDS
        killed = 0
        look = time.monotonic() + LOOK_SECONDS
        while True:
            launched, self._launched = self._launched, None
            if launched is not None:
                report = launched.report(lambda: hung.kill_if_stopped(self._run))
                if report == "" and killed < KILLED_MAX:
                    killed += 1
                elif report != "ready":
                    raise self._failure(report)
            sockets = self._ready()
            if sockets is not None and not hung.is_known_stopped(self._run):
                return _conninfo(sockets)
            if sockets is None and self._launch_if_free():
                continue
            if sockets is not None or time.monotonic() > look:
                hung.kill_if_stopped(self._run)  # [PG-32]
                look = time.monotonic() + LOOK_SECONDS
            if time.monotonic() > deadline:
                raise StorageError(f"the server has not come up: see {self.directory / 'server.log'}")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> str | None:
        """The socket's directory, if a living supervisor says that the server answers."""
        with opened(self._run / "ready.lock") as fd:
            if lock_within(fd, fcntl.LOCK_SH, 0):
                return None
            return os.fsdecode(os.pread(fd, 4096, 0)) or None

    def _launch_if_free(self) -> bool:
        """Start a supervisor unless there is one; whether one of ours is on its way."""
        if self._launched is None:
            with opened(self._run / hung.LOCK) as fd:
                if lock_within(fd, fcntl.LOCK_EX, 0):
                    work = self._job()
                    with self._opened_log() as log:
                        self._launched = Launched(work, fd, log)
        return self._launched is not None

    def _job(self) -> Job:
        place = binaries.runnable(binaries.find(self._programs), self.directory / "programs")
        number = self._data_major()
        major = binaries.major(place) if number is None else number
        return job(self.directory, place, major, self._root_as or "", self._top)

    def _data_major(self) -> int | None:
        try:
            return int((self._data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise StorageError(f"{self._data / 'PG_VERSION'} is damaged: restore the directory, or rebuild it") from None

    def _opened_log(self) -> contextlib.AbstractContextManager[int]:
        # [PG-20]
        path = self.directory / "server.log"
        if path.exists() and path.stat().st_size > LOG_MAX:
            path.replace(path.with_name("server.log.1"))
        return opened(path, os.O_APPEND)

    def _failure(self, report: str) -> StorageError | Unsupported:
        """The declared error for what the supervisor has said."""
        number = self._data_major()
        if number is not None:
            place = binaries.find(self._programs)
            ours = binaries.major(place)
            if number != ours:
                # [PG-10]
                return Unsupported(
                    f"{self._data} was made by PostgreSQL {number}, and {place} is PostgreSQL {ours}: "
                    f"name the programs of PostgreSQL {number} in MSTBUCKET_PG_BIN"
                )
        if any(sign in report for sign in _DISK_FULL):
            return StorageError(f"the disk of {self.directory} is full: make room, then try again ({report})")
        return StorageError(f"cannot start the database in {self.directory}: {report or 'its supervisor was killed'}")


def _conninfo(sockets: str) -> str:
    quoted = sockets.replace("\\", "\\\\").replace("'", "\\'")
    return f"host='{quoted}' port=5432 user={settings.SUPERUSER} dbname={settings.DATABASE}"


def _reason(error: OSError) -> str:
    """What to do about the usual causes."""
    if isinstance(error, PermissionError):
        return f"{error.strerror} ({error.filename}): use a directory that belongs to user {os.geteuid()}"
    return f"{error.strerror or error} ({error.filename})"
