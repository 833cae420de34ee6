"""The one row of encoding: how the store writes its packs, and its data key, wrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_READ: Final = "SELECT compression, encrypts, key_id, wrapped_key, key_blob FROM encoding"


class StoreKey(NamedTuple):
    """The data key of a store: its id, the key itself wrapped, and the name of the blob that holds the same."""

    id: bytes
    wrapped: bytes
    blob: str


class StoreEncoding(NamedTuple):
    """How new packs are written.

    Attributes:
        compression: level of zstd, or None for no compression.
        encrypts: whether new packs are encrypted, if there is a key.
        key: None for a store that has no encrypted pack.
    """

    compression: int | None
    encrypts: bool
    key: StoreKey | None


def read(db: Database) -> StoreEncoding:
    """What the store does now."""
    with db.reading() as connection:
        return _encoding(connection, _READ)


def read_for_update(connection: Connection) -> StoreEncoding:
    """What the store does until the transaction ends: nobody else changes it."""
    return _encoding(connection, f"{_READ} FOR UPDATE")


def _encoding(connection: Connection, query: str) -> StoreEncoding:
    compression, encrypts, key_id, wrapped, blob = one_row(connection, query)
    return StoreEncoding(compression, encrypts, None if key_id is None else StoreKey(bytes(key_id), wrapped, blob))


def set_compression(db: Database, level: int | None) -> None:
    """Compress new packs with zstd at this level, or not at all."""
    with db.connection() as connection:
        connection.execute("UPDATE encoding SET compression = %s", (level,))


def set_first_key(db: Database, key: StoreKey) -> StoreKey:
    """Give the store its key, unless it has one; return the key that it has then."""
    query = "UPDATE encoding SET key_id = %s, wrapped_key = %s, key_blob = %s WHERE key_id IS NULL"
    with db.connection() as connection:
        if connection.execute(query, (key.id, key.wrapped, key.blob)).rowcount == 1:
            return key
        return StoreKey(*one_row(connection, "SELECT key_id, wrapped_key, key_blob FROM encoding"))


def rewrap_key(connection: Connection, wrapped: bytes, blob: str) -> None:
    """Replace the wrapped key and its blob's name; the key inside is the same."""
    connection.execute("UPDATE encoding SET wrapped_key = %s, key_blob = %s", (wrapped, blob))


def stop_encryption(db: Database) -> None:
    """Write new packs in plain from here on ([STO-1]). The key stays, for the packs that there are."""
    with db.connection() as connection:
        connection.execute("UPDATE encoding SET encrypts = false WHERE key_id IS NOT NULL")


def forget_key(connection: Connection) -> None:
    """Make the store one that has no key, and may be given one."""
    connection.execute("UPDATE encoding SET key_id = NULL, wrapped_key = NULL, key_blob = NULL, encrypts = true")
