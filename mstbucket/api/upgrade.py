"""The schema of a store's database brought up to date on purpose."""

from __future__ import annotations

import os

from mstbucket.api.servers import database_of
from mstbucket.pg.migrate import upgrade
from mstbucket.pg.outlast import outlast
from mstbucket.services.blocks.identity import require_store


def upgrade_store(
    path: str | os.PathLike[str] | None, database: str | None, postgres_bin: str | os.PathLike[str] | None
) -> int:
    """Apply what the schema of an existing store lacks, durably, and return how many migrations that were.

    The arguments are those of `mstbucket.open`. Ended at any moment, the store is whole, and another call goes on.

    Raises:
        NotFound: there is no store in the database.
        Unsupported: the store is of a newer version of this package.
        Conflict: others are at work, and would be disturbed; nothing was done. Repeat it when they are not.
        StorageError: the database cannot be used.
    """
    db, server = database_of(path, database, postgres_bin)
    try:
        with db:
            outlast(lambda: require_store(db))
            return outlast(lambda: upgrade(db))
    finally:
        if server is not None:
            server.close()
            if not server.is_shared():
                server.await_stopped()
