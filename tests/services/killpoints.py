"""Stops a process at the n-th durable step of what it does: each transaction and each write to the blobs, before and after.

Between two of these steps nothing changes that outlives the process. So whoever dies, or stops, at each of them has been
everywhere. Nothing in the code knows of it: the doors to the database and to the local blobs are wrapped, in a child.

    pytest -m slow -s tests/services/test_kill_points.py      goes through all of them, and prints each
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg

from mstbucket.blobs.media import local
from mstbucket.errors import OutcomeUnknown, StorageError
from mstbucket.pg.database import Database
from mstbucket.pg.pool import Connection

#: What happens at a point: SIGKILL, SIGSTOP, or an error as the medium or a lost connection gives it.
MODES: Final = ("kill", "stop", "raise")
_ROOMS: Final = ("/mstbucket/services/", "/mstbucket/api/")


class Points:
    """Counts the points of this process, and acts at one of them. Install it once, in a process of its own."""

    def __init__(self, mode: str = "kill", at: int = 0) -> None:
        """*at* is the number of the point, from 1; 0 acts at none."""
        self.mode = mode
        self.at = at
        self.names: list[str] = []
        self._lock = threading.Lock()

    def reach(self, what: str, refuse: Callable[[], object]) -> None:
        """Come to a point. *refuse* raises what this step raises where it fails."""
        with self._lock:
            self.names.append(f"{what} in {_where()}")
            here = len(self.names) == self.at
        if not here:
            return
        if self.mode == "raise":
            refuse()
        os.kill(os.getpid(), signal.SIGKILL if self.mode == "kill" else signal.SIGSTOP)

    def install(self) -> list[str]:
        """Wrap the doors. What is returned gets the name of each point that is reached."""
        self._wrap_database()
        self._wrap_blobs()
        return self.names

    # --- the database ---

    def _wrap_database(self) -> None:
        settle, call, connection, execute = Database._settle, Database.call, Database.connection, Connection.execute
        points = self

        def settling(db: Database, lent: Any, end: Any, xid: Any, crashed: Any) -> None:
            def ending(one: Connection) -> None:
                with points._around("COMMIT", one):
                    end(one)

            settle(db, lent, end if xid is None else ending, xid, crashed)  # without a number nothing was written

        def calling(db: Database, *arguments: Any) -> Any:
            def refuse() -> None:
                raise StorageError("made on purpose")

            points.reach("before a call", refuse)
            answer = call(db, *arguments)
            points.reach("after a call", lambda: _raise(OutcomeUnknown("made on purpose")))
            return answer

        @contextlib.contextmanager
        def lending(db: Database) -> Iterator[Connection]:
            with connection(db) as lent:
                lent.counted = True  # type: ignore[attr-defined]
                try:
                    yield lent
                finally:
                    lent.counted = False  # type: ignore[attr-defined]

        def executing(one: Any, *arguments: Any, **named: Any) -> Any:
            if not getattr(one, "counted", False):
                return execute(one, *arguments, **named)
            one.counted = False
            try:
                with points._around("a statement", one):
                    return execute(one, *arguments, **named)
            finally:
                one.counted = True

        Database._settle = settling  # type: ignore[method-assign]
        Database.call = calling  # type: ignore[method-assign]
        Database.connection = lending  # type: ignore[method-assign]
        Connection.execute = executing  # type: ignore[method-assign, assignment]

    @contextlib.contextmanager
    def _around(self, what: str, connection: Any) -> Iterator[None]:
        def lose() -> None:
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly, on purpose")

        self.reach(f"before {what}", lose)
        yield
        self.reach(f"after {what}", lose)

    # --- the blobs ---

    def _wrap_blobs(self) -> None:
        self._wrap(local.LocalBlobs, "put_if_absent")
        self._wrap(local.LocalBlobs, "delete_many")
        self._wrap(local.LocalBlobs, "open_write")
        self._wrap(local._Writer, "commit")

    def _wrap(self, owner: Any, method: str) -> None:
        real = getattr(owner, method)
        inside = threading.local()

        def wrapped(*arguments: Any) -> Any:
            if getattr(inside, "busy", False):
                return real(*arguments)
            inside.busy = True
            try:
                self.reach(f"before {method}", lambda: _raise(StorageError("made on purpose")))
                answer = real(*arguments)
                self.reach(f"after {method}", lambda: _raise(OutcomeUnknown("made on purpose")))
                return answer
            finally:
                inside.busy = False

        setattr(owner, method, wrapped)


def _raise(error: Exception) -> None:
    raise error


def _where() -> str:
    """The function of a service that came here."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if any(room in name for room in _ROOMS) and "<lambda>" not in frame.f_code.co_name:
            return f"{name.rpartition('/')[2][:-3]}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "?"
