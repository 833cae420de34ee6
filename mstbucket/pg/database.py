"""The one door to PostgreSQL: connections, transactions with a known outcome, errors of the declared tree.

psycopg is imported when the first connection is made, since that takes 120 ms.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from mstbucket.errors import MstBucketError, OutcomeUnknown, StorageError
from mstbucket.pg.clock import ASK, Clock
from mstbucket.pg.lost_commit import follow_up
from mstbucket.pg.settings import CLOSED, RETURN_SECONDS

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection, Pool
    from mstbucket.pg.queries import Call, Lookup

SCHEMA: Final = "mstbucket"
POOL_MAX: Final = 16  # connections of one process; six processes fit under the server's 100
RUN_ATTEMPTS: Final = 10  # of a function given to `run`; conflicts of short transactions end within two or three
PATIENCE: Final = 10.0  # seconds for which work that somebody asked for waits for a connection to spare

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
_T = TypeVar("_T")


class Database:
    """A PostgreSQL database by its connection string. Thread-safe; after a fork the child has connections of its own.

    *conninfo* is a libpq connection string or URL, or a function that returns one: it is called for every new
    connection, so `Database(embedded.conninfo)` brings back an embedded server that has died. Nothing happens before
    the first use. A password in it appears in no error and no repr.
    """

    def __init__(self, conninfo: str | Callable[[], str], *, pool_max: int = POOL_MAX) -> None:
        self._conninfo = conninfo
        self._pool_max = pool_max
        self._made: Pool | None = None
        self._clock = Clock()
        self._making = threading.Lock()
        self._closed = False

    def conninfo(self) -> str:
        """Return the connection string, as given, or as the function that was given says now. It may hold a password.

        Raises:
            StorageError: closed, or the function's own.
        """
        if self._closed:
            raise StorageError(CLOSED)
        return self._conninfo() if callable(self._conninfo) else self._conninfo

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection in autocommit: each statement is a transaction of its own, durable when it returns.

        Raises:
            OutcomeUnknown: the connection was lost under a statement, which may have been done.
            StorageError, Conflict, NotFound: by the table in `failures.py`.
        """
        with self._lent(OutcomeUnknown) as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection in autocommit for statements that change nothing: a lost one is a plain StorageError."""
        with self._lent(StorageError) as connection:
            yield connection

    def find(self, lookup: Lookup, *arguments: str) -> tuple[Any, ...] | None:
        """The row that *lookup* finds for these texts, or None; the quickest way to ask. Changes nothing.

        Raises:
            StorageError: as `reading`.
        """
        from mstbucket.pg.lookups import ask

        return ask(self._pool, lookup, arguments)

    def call(self, call: Call, arguments: Sequence[bytes | None]) -> tuple[Any, ...]:
        """The row that *call* answers, durable when this returns; the quickest way to change something.

        Args:
            arguments: each in the binary form of its type, None for NULL.

        Raises:
            As `connection`.
        """
        from mstbucket.pg.lookups import answer

        with self._lent(OutcomeUnknown) as connection:
            row = answer(connection, call, arguments)
        assert row is not None, call.query
        return row

    def call_settled(self, call: Call, arguments: Sequence[bytes | None]) -> tuple[Any, ...]:
        """As `call`, in a transaction whose outcome is found out where the answer to its COMMIT is lost ([PG-13]).

        Args:
            call: the last two columns of its answer are the number of the transaction and the time of the server's last
                crash. A number that is NULL says that nothing was done.

        Returns:
            The other columns.

        Raises:
            As `transaction`.
        """
        from mstbucket.pg.lookups import begin, end

        with self._lent(StorageError) as connection:
            row = begin(connection, call, arguments)
            assert row is not None, call.query
            *answered, xid, crashed = row
            # Also where nothing was done: after a ROLLBACK the driver has the server forget what is prepared.
            self._settle(connection, end, xid, crashed)
            return tuple(answered)

    @contextlib.contextmanager
    def transaction(self, isolation: Isolation = "READ COMMITTED") -> Iterator[Connection]:
        """Run the block as one transaction: committed and durable at its end, rolled back when it raises.

        A connection lost during COMMIT is followed up on a new one: returns if the transaction was committed.

        Raises:
            OutcomeUnknown: lost during COMMIT, and the server cannot be asked, or cannot say. Read before you retry.
            Conflict: another transaction was there first (serialization, deadlock). Nothing was done; repeat it.
            StorageError: nothing was done; repeat it when the cause is mended.
        """
        with self._lent(StorageError) as connection:
            connection.begin(f"ISOLATION LEVEL {isolation} READ WRITE")
            try:
                yield connection
            except BaseException:
                _abandon(connection)
                raise
            self._commit(connection)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Run the block on one unchanging, read-only view of the whole database. Hold it briefly: it keeps old rows."""
        with self._lent(StorageError) as connection:
            connection.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield connection
            finally:
                _abandon(connection)  # nothing to commit

    @contextlib.contextmanager
    def holding(self, *lock: int, patience: float = 0.0, mark: int | None = None) -> Iterator[bool]:
        """Hold an advisory lock for the block, if it is free, and give whether it is held.

        For thrift, not for safety: it is lost with its connection, which is noticed by nobody. It takes one of the pool, but
        only where half of them are left for what is done meanwhile; else it is as if somebody else held the lock. It is
        a transaction's, for a pooler knows no locks of a session.

        Args:
            lock: one number, or two.
            patience: seconds for which a connection to spare is waited for; the lock itself is never waited for.
            mark: another lock, of one number, that is shared and held as well: `is_held` tells others of it.
        """
        connection = self._pool.take_spare(patience)
        if connection is None:
            yield False
            return
        import psycopg

        from mstbucket.pg import failures

        try:
            try:
                connection.begin("ISOLATION LEVEL READ COMMITTED READ WRITE")
                # Without arguments, so in one simple message: else a portal would stay open, and hold a snapshot with it.
                query = f"SELECT pg_try_advisory_xact_lock({', '.join(str(int(n)) for n in lock)})"
                if mark is not None:
                    query += f" AND pg_try_advisory_xact_lock_shared({int(mark)})"
                row = connection.execute(query, prepare=False).fetchone()
            except psycopg.Error as error:
                raise failures.declared(error, lost=StorageError) from error
            yield row == (True,)
        finally:
            _abandon(connection)
            self._pool.give(connection)

    def is_held(self, lock: int) -> bool:
        """Whether anybody holds this advisory lock, of one number. The answer may be out of date when it comes."""
        query = """
            SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
                AND (classid, objid) = ((%s)::bigint::oid, (%s)::bigint::oid)
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
        """
        with self.reading() as connection:
            row = connection.execute(query, (lock >> 32, lock & 0xFFFF_FFFF)).fetchone()
        return row == (True,)

    def now_ms(self) -> int:
        """The present by the server's clock, in milliseconds since 1970; the one clock of the store ([PG-26]).

        It asks the server once a minute at most, and counts on by this machine's own ticks: never ahead of the server,
        and behind it by one answer's way. Do not call it inside a transaction: it may need a connection.
        """
        now = self._clock.now_ms()
        while now is None:
            with self.reading() as connection:
                row = connection.execute(f"SELECT {ASK}").fetchone()
                assert row is not None
                self._clock.told(row[0])
            now = self._clock.now_ms()
        return now

    def run(self, work: Callable[[Connection], _T], isolation: Isolation = "READ COMMITTED") -> _T:
        """Call *work* in a transaction and return what it returns; repeat it when PostgreSQL says that this can help.

        That is after a serialization failure, a deadlock, or a connection lost with the transaction known undone.
        *work* may be called up to `RUN_ATTEMPTS` times, so it must have no effect but on the connection.

        Raises:
            As `transaction`; Conflict only after the last attempt, and at once when *work* itself raises it.
        """
        from mstbucket.pg.failures import worth_repeating

        for attempt in range(1, RUN_ATTEMPTS + 1):
            try:
                with self.transaction(isolation) as connection:
                    return work(connection)
            except MstBucketError as error:
                if attempt == RUN_ATTEMPTS or not worth_repeating(error):
                    raise
                time.sleep(random.uniform(0, 0.002 * 2**attempt))  # apart from each other, not in step
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close every connection; those lent now are closed when they come back. Idempotent."""
        with self._making:
            self._closed = True
            if self._made is not None:
                self._made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Database with at most {self._pool_max} connections>"  # never the conninfo: it may hold a password

    @property
    def _pool(self) -> Pool:
        if self._made is None:
            from mstbucket.pg.connecting import connector
            from mstbucket.pg.pool import Pool

            with self._making:
                if self._closed:
                    raise StorageError(CLOSED)
                if self._made is None:
                    self._made = Pool(connector(self._conninfo, RETURN_SECONDS, self._clock), self._pool_max)
        return self._made

    @contextlib.contextmanager
    def _lent(self, lost: type[StorageError]) -> Iterator[Connection]:
        """A connection for the block, and psycopg's errors turned into declared ones."""
        pool = self._pool
        connection = pool.take()
        import psycopg

        from mstbucket.pg import failures

        try:
            yield connection
        except psycopg.Error as error:
            raise failures.declared(error, lost=lost) from error
        finally:
            pool.give(connection)

    def _commit(self, connection: Connection) -> None:
        # The transaction's number, if it has written anything, and the time of the server's last crash ([PG-13]).
        row = connection.execute(
            "SELECT pg_current_xact_id_if_assigned()::text, pg_stat_get_bgwriter_stat_reset_time()"
        ).fetchone()
        assert row is not None
        self._settle(connection, lambda connection: connection.execute("COMMIT", prepare=False), *row)

    def _settle(
        self, connection: Connection, end: Callable[[Connection], object], xid: str | None, crashed: Any
    ) -> None:
        """Commit by `end`, and find out what became of it where there is no answer."""
        import psycopg

        from mstbucket.pg import failures

        try:
            end(connection)
        except psycopg.Error as error:
            if xid is None or not failures.is_lost(error, connection):
                raise
            follow_up(self.reading, error, xid, crashed)


def load_driver() -> None:
    """Import what the first connection will need, which takes 120 ms; for whoever has to wait for the server anyway."""
    import mstbucket.pg.connecting  # noqa: F401 - psycopg with it


def _abandon(connection: Connection) -> None:
    """Roll back; a connection on which that fails goes to the pool closed."""
    import psycopg

    try:
        if not connection.closed:
            connection.execute("ROLLBACK", prepare=False)
    except psycopg.Error:
        connection.close()  # the server rolls back what it has no session for
