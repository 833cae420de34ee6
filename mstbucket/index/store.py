"""The one row of store: which store the database belongs to, and where its blobs were at the last opening ([STO-18])."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.pg.database import SCHEMA
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_LOCK: Final = 0x6D7374_6D616B  # "mstmak": of the one-number advisory locks
_READ: Final = """
    SELECT identity, begun, blobs, current_database(), EXISTS (SELECT FROM packs), (SELECT identity FROM rebuild) FROM store
"""


class StoreRow(NamedTuple):
    """What the database says of its store.

    Attributes:
        identity: of the store; None before it is made.
        begun: the identity that an attempt to make the store has drawn, whether it ended or not.
        last: where the blobs were at the last opening.
        database: the name of the database.
        has_packs: whether there is any row of a pack.
        rebuilt: the identity of the store that is being rebuilt here; None where none is.
    """

    identity: str | None
    begun: str | None
    last: str | None
    database: str
    has_packs: bool
    rebuilt: str | None


def database_of(db: Database) -> tuple[str, bool]:
    """The name of the database, and whether it has the tables of a store."""
    query = "SELECT current_database(), EXISTS (SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations')"
    with db.reading() as connection:
        name, there = one_row(connection, query, (SCHEMA,))
    return str(name), bool(there)


def read(db: Database) -> StoreRow:
    """The row as it is."""
    with db.reading() as connection:
        return StoreRow(*one_row(connection, _READ))


def read_alone(connection: Connection) -> StoreRow:
    """The row, for whoever makes the store: until the transaction ends nobody else gets an answer from here."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    return StoreRow(*one_row(connection, _READ))


def set_identity(connection: Connection, identity: str) -> None:
    """The store is made, and is this one."""
    connection.execute("UPDATE store SET identity = %s", (identity,))


def set_begun(db: Database, identity: str) -> None:
    """Note the identity that is about to be written beside the blobs, durably and apart from any transaction."""
    with db.connection() as connection:
        connection.execute("UPDATE store SET begun = %s", (identity,))


def set_last(db: Database, place: str) -> None:
    """Note where the blobs are."""
    with db.connection() as connection:
        connection.execute("UPDATE store SET blobs = %s", (place,))
