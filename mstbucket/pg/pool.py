"""A pool of connections: last in, first out, no threads of its own.

psycopg_pool was weighed: its worker threads do not survive fork, and a connection that cannot be made shows as a
timeout after 30 seconds, with the reason in a log. Here the caller's own thread connects and gets the reason.
"""

from __future__ import annotations

import os
import queue
import random
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from mstbucket.errors import StorageError
from mstbucket.pg.settings import CLOSED

WAIT_SECONDS: Final = 60.0  # for a connection when all are in use
_PASSING: Final = (
    "the database system is",  # starting up, shutting down, in recovery
    "Connection refused",
    "No such file or directory",  # of the socket
    "server closed the connection",
    "terminating connection",  # by a shutdown or a crash, when we were nearly through
    "Connection reset",
    "Broken pipe",
    "session is read-only",  # a standby that has not taken over yet, where the address asks for target_session_attrs
    "server is in hot standby mode",
)


# [PG-25] the words of the server and of poolers; a failed connection has no SQLSTATE here
_FULL: Final = (
    "too many clients",
    "too many connections for",
    "remaining connection slots are reserved",
    "no more connections allowed",
)
_SPARE_PAUSE: Final = 0.002  # seconds: a put holds a connection that long
_FULL_PAUSE: Final = 0.2  # seconds between two attempts at most


class Full(StorageError):
    """The server takes no more connections now; raised by `connect`, and waited for by the pool."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection, with what is worth keeping as long as it lasts.

    Attributes:
        readable: polls its socket.
        asked: the lookups that were prepared on it; `lookups` fills it.
        direct: whether it is a session of our own, on which settings and prepared statements stay.
    """

    direct = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.readable = select.poll()
        self.readable.register(self.pgconn.socket, select.POLLIN)
        self.asked: dict[Any, Any] = {}

    def begin(self, mode: str) -> None:
        """Begin a transaction: one message, as COMMIT is."""
        self.execute(f"BEGIN {mode}", prepare=False)


class Pool:
    """At most *limit* connections made by *connect*; thread-safe; a forked child starts with an empty one."""

    def __init__(self, connect: Callable[[], Connection], limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._inherited: list[Connection] = []
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Connection] = []
        # One token for each connection that may be lent. A semaphore of `threading` is Python, and costs ten times as much.
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._limit):
            self._slots.put(None)
        self._lock = threading.Lock()
        self._spare = threading.Lock()  # one at a time looks how many are left, and takes one

    def take(self) -> Connection:
        """An idle connection that is still alive, or a new one; waits when *limit* are in use, or the server has no more.

        Raises:
            StorageError: there was none for WAIT_SECONDS.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        self._check_process()
        try:
            self._slots.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise StorageError(
                f"all {self._limit} database connections have been in use for {WAIT_SECONDS:.0f} seconds: "
                "use fewer threads, or end iterations that hold one"
            ) from None
        pause = 0.01
        try:
            while True:
                with self._lock:
                    if self._closed:
                        raise StorageError(CLOSED)
                    connection = self._idle.pop() if self._idle else None
                if connection is not None:
                    if alive(connection):
                        return connection
                    connection.close()
                    continue
                try:
                    return self._connect()
                except Full as error:
                    # [PG-25] others come and go, also those of this pool: one that comes back is taken before a new one
                    if time.monotonic() + pause > deadline:
                        raise StorageError(str(error)) from None
                time.sleep(random.uniform(pause / 2, pause))
                pause = min(_FULL_PAUSE, pause * 2)
        except BaseException:
            self._slots.put(None)
            raise

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            # [PG-12] sockets shared with the parent: neither used nor closed here, only kept from being collected
            self._inherited += self._idle
            self._reset()

    def take_spare(self, patience: float = 0.0) -> Connection | None:
        """As `take`, for whoever keeps it while others are asked for; None unless half of the connections are left then.

        So however many keep one and need another, nobody waits for ever.

        Args:
            patience: seconds for which it is asked again, where threads come and go that need one for a moment.
        """
        self._check_process()
        deadline = time.monotonic() + patience
        while True:
            with self._spare:
                if self._slots.qsize() > self._limit - self._limit // 2:
                    return self.take()
            if time.monotonic() >= deadline:
                return None
            time.sleep(_SPARE_PAUSE)

    def give(self, connection: Connection) -> None:
        """Take a connection back; one that is not idle, or was made by a parent process, is closed."""
        if self._pid != os.getpid():
            self._inherited.append(connection)
            return
        try:
            if connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE:  # of a closed one: UNKNOWN
                with self._lock:
                    if not self._closed:
                        self._idle.append(connection)
                        return
            connection.close()
        finally:
            self._slots.put(None)

    def close(self) -> None:
        """Close the idle connections now, and those in use when they come back. Idempotent."""
        self._check_process()
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def alive(connection: Connection) -> bool:
    """Whether the server still keeps this idle session: it says nothing unasked but farewell. No round trip."""
    return not connection.closed and not connection.readable.poll(0)


def patiently(connect: Callable[[], Connection], seconds: float) -> Connection:
    """Connect; while the server is starting, stopping or coming back, try again for at most *seconds*."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        try:
            return connect()
        except psycopg.OperationalError as error:
            # sqlstate is not set for failed connections: 57P03 shows as text, a missing socket as libpq's own words
            if time.monotonic() > deadline or not _passing(str(error)):
                raise
            time.sleep(pause)
            pause = min(0.2, pause * 2)


def is_full(text: str) -> bool:
    """Whether a connection was refused because there are too many."""
    return any(sign in text for sign in _FULL)


def _passing(text: str) -> bool:
    return any(sign in text for sign in _PASSING)
