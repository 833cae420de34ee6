"""The rows of access keys: who may sign requests to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mstbucket.core.s3rules.policy_documents import parse_policy
from mstbucket.core.times import moment
from mstbucket.model.access import AccessKey
from mstbucket.pg.queries import Lookup, one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

# [PG-26]: the server judges what has expired.
_COLUMNS: Final = "id, name, created, expires, disabled, policy, bytes_max, bytes_sent, coalesce(expires <= now_ms(), false)"
_FIND: Final = Lookup("access_key", f"SELECT {_COLUMNS}, secret, sealed FROM access_keys WHERE id = $1", 1)
_LOCK: Final = 7172981  # of `first`: of processes that start at once, one makes the first key


class _Row(NamedTuple):
    id: str
    name: str
    created: int
    expires: int | None
    disabled: bool
    policy: str | None
    bytes_max: int | None
    bytes_sent: int
    expired: bool


class _Found(NamedTuple):
    id: str
    name: str
    created: int
    expires: int | None
    disabled: bool
    policy: str | None
    bytes_max: int | None
    bytes_sent: int
    expired: bool
    secret: bytes
    sealed: bytes | None


class Secret(NamedTuple):
    """A secret as it is kept: in plain, or sealed under the data key of that id."""

    kept: bytes
    sealed: bytes | None


def add(connection: Connection, key_id: str, secret: Secret, name: str, expires: int | None) -> AccessKey:
    """Keep a new key."""
    query = f"""
        INSERT INTO access_keys (id, secret, sealed, name, created, expires) VALUES (%s, %s, %s, %s, now_ms(), %s)
        RETURNING {_COLUMNS}
    """
    return _key(one_row(connection, query, (key_id, secret.kept, secret.sealed, name, expires)))


def count(connection: Connection) -> int:
    """How many there are."""
    return int(one_row(connection, "SELECT count(*) FROM access_keys")[0])


def lock(connection: Connection) -> None:
    """Nobody else adds a key until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def find(db: Database, key_id: str) -> tuple[AccessKey, Secret] | None:
    """A key and its secret, or None."""
    found = db.find(_FIND, key_id)
    if found is None:
        return None
    row = _Found._make(found)
    key = _key(row[:-2])
    return key, Secret(bytes(row.secret), None if row.sealed is None else bytes(row.sealed))


def list_all(db: Database) -> list[AccessKey]:
    """All keys, in the order in which they were made."""
    with db.reading() as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM access_keys ORDER BY created, id", binary=True).fetchall()
    return [_key(row) for row in rows]


def set_secret(db: Database, key_id: str, secret: Secret) -> AccessKey | None:
    """Replace the secret; None where there is no such key."""
    query = f"UPDATE access_keys SET secret = %s, sealed = %s WHERE id = %s RETURNING {_COLUMNS}"
    return _changed(db, query, (secret.kept, secret.sealed, key_id))


def set_disabled(db: Database, key_id: str, disabled: bool) -> AccessKey | None:
    """Disable or enable a key; None where there is no such key."""
    return _changed(db, f"UPDATE access_keys SET disabled = %s WHERE id = %s RETURNING {_COLUMNS}", (disabled, key_id))


def set_policy(db: Database, key_id: str, policy: str | None) -> AccessKey | None:
    """Limit the holder of a key, or not any more; None where there is no such key."""
    return _changed(db, f"UPDATE access_keys SET policy = %s WHERE id = %s RETURNING {_COLUMNS}", (policy, key_id))


def set_limit(db: Database, key_id: str, size: int | None) -> AccessKey | None:
    """Bound what the holder of a key sends from now on, or not any more; None where there is no such key."""
    query = f"UPDATE access_keys SET bytes_max = %s, bytes_sent = 0 WHERE id = %s RETURNING {_COLUMNS}"
    return _changed(db, query, (size, key_id))


def spend(db: Database, key_id: str, size: int) -> bool:
    """Count bytes, or take some back that did not come; whether they may come."""
    query = """
        UPDATE access_keys SET bytes_sent = greatest(0, bytes_sent + %(size)s::bigint)
        WHERE id = %(id)s AND (bytes_max IS NULL OR %(size)s::bigint <= bytes_max - bytes_sent OR %(size)s::bigint <= 0)
    """
    with db.connection() as connection:
        return connection.execute(query, {"size": size, "id": key_id}).rowcount == 1


def remove(db: Database, key_id: str) -> bool:
    """Remove a key; whether there was one."""
    with db.connection() as connection:
        return connection.execute("DELETE FROM access_keys WHERE id = %s", (key_id,)).rowcount == 1


def secrets_for_update(connection: Connection) -> list[tuple[str, Secret]]:
    """All secrets by id; nobody else changes them until the transaction ends."""
    rows = connection.execute("SELECT id, secret, sealed FROM access_keys FOR UPDATE", binary=True).fetchall()
    return [(key_id, Secret(bytes(kept), None if sealed is None else bytes(sealed))) for key_id, kept, sealed in rows]


def are_sealed(connection: Connection) -> bool:
    """Whether a secret needs the data key."""
    return bool(one_row(connection, "SELECT EXISTS (SELECT 1 FROM access_keys WHERE sealed IS NOT NULL)")[0])


def replace_secret(connection: Connection, key_id: str, secret: Secret) -> None:
    """Keep the same secret in another way."""
    connection.execute("UPDATE access_keys SET secret = %s, sealed = %s WHERE id = %s", (*secret, key_id))


def _changed(db: Database, query: str, arguments: tuple[Any, ...]) -> AccessKey | None:
    with db.connection() as connection:
        row = connection.execute(query, arguments, binary=True).fetchone()
    return None if row is None else _key(row)


def _key(row: tuple[Any, ...]) -> AccessKey:
    said = _Row._make(row)
    expires = None if said.expires is None else moment(said.expires)
    policy = None if said.policy is None else parse_policy(said.policy, None)
    about = said.id, said.name, moment(said.created), expires, said.disabled
    return AccessKey(*about, policy, said.bytes_max, said.bytes_sent, said.expired)
