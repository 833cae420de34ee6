"""Lookups and calls: the row that `execute` gives, on every connection, and declared errors where it would raise one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import psycopg
import pytest

from mstbucket import errors
from mstbucket.pg import binary
from mstbucket.pg.database import Database
from mstbucket.pg.queries import TYPE_NAMES, Call, Lookup

VALUE = Lookup("test_value", "SELECT n, b, j, a, t FROM v WHERE t = $1", 1)
PAIR = Lookup("test_pair", "SELECT $1 || $2, pg_backend_pid()", 2)
MAKE = """
    CREATE SCHEMA mstbucket;
    CREATE TABLE v (t text PRIMARY KEY, n bigint, b bytea, j jsonb, a bigint[]);
    INSERT INTO v VALUES ('full', -5, '\\x00ff', '{"ö": "ü"}', '{1,2}'), ('nulls', NULL, NULL, NULL, NULL),
                         ('größe', 9223372036854775807, '', '{}', '{}')
"""


@pytest.fixture
def db(empty_database_url: str) -> Iterator[Database]:
    """A database with one small table of every type that is looked up."""
    with Database(empty_database_url) as made:
        with made.connection() as connection:
            for statement in MAKE.split(";"):
                connection.execute(statement)
        yield made


@pytest.mark.parametrize("key", ["full", "nulls", "größe", "none", ""])
def test_a_lookup_finds_what_execute_finds(db: Database, key: str) -> None:
    """[PG-21]: also the second time, when the types of the columns are known."""
    with db.reading() as connection:
        query = VALUE.query.replace("$1", "%s")
        expected = connection.execute(query, (key,), binary=True).fetchone()
    assert [db.find(VALUE, key), db.find(VALUE, key)] == [expected, expected]


def test_a_lookup_that_finds_nothing_first_knows_the_types_later(db: Database) -> None:
    """[PG-21]"""
    assert [db.find(VALUE, "none"), db.find(VALUE, "full")] == [None, (-5, b"\0\xff", {"ö": "ü"}, [1, 2], "full")]


def test_statements_that_the_server_was_told_to_forget_are_prepared_again(db: Database) -> None:
    """[PG-21]: psycopg sends DEALLOCATE ALL after a rollback, and so may a pooler between us and the server."""
    for forget in ("DEALLOCATE ALL", "DISCARD ALL"):
        assert db.find(PAIR, "a", "b") is not None
        with db.connection() as connection:
            connection.execute(forget)
        row = db.find(PAIR, "a", "b")
        assert row is not None
        assert row[0] == "ab"
    with pytest.raises(errors.StorageError), db.transaction() as connection:
        connection.execute("INSERT INTO v VALUES ((1 / 0)::text)")
    assert db.find(VALUE, "new") is None
    assert db.find(VALUE, "full") is not None


def test_a_name_that_is_taken_already_is_the_same_statement(db: Database) -> None:
    """[PG-21]: left by a call that was interrupted before it was remembered."""
    assert db.find(VALUE, "full") is not None
    with db.reading() as connection:
        connection.asked.clear()
    assert db.find(VALUE, "full") is not None


def test_each_connection_prepares_for_itself(db: Database) -> None:
    meet = threading.Barrier(4)

    def ask(n: int) -> object:
        meet.wait()
        return [db.find(PAIR, "a", str(m)) for m in range(n, n + 200)]

    with ThreadPoolExecutor(4) as threads:
        for n, found in enumerate(threads.map(ask, range(4))):
            assert isinstance(found, list)
            assert [row[0] for row in found] == [f"a{m}" for m in range(n, n + 200)]


def test_a_text_that_the_server_refuses_is_declared(db: Database) -> None:
    """[PG-15]: and the connection serves on."""
    with pytest.raises(errors.StorageError, match="22021"):
        db.find(VALUE, "a\0b")
    assert db.find(VALUE, "full") is not None


def test_a_connection_lost_under_a_lookup(db: Database, empty_database_url: str) -> None:
    """[PG-12]: a plain StorageError, since nothing was changed; the next one gets another connection."""
    assert db.find(VALUE, "full") is not None
    with psycopg.connect(empty_database_url) as other:
        other.execute("LOCK TABLE mstbucket.v")
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(db.find, VALUE, "full")
            kill = """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()
            """
            while other.execute(kill).fetchone() is None:
                other.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
            with pytest.raises(errors.StorageError) as caught:
                waiting.result()
        assert type(caught.value) is errors.StorageError
    assert db.find(VALUE, "full") is not None


def test_a_signal_interrupts_a_lookup_that_waits(db: Database, empty_database_url: str) -> None:
    """[PG-21]: the connection, in the middle of a question, is not lent again."""

    class Enough(Exception):
        pass

    def enough(number: int, frame: FrameType | None) -> None:
        raise Enough

    assert db.find(VALUE, "full") is not None
    before = signal.signal(signal.SIGUSR1, enough)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with psycopg.connect(empty_database_url) as other:
            other.execute("LOCK TABLE mstbucket.v")
            timer.start()
            with pytest.raises(Enough):
                db.find(VALUE, "full")
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert db.find(VALUE, "full") is not None


# --- calls ------------------------------------------------------------------------------------------------------------

ECHO = Call("test_echo", "SELECT $1, $2, $3, $4, $5, $6, $7, $8", (17, 20, 25, 3802, 1001, 1009, 1016, 3807))
SETTLED = "pg_current_xact_id()::text, NULL::timestamptz"  # what a settled call has to know besides
INSERT = Call("test_insert", f"INSERT INTO v (t, n) VALUES ($1, $2) RETURNING t, {SETTLED}", (25, 20))
DIVIDE = Call("test_divide", f"SELECT 1 / $1, {SETTLED}", (20,))


def argument(number: int) -> bytes:
    return binary.int8(number)[4:]


def test_a_call_takes_every_type_and_null(db: Database) -> None:
    """[PG-33]"""
    assert set(ECHO.types) == set(TYPE_NAMES)
    texts = binary.text_array(["ä", None])
    given = (
        b"\0\xff", argument(-7), "ü".encode(), b'\x01{"a": 1}', binary.bytea_array([b"\0", None]), texts,
        binary.bigint_array([2**62]), binary.jsonb_array(["[1]", None]),
    )  # fmt: skip
    told = (b"\0\xff", -7, "ü", {"a": 1}, [b"\0", None], ["ä", None], [2**62], [[1], None])
    for _ in range(2):
        assert db.call(ECHO, given) == told
        assert db.call(ECHO, (None,) * 8) == (None,) * 8


def test_a_call_is_done_when_it_returns_and_one_that_fails_is_not(db: Database) -> None:
    """[PG-33] [PG-15]"""
    for call in (db.call, db.call_settled):
        name = call.__name__.encode()
        assert call(INSERT, (name, argument(1)))[0] == name.decode()
        with pytest.raises(errors.StorageError, match="duplicate key"):
            call(INSERT, (name, argument(1)))
        with pytest.raises(errors.StorageError, match="division by zero"):
            call(DIVIDE, (argument(0),))
        assert call(DIVIDE, (argument(1),))[0] == 1
        with db.reading() as connection:
            assert connection.execute("SELECT n FROM v WHERE t = %s", (name.decode(),)).fetchall() == [(1,)]
            assert len(db._pool._idle) == 0  # one connection has served for all


@pytest.mark.parametrize("forget", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_a_call_that_the_server_was_told_to_forget_is_prepared_again(db: Database, forget: str) -> None:
    """[PG-33]"""
    for call in (db.call, db.call_settled):
        for n in range(2):
            assert call(DIVIDE, (argument(1),))[0] == 1
            with db.connection() as connection:
                connection.execute(forget)
            name = f"{call.__name__} {n}"
            assert call(INSERT, (name.encode(), argument(1)))[0] == name


def test_a_call_with_megabytes(db: Database) -> None:
    """[PG-33]: more than the socket takes at a time."""
    body = bytes(range(256)) * 40_000
    assert db.call(ECHO, (body, *(None,) * 7))[0] == body
    bodies = binary.bytea_array([body, body])
    size = Call("test_size", f"SELECT length($1[1]) + length($1[2]), {SETTLED}", (1001,))
    assert db.call_settled(size, (bodies,)) == (2 * len(body),)


def test_a_connection_lost_under_a_call(db: Database, empty_database_url: str) -> None:
    """[PG-33] [PG-13]: one statement is unknown; a transaction before its COMMIT was not done. The next call works."""
    for call, kind in ((db.call, errors.OutcomeUnknown), (db.call_settled, errors.StorageError)):
        with psycopg.connect(empty_database_url) as other, ThreadPoolExecutor(1) as thread:
            other.execute("LOCK TABLE mstbucket.v")
            waiting = thread.submit(call, INSERT, (b"lost", argument(1)))
            kill = """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()
            """
            while other.execute(kill).fetchone() is None:
                other.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
            with pytest.raises(errors.StorageError) as caught:
                waiting.result()
        assert type(caught.value) is kind
        assert db.find(VALUE, "lost") is None
        assert call(DIVIDE, (argument(1),))[0] == 1


def test_a_signal_interrupts_a_settled_call_that_waits(db: Database, empty_database_url: str) -> None:
    """[PG-33]: the connection, in the middle of a transaction, is not lent again."""

    class Enough(Exception):
        pass

    def enough(number: int, frame: FrameType | None) -> None:
        raise Enough

    before = signal.signal(signal.SIGUSR1, enough)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with psycopg.connect(empty_database_url) as other:
            other.execute("LOCK TABLE mstbucket.v")
            timer.start()
            with pytest.raises(Enough):
                db.call_settled(INSERT, (b"interrupted", argument(1)))
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert db.call_settled(INSERT, (b"interrupted", argument(1)))[0] == "interrupted"
