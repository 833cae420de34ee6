"""Room in the tables that each flush empties or writes anew: given back soon, not when a vacuum by the server comes round.

A flush leaves as many dead rows as it folds. The server's own vacuum looks once a minute, and never in a server that runs
for one command at a time. Until then every round of overwriting would add to the files.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mstbucket.errors import Conflict, StorageError
from mstbucket.limits import KIB
from mstbucket.pg.database import SCHEMA, Database

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

DEAD_MIN: Final = 1000  # dead rows below which a vacuum costs more than it gives
DEAD_SHARE: Final = 0.05  # of the live rows, from which a table is vacuumed: each dead row pays for a look at 20 others
INDEX_MAX: Final = 64 * KIB  # bytes of an index on an empty table, from which it is made anew: a vacuum does not shorten it
_LOCK: Final = "20ms"  # others wait no longer than this for us, and we for them

_DEAD: Final = """
    SELECT r.oid::regclass::text FROM pg_class c JOIN pg_class r ON r.oid IN (c.oid, c.reltoastrelid)
    JOIN pg_stat_all_tables s ON s.relid = r.oid
    WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' AND s.n_dead_tup >= %s + %s * s.n_live_tup ORDER BY c.relname
"""
# Of sessions of other roles neither the kind nor the state is shown: they count as at work.
_QUIET: Final = """
    SELECT count(*) = 0 FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND coalesce(backend_type, 'client backend') = 'client backend' AND state IS DISTINCT FROM 'idle'
"""
# Tables without a row, of ours or of what belongs to ours, whose indexes have stayed long.
_LONG: Final = """
    SELECT r.oid::regclass::text FROM pg_class c JOIN pg_class r ON r.oid IN (c.oid, c.reltoastrelid)
    WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'
        AND pg_relation_size(r.oid) = 0 AND pg_indexes_size(r.oid) > %s
"""


def count_dead(connection: Connection) -> None:
    """Let the rows that this session has removed, and removes in this transaction, be counted at once, not seconds later."""
    if connection.info.server_version >= 150000:
        connection.execute("SELECT pg_stat_force_next_flush()")


def give_back(db: Database) -> None:
    """Vacuum the tables that have many dead rows; cheap where there are none. For thrift only: what fails is left to later.

    No vacuum can run through a pooler that keeps no sessions; there the server's own has to do.
    """
    with suppress(StorageError, Conflict), db.connection() as connection:
        if not connection.direct:
            return
        count_dead(connection)  # in a program of one thread this is the session of its puts
        tables = connection.execute(_DEAD, (SCHEMA, DEAD_MIN, DEAD_SHARE)).fetchall()
        if not tables:
            return
        # To shorten a file, a vacuum waits up to 5 seconds for a moment without readers. A busy store fills the room again.
        quiet = connection.execute(_QUIET).fetchone() == (True,)
        for (table,) in tables:
            connection.execute(f"VACUUM (SKIP_LOCKED, TRUNCATE {quiet}, PROCESS_TOAST FALSE) {table}", prepare=False)
        if quiet:
            _shorten_indexes(connection)


def _shorten_indexes(connection: Connection) -> None:
    """Not by TRUNCATE: to an older snapshot, that of a check or a backup, the rows would be gone too early."""
    for (table,) in connection.execute(_LONG, (SCHEMA, INDEX_MAX)).fetchall():
        connection.execute(f"BEGIN; SET LOCAL lock_timeout = '{_LOCK}'; REINDEX TABLE {table}; COMMIT", prepare=False)
