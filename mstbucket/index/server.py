"""What the server and the database say of themselves, for the doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mstbucket.pg.database import SCHEMA
from mstbucket.pg.migrate import shipped
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


class ServerState(NamedTuple):
    """Settings of the server as a session of ours sees them, and figures of the database.

    Attributes:
        version: as in 160004.
        schema, schema_known: migrations that were applied, and that this program has.
        damaged, leftovers: packs that are recorded as damaged; packs that are pending or doomed for two days.
        identity: of the store.
        now: ms since 1970 by the server's clock.
    """

    version: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    data_checksums: str
    autovacuum: str
    track_commit_timestamp: str
    max_connections: int
    schema: int
    schema_known: int
    damaged: int
    leftovers: int
    identity: str | None
    now: int


def read_state(db: Database) -> ServerState:
    """Ask the server, in one statement."""
    query = f"""
        SELECT current_setting('server_version_num')::integer, current_setting('fsync'), current_setting('full_page_writes'),
            current_setting('synchronous_commit'), current_setting('data_checksums'), current_setting('autovacuum'),
            current_setting('track_commit_timestamp'), current_setting('max_connections')::integer,
            (SELECT count(*) FROM {SCHEMA}.migrations), %s::bigint,
            (SELECT count(*) FROM packs WHERE damaged AND state = 'ready'),
            (SELECT count(*) FROM packs WHERE state <> 'ready' AND coalesce(alive, created) < now_ms() - 172800000),
            (SELECT identity FROM store), now_ms()
    """
    with db.reading() as connection:
        return ServerState(*one_row(connection, query, (len(shipped()),)))
