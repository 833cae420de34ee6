"""Lookups: the row that `execute` gives, on every connection, and declared errors where it would raise one."""

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
from mstbucket.pg.database import Database
from mstbucket.pg.queries import Lookup

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
