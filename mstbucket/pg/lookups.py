"""Lookups and calls: a prepared SELECT whose answer is at most one row, on the shortest way that libpq has.

`execute` of psycopg costs 20 µs of Python a call, and 100 with twenty arguments: a cursor, the adaptation of arguments, a
plan of what to prepare, a generator that waits. Here all of that is known beforehand; the caller brings each argument in its
binary form. It waits in a way that a signal interrupts, as psycopg does.
"""

from __future__ import annotations

import re
import select
from collections.abc import Sequence
from contextlib import suppress
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
_TAKEN: Final = b"42P05"
_ARGUMENT: Final = re.compile(r"\$([0-9]+)")


class Asking:
    """One lookup or call as prepared on one connection."""

    def __init__(self, connection: Connection, lookup: Lookup | Call) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._name = lookup.name.encode()
        self._formats = [_BINARY] * len(lookup.types)
        self._loader = Transformer(connection)
        self._loaded = False
        # Not by `prepare`, which would wait for a lock on a table in C, where no signal and no other thread gets through.
        self._pgconn.send_prepare(self._name, lookup.query.encode(), lookup.types)
        done = _result(connection)
        # That name is taken only where we were interrupted between this and remembering it.
        if done.status != pq.ExecStatus.COMMAND_OK and done.error_field(pq.DiagnosticField.SQLSTATE) != _TAKEN:
            raise _error(self._pgconn, done)

    def __call__(self, arguments: Sequence[bytes | None]) -> tuple[Any, ...] | None:
        """The row, or None.

        Raises:
            psycopg.Error: as `execute` would.
        """
        self._pgconn.send_query_prepared(self._name, arguments, self._formats, result_format=_BINARY)
        return self._row(_result(self._connection))

    def open(self, arguments: Sequence[bytes | None]) -> tuple[Any, ...] | None:
        """The row, in a transaction that is open afterwards: `end` commits it.

        It is the implicit transaction of a pipeline, which ends with the next synchronisation. So neither BEGIN nor COMMIT
        is a statement, and there are two round trips, not three.

        Raises:
            psycopg.Error: as `execute` would. No transaction is open.
        """
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        pgconn.send_query_prepared(self._name, arguments, self._formats, result_format=_BINARY)
        pgconn.send_flush_request()
        result = _result(self._connection)
        if result.status != pq.ExecStatus.TUPLES_OK and pgconn.status != pq.ConnStatus.BAD:
            _synchronise(self._connection)
        return self._row(result)

    def _row(self, result: pq.abc.PGresult) -> tuple[Any, ...] | None:
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise _error(self._pgconn, result)
        if result.ntuples == 0:
            return None
        self._loader.set_pgresult(result, set_loaders=not self._loaded)
        self._loaded = True
        return self._loader.load_row(0, tuple)


def _result(connection: Connection) -> pq.abc.PGresult:
    """The last result of what was sent, once it has come."""
    pgconn = connection.pgconn
    while pgconn.flush():  # where there is more than a socket takes at a time
        writable = select.poll()
        writable.register(pgconn.socket, select.POLLOUT)
        writable.poll()
    result = None
    while True:
        if pgconn.is_busy():
            connection.readable.poll()
            pgconn.consume_input()
            continue
        further = pgconn.get_result()
        if further is None:
            break
        result = further
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            break  # nothing comes behind it
    assert result is not None  # libpq gives one for everything that was sent
    return result


def _synchronise(connection: Connection) -> None:
    """End the pipeline, and with it its transaction."""
    pgconn = connection.pgconn
    pgconn.pipeline_sync()
    result = _result(connection)
    if result.status != pq.ExecStatus.PIPELINE_SYNC:
        if pgconn.status != pq.ConnStatus.BAD:
            _result(connection)
            pgconn.exit_pipeline_mode()
        raise _error(pgconn, result)
    pgconn.exit_pipeline_mode()


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
        psycopg.Error: as `execute` would.
    """
    if not connection.direct:
        return _answer_unprepared(connection, asked, arguments)
    try:
        return _asking(connection, asked)(arguments)
    except sql.InvalidSqlStatementName:
        # psycopg forgets all prepared statements of a connection after some of its own, by DEALLOCATE ALL
        del connection.asked[asked]
        return _asking(connection, asked)(arguments)


def begin(connection: Connection, call: Call, arguments: Sequence[bytes | None]) -> tuple[Any, ...] | None:
    """Begin a transaction, and answer in it; `end` commits it.

    Raises:
        psycopg.Error: as `execute` would. Nothing was done, and the connection is idle or closed.
    """
    try:
        if not connection.direct:
            connection.begin("ISOLATION LEVEL READ COMMITTED READ WRITE")
            return _answer_unprepared(connection, call, arguments)
        try:
            return _asking(connection, call).open(arguments)
        except sql.InvalidSqlStatementName:
            del connection.asked[call]
            return _asking(connection, call).open(arguments)
    except BaseException:
        _leave(connection)
        raise


def end(connection: Connection) -> None:
    """Commit what `begin` has begun.

    Raises:
        psycopg.Error: it was not committed; where the connection is lost, it may have been.
    """
    if connection.direct:
        _synchronise(connection)
    else:
        connection.execute("COMMIT", prepare=False)


def _leave(connection: Connection) -> None:
    """Roll back what failed; a connection on which that cannot be done is closed."""
    status = connection.pgconn.transaction_status
    if status == pq.TransactionStatus.IDLE:
        return
    if status == pq.TransactionStatus.INERROR and connection.pgconn.pipeline_status == pq.PipelineStatus.OFF:
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK", prepare=False)
            return
    connection.close()


def _asking(connection: Connection, asked: Lookup | Call) -> Asking:
    asking: Asking | None = connection.asked.get(asked)
    if asking is None:
        asking = connection.asked[asked] = Asking(connection, asked)
    return asking


def _answer_unprepared(
    connection: Connection, asked: Lookup | Call, arguments: Sequence[bytes | None]
) -> tuple[Any, ...] | None:
    named = {f"a{n}": None if given is None else Ready(given) for n, given in enumerate(arguments, 1)}
    row: tuple[Any, ...] | None = connection.execute(_unprepared(asked), named, binary=True).fetchone()
    return row


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
