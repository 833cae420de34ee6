"""What each SQLSTATE is called: a table, and the real server where it can be brought to say it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import pq

from mstbucket.errors import Conflict, MstBucketError, OutcomeUnknown, StorageError, Unsupported, Untrue
from mstbucket.pg import failures
from mstbucket.pg.database import Database

LOST = OutcomeUnknown

#: SQLSTATE, what it is, a word of the advice. As a session's end, told by FATAL.
STATES = [
    ("08000", LOST, "lost"), ("08003", LOST, "lost"), ("08006", LOST, "lost"), ("08P01", LOST, "lost"),
    ("08001", StorageError, "lost"), ("08004", StorageError, "lost"),
    ("57P01", LOST, "operator"), ("57P02", LOST, "operator"), ("57P04", LOST, "dropped"), ("57P05", LOST, "operator"),
    ("57P03", StorageError, "starting or stopping"), ("57014", StorageError, "operator"),
    ("53000", StorageError, "limit"), ("53100", StorageError, "full"), ("53200", StorageError, "memory"),
    ("53300", StorageError, "connections"), ("53400", StorageError, "limit"),
    ("25P03", StorageError, "idle transactions"), ("25P04", StorageError, "time limit for transactions"),
    ("25P02", StorageError, "refused a statement"), ("25006", StorageError, "read-only"),
    ("40001", Conflict, "first"), ("40P01", Conflict, "waited for each other"), ("55P03", Conflict, "lock"),
    ("28P01", StorageError, "password"), ("3D000", StorageError, "no such database"), ("42501", StorageError, "right"),
    ("0A000", Unsupported, "does not offer"), ("58030", StorageError, "files"),
    ("XX001", Untrue, "damaged data"), ("XX002", Untrue, "damaged index"), ("22003", StorageError, "refused a statement"),
]  # fmt: skip


class _Info(psycopg.Error):
    """An error as the server told it: only what a table of SQLSTATEs asks for."""

    def __init__(self, state: str, severity: str, source: str | None) -> None:
        super().__init__("it says so")
        self.sqlstate = state
        self._told = {pq.DiagnosticField.SEVERITY_NONLOCALIZED: severity, pq.DiagnosticField.SOURCE_FILE: source}

    @property
    def diag(self) -> psycopg.errors.Diagnostic:
        told = self._told

        class Diagnostic(psycopg.errors.Diagnostic):
            def _error_message(self, field: pq.DiagnosticField) -> str | None:
                return told.get(field)

        return Diagnostic(None)


@pytest.mark.parametrize(("state", "kind", "word"), STATES, ids=[state for state, *_ in STATES])
def test_a_state_is_the_error_that_says_what_to_do(state: str, kind: type[MstBucketError], word: str) -> None:
    """[PG-15]"""
    error = failures.declared(_Info(state, "FATAL", "postgres.c"), lost=OutcomeUnknown)
    assert type(error) is kind
    assert word in str(error)
    assert f"SQLSTATE {state}" in str(error)


def test_a_violation_of_the_protocol_is_an_end_only_where_a_session_ended() -> None:
    """[PG-15] PgBouncer says ERROR too, and knows no place in the server's source."""
    server, pooler = _Info("08P01", "ERROR", "copyfromparse.c"), _Info("08P01", "ERROR", None)
    assert failures.has_ended(pooler)
    assert not failures.has_ended(server)
    told = failures.declared(server, lost=OutcomeUnknown)
    assert type(told) is StorageError
    assert "did not understand" in str(told)
    assert "lost" not in str(told)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    db = Database(database_url)
    yield db
    db.close()


def send_a_query_within_a_copy(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Raise what the server says to that."""
    raw = connection.pgconn
    raw.exec_(b"CREATE TEMPORARY TABLE t (n integer)")
    assert raw.exec_(b"COPY t FROM STDIN").status == pq.ExecStatus.COPY_IN
    words = b"SELECT 1\0"
    os.write(raw.socket, b"Q" + (4 + len(words)).to_bytes(4, "big") + words)
    result = raw.get_result()
    while result is not None and result.status != pq.ExecStatus.FATAL_ERROR:
        raw.put_copy_end()
        result = raw.get_result()
    assert result is not None
    raise psycopg.errors.error_from_result(result)


def test_a_message_within_a_copy_that_is_none_is_no_lost_connection(db: Database) -> None:
    """[PG-15] The real server refuses the call."""
    with pytest.raises(StorageError, match="did not understand") as caught, db.connection() as connection:
        send_a_query_within_a_copy(connection)
    assert type(caught.value) is StorageError
    assert not failures.went_away(caught.value)
