"""Packs that are damaged: nobody counts on a block in them without having read it ([PUT-13])."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from mstbucket.index.packs import Doomed, doom
from mstbucket.index.tx import enter_store
from mstbucket.pg.binary import text_array
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_ANY: Final = "EXISTS (SELECT FROM packs WHERE damaged AND state = 'ready')"


def mark_damaged(db: Database, names: Collection[str]) -> bool:
    """Note that the ready packs of these names are damaged; whether any was not known to be."""
    query = "UPDATE packs SET damaged = true WHERE name = ANY (%s) AND state = 'ready' AND NOT damaged"
    with db.connection() as connection:
        return connection.execute(query, (text_array(sorted(names)),)).rowcount > 0


def any_damaged(connection: Connection) -> bool:
    """Whether any pack is known to be damaged."""
    return bool(one_row(connection, f"SELECT {_ANY}")[0])


def clear_damaged(db: Database, name: str) -> None:
    """Note that the ready pack of this name is sound."""
    with db.connection() as connection:
        connection.execute("UPDATE packs SET damaged = false WHERE name = %s AND state = 'ready'", (name,))


def damaged_names(db: Database) -> list[str]:
    """The names of the damaged packs, by row number."""
    with db.reading() as connection:
        rows = connection.execute("SELECT name FROM packs WHERE damaged AND state = 'ready' ORDER BY id")
        return [str(row[0]) for row in rows]


def doom_healed(db: Database) -> list[Doomed]:
    """Doom the damaged packs to which no row of a block leads any more.

    [STO-6] The rows that lead to a pack only become fewer, but by an undo, which this barrier keeps out. Every row of
    `blocks` is looked at once, and only if there is a damaged pack.
    """
    query = """
        SELECT p.id FROM packs p WHERE p.damaged AND p.state = 'ready'
        AND p.id NOT IN (SELECT b.pack FROM blocks b WHERE b.pack IS NOT NULL)
    """

    def work(connection: Connection) -> list[Doomed]:
        if not any_damaged(connection):
            return []
        enter_store(connection)
        return doom(connection, [row[0] for row in connection.execute(query)])

    return db.run(work)
