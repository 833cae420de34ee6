"""Statements whose answer is one row: always one, or at most one for a key that is asked for again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A question by texts whose answer is at most one row, for `Database.find`.

    Attributes:
        name: of the statement that each connection prepares; unique in the program.
        query: a SELECT with `$1`, `$2`, … for its arguments, all of them `text`.
        arguments: how many.
    """

    name: str
    query: str
    arguments: int


def one_row(connection: Connection, query: str, arguments: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Execute a statement that gives exactly one row whatever its arguments are, and return the row."""
    row = connection.execute(query, arguments, binary=True).fetchone()
    assert row is not None, query  # a function's result, an INSERT … RETURNING, an aggregate: always one
    return row


@contextmanager
def server_cursor(connection: Connection, name: str, batch: int) -> Iterator[Any]:
    """A cursor on the server, whose rows come `batch` at a time; closed at the end, also where the session has died."""
    import psycopg

    cursor = connection.cursor(name, binary=True)
    cursor.itersize = batch
    try:
        yield cursor
    finally:
        try:
            cursor.close()
        except psycopg.Error:
            # Whatever killed the session is on its way out, or will be told by the next statement.
            connection.close()
            cursor.close()
