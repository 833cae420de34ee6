"""A statement that always gives a row, and that row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


def one_row(connection: Connection, query: str, arguments: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Execute a statement that gives exactly one row whatever its arguments are, and return the row."""
    row = connection.execute(query, arguments, binary=True).fetchone()
    assert row is not None, query  # a function's result, an INSERT … RETURNING, an aggregate: always one
    return row
