"""The barrier that every transaction takes before it writes rows: whoever must be alone waits for all of them ([PUT-5])."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


def take_barrier(connection: Connection) -> None:
    """Take the barrier until the transaction ends, outside of any bucket; it comes before everything else ([PUT-5])."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(7172980, 0)")
