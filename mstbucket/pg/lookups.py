"""Lookups and calls: a prepared SELECT whose answer is at most one row, on the shortest way that libpq has.

`execute` of psycopg costs 20 µs of Python a call, and 100 with twenty arguments: a cursor, the adaptation of arguments, a
plan of what to prepare, a generator that waits. Here all of that is known beforehand; the caller brings each argument in its
binary form. It waits in a way that a signal interrupts, as psycopg does.
"""

from __future__ import annotations

import re
import select
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import psycopg
from psycopg import errors as sql
from psycopg import pq
from psycopg.adapt import Transformer

from mstbucket.errors import StorageError
from mstbucket.pg import failures
from mstbucket.pg.binary import Ready
from mstbucket.pg.pool import Connection, Pool
from mstbucket.pg.queries import TYPE_NAMES, Call, Lookup

_BINARY: Final = pq.Format.BINARY
_MODE: Final = "ISOLATION LEVEL READ COMMITTED READ WRITE"
_TAKEN: Final = b"42P05"
_ARGUMENT: Final = re.compile(r"\$([0-9]+)")


class Asking:
    """One lookup or call as prepared on one connection."""

    def __init__(self, connection: Connection, lookup: Lookup | Call) -> None:
        self._pgconn = connection.pgconn
        self._name = lookup.name.encode()
        self._formats = [_BINARY] * len(lookup.types)
        self._readable = connection.readable
        self._loader = Transformer(connection)
        self._loaded = False
        done = self._pgconn.prepare(self._name, lookup.query.encode(), lookup.types)
        # That name is taken only where we were interrupted between this and remembering it.
        if done.status != pq.ExecStatus.COMMAND_OK and done.error_field(pq.DiagnosticField.SQLSTATE) != _TAKEN:
            raise _error(self._pgconn, done)

    def __call__(self, arguments: Sequence[bytes | None]) -> tuple[Any, ...] | None:
        """The row, or None.

        Raises:
            psycopg.Error: as `execute` would.
        """
        result = self._answer(arguments)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise _error(self._pgconn, result)
        if result.ntuples == 0:
            return None
        self._loader.set_pgresult(result, set_loaders=not self._loaded)
        self._loaded = True
        return self._loader.load_row(0, tuple)

    def _answer(self, arguments: Sequence[bytes | None]) -> pq.abc.PGresult:
        pgconn = self._pgconn
        pgconn.send_query_prepared(self._name, arguments, self._formats, result_format=_BINARY)
        while pgconn.flush():  # only where a socket takes less than a thousand bytes at a time
            writable = select.poll()
            writable.register(pgconn.socket, select.POLLOUT)
            writable.poll()
        result = None
        while True:
            if pgconn.is_busy():
                self._readable.poll()
                pgconn.consume_input()
                continue
            further = pgconn.get_result()
            if further is None:
                break
            result = further
        assert result is not None  # libpq gives one for every query that was sent
        return result


def ask(pool: Pool, lookup: Lookup, arguments: tuple[str, ...]) -> tuple[Any, ...] | None:
    """The row that *lookup* finds, or None; `Database.find` says the rest ([PG-21])."""
    connection = pool.take()
    try:
        return answer(connection, lookup, [argument.encode() for argument in arguments])
    except psycopg.Error as error:
        raise failures.declared(error, lost=StorageError) from error
    finally:
        pool.give(connection)


def answer(
    connection: Connection, asked: Lookup | Call, arguments: Sequence[bytes | None]
) -> tuple[Any, ...] | None:
    """The row that *asked* gives on this connection, or None. Each argument is in the binary form of its type.

    Raises:
        psycopg.Error: as `execute` would. Inside of a transaction `InvalidSqlStatementName` is one of them: repeat it.
    """
    if not connection.direct:
        named = {f"a{n}": None if given is None else Ready(given) for n, given in enumerate(arguments, 1)}
        return connection.execute(_unprepared(asked), named, binary=True).fetchone()
    asking: Asking | None = connection.asked.get(asked)
    if asking is not None:
        try:
            return asking(arguments)
        except sql.InvalidSqlStatementName:
            # psycopg forgets all prepared statements of a connection after some of its own, by DEALLOCATE ALL
            del connection.asked[asked]
            if connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                raise
    asking = connection.asked[asked] = Asking(connection, asked)
    return asking(arguments)


def answer_in_transaction(
    connection: Connection, call: Call, arguments: Sequence[bytes | None]
) -> tuple[Any, ...] | None:
    """Begin a transaction, and answer in it; the caller ends it.

    Raises:
        psycopg.Error: as `execute` would. The transaction is still to be ended.
    """
    connection.begin(_MODE)
    try:
        return answer(connection, call, arguments)
    except sql.InvalidSqlStatementName:
        connection.execute("ROLLBACK", prepare=False)
        connection.begin(_MODE)
        return answer(connection, call, arguments)


@cache
def _unprepared(asked: Lookup | Call) -> str:
    """The query in the driver's own form, for a connection on which nothing that was prepared stays."""

    def place(found: re.Match[str]) -> str:
        return f"%(a{found[1]})s::{TYPE_NAMES[asked.types[int(found[1]) - 1]]}"

    return _ARGUMENT.sub(place, asked.query.replace("%", "%%"))


def _error(pgconn: pq.abc.PGconn, result: pq.abc.PGresult) -> psycopg.Error:
    """The error that a result stands for; a lost connection has none of the server's making."""
    if pgconn.status == pq.ConnStatus.BAD and result.error_field(pq.DiagnosticField.SQLSTATE) is None:
        return psycopg.OperationalError(pgconn.get_error_message())
    return sql.error_from_result(result)
