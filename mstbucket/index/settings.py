"""The one row of settings, and how much of the store is in no commit yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mstbucket.model.settings import BucketUsage, StoreSettings, Unflushed, Usage
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_UNFLUSHED: Final = """
    SELECT d.changes + v.changes + b.changes, (now_ms() - least(d.since, v.since, b.since)) / 1000,
        (SELECT coalesce(sum(length), 0)::bigint FROM blocks WHERE body IS NOT NULL)
    FROM (SELECT count(*) AS changes, min(since) AS since FROM dirty) d,
        (SELECT count(*) AS changes, min(since) AS since FROM dirty_versions) v,
        (SELECT count(tags_dirty) AS changes, min(tags_since) AS since FROM buckets) b
"""
_MAY_ASK: Final = "SELECT has_function_privilege('pg_ls_waldir()', 'execute')"
_USAGE: Final = """
    WITH kept AS (
        SELECT bucket, is_latest AND NOT delete_marker AS current, count(*) AS n, coalesce(sum(size), 0) AS bytes
        FROM v_versions GROUP BY 1, 2
    ), open AS (
        SELECT bucket, count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM v_uploads GROUP BY 1
    )
    SELECT b.name, coalesce(c.n, 0), coalesce(c.bytes, 0), coalesce(o.n, 0), coalesce(o.bytes, 0), coalesce(u.n, 0),
        coalesce(u.bytes, 0)
    FROM buckets b LEFT JOIN open u ON u.bucket = b.name LEFT JOIN kept c ON c.bucket = b.name AND c.current
        LEFT JOIN kept o ON o.bucket = b.name AND NOT o.current
    ORDER BY b.name
"""
_WAL: Final = "SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()"


def read(db: Database) -> StoreSettings:
    """What is set."""
    with db.reading() as connection:
        return StoreSettings(*one_row(connection, "SELECT flush_age, flush_keys, inline_max FROM settings"))


def write(db: Database, settings: StoreSettings) -> None:
    """Set all of it, durably. The caller has checked it."""
    query = "UPDATE settings SET flush_age = %s, flush_keys = %s, inline_max = %s"
    with db.connection() as connection:
        connection.execute(query, (settings.flush_age, settings.flush_keys, settings.inline_max))


def unflushed(db: Database) -> Unflushed:
    """What no commit has. It looks at every row of a change, and at every row of a block."""
    with db.reading() as connection:
        changes, oldest, bodies = one_row(connection, _UNFLUSHED)
        wal = _wal(connection)
    return Unflushed(int(changes), None if oldest is None else max(int(oldest), 0), int(bodies), wal)


def usage(db: Database) -> Usage:
    """What the database takes, and what each bucket holds. It looks at the row of every version."""
    with db.reading() as connection:
        (size,) = one_row(connection, "SELECT pg_database_size(current_database())")
        rows = connection.execute(_USAGE).fetchall()
        return Usage(int(size), _wal(connection), tuple(BucketUsage(name, *map(int, figures)) for name, *figures in rows))


def _wal(connection: Connection) -> int | None:
    return int(one_row(connection, _WAL)[0]) if one_row(connection, _MAY_ASK)[0] else None
