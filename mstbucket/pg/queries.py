"""Statements whose answer is one row: always one, or at most one for a key that is asked for again and again.

`Lookup` and `Call` are those that are prepared on each connection and go the shortest way (`lookups`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: The numbers of types, the same in every server, with their names.
TYPE_NAMES: Final = {
    17: "bytea", 20: "bigint", 25: "text", 3802: "jsonb",
    1001: "bytea[]", 1009: "text[]", 1016: "bigint[]", 3807: "jsonb[]",
}  # fmt: skip
_TEXT: Final = 25
_OURS: Final = secrets.token_hex(6)  # of this process: nobody else has left a thing of that name in a session


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

    @property
    def types(self) -> tuple[int, ...]:
        """The number of the type of each argument."""
        return (_TEXT,) * self.arguments


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A function that changes something and answers in exactly one row, for `Database.call`.

    Attributes:
        name: of the statement that each connection prepares; unique in the program.
        query: a SELECT with `$1`, `$2`, … for its arguments.
        types: the number of the type of each; one of `TYPE_NAMES`.
    """

    name: str
    query: str
    types: tuple[int, ...]

    @classmethod
    def of(cls, function: str, *types: str) -> Call:
        """The call of a function of the schema with arguments of these types, by their names."""
        numbers = {name: number for number, name in TYPE_NAMES.items()}
        places = ", ".join(f"${n}" for n in range(1, len(types) + 1))
        return cls(f"mstbucket_{function}", f"SELECT * FROM {function}({places})", tuple(numbers[name] for name in types))


def one_row(connection: Connection, query: str, arguments: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Execute a statement that gives exactly one row whatever its arguments are, and return the row."""
    row = connection.execute(query, arguments, binary=True).fetchone()
    assert row is not None, query  # a function's result, an INSERT … RETURNING, an aggregate: always one
    return row


def own_name(name: str) -> str:
    """A name for what a transaction makes in its session until its end: no other client of a pooler has it ([PG-11])."""
    return f"{name}_{_OURS}"


def own_table(name: str) -> str:
    """As `own_name`, of a temporary table, with its schema: nothing else is ever meant by it."""
    return f"pg_temp.{own_name(name)}"


@contextmanager
def server_cursor(connection: Connection, name: str, batch: int) -> Iterator[Any]:
    """A cursor on the server, whose rows come `batch` at a time; closed at the end, also where the session has died."""
    import psycopg

    cursor = connection.cursor(own_name(name), binary=True)
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
