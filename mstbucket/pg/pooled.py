"""A connection through a pooler, on which no session is relied upon ([PG-24]).

Behind a pooler in transaction mode each transaction may run in another session; in session mode the session's settings may
have been dropped on the way. So every transaction brings its settings along, in the message that begins it; a statement on
its own becomes a transaction of that kind, sent in one go. Neither costs a round trip. Nothing is prepared.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from mstbucket.pg.pool import Connection
from mstbucket.pg.settings import session

_AUTOCOMMIT: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"


@cache
def _local(version: int) -> str:
    return "; ".join(f"SET LOCAL {name} = '" + value.replace(", ", "', '") + "'" for name, value in session(version).items())


@cache
def _select(version: int) -> str:
    """As one SELECT, since a pipeline takes one statement a message; as many in one message where it is no pipeline."""
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in session(version).items())


class PooledConnection(Connection):
    """As `Connection`; `execute` outside of a transaction is one of its own, committed when it returns."""

    def begin(self, mode: str) -> None:
        """See `Connection`."""
        super().execute(f"BEGIN {mode}; {_local(self.info.server_version)}", prepare=False)

    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool = False) -> Any:
        """See psycopg; *prepare* is not heard."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            return super().execute(query, params, prepare=False, binary=binary)
        try:
            with self.pipeline():
                super().execute(_AUTOCOMMIT, prepare=False)
                super().execute(_select(self.info.server_version), prepare=False)
                cursor = super().execute(query, params, prepare=False, binary=binary)
                super().execute("COMMIT", prepare=False)
        except BaseException:
            self._leave()
            raise
        return cursor

    def _leave(self) -> None:
        """Roll back what failed; a connection on which that fails is closed."""
        try:
            if self.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                super().execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self.close()
