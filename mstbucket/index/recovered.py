"""Service state on its way back from blobs to the rows of a bucket that is made again ([REB-27])."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from mstbucket.index.state import LockEntry

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_BUCKET: Final = """
    UPDATE buckets SET created = %(created)s, object_lock = %(object_lock)s, lock_mode = %(lock_mode)s,
        lock_days = %(lock_days)s, lock_years = %(lock_years)s,
        versioning = CASE WHEN %(object_lock)s OR commit IS NULL THEN %(versioning)s ELSE versioning END,
        tags_dirty = CASE WHEN (%(object_lock)s OR commit IS NULL) AND versioning IS DISTINCT FROM %(versioning)s
                          THEN nextval('generation') END,
        tags_since = CASE WHEN (%(object_lock)s OR commit IS NULL) AND versioning IS DISTINCT FROM %(versioning)s
                          THEN now_ms() END
    WHERE id = %(bucket)s
"""
_ROWS: Final = """
    INSERT INTO {table} SELECT r.* FROM jsonb_array_elements(%s::jsonb) e,
        jsonb_populate_record(NULL::{table}, e || jsonb_build_object('bucket', %s)) r {only}
"""
_LOCKS: Final = """
    INSERT INTO locks (bucket, key, version, generation, mode, until, hold)
    SELECT %(bucket)s, l.key, l.version, l.generation, l.mode, l.until, l.hold
    FROM (SELECT DISTINCT ON (key, version) * FROM rebuild_locks ORDER BY key, version, generation DESC) l
    WHERE l.there AND (
        EXISTS (SELECT FROM objects o
                WHERE o.bucket = %(bucket)s AND o.key = l.key AND coalesce(o.version_id, '') = l.version)
        OR EXISTS (SELECT FROM versions v
                   WHERE version_place(v.bucket, v.key, v.version_id)
                       = version_place(%(bucket)s, l.key, nullif(l.version, '')) AND v.content IS NOT NULL))
"""
_STATE: Final = """
    UPDATE bucket_state SET id = %s, version = %s, published = %s, exact = %s, blobs = %s WHERE bucket = %s
"""


def insert_empty(connection: Connection, number: int, name: str, identity: str) -> None:
    """Make a bucket that was never flushed; `restore` says the rest of it."""
    query = """
        INSERT INTO buckets (id, name, identity, created) OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, now_ms())
    """
    connection.execute(query, (number, name, identity))


def restore(
    connection: Connection, number: int, id_: str, config: dict[str, Any], locks: Iterable[LockEntry], blobs: int
) -> int:
    """Take the state of a bucket whose commits, objects and versions are there, and return how many locks came back.

    Of each lock the last change counts, in whatever order they come. Named commits that are not there are left out.
    """
    connection.execute(_BUCKET, config | {"bucket": number})
    of_commits = "WHERE EXISTS (SELECT FROM commits c WHERE c.bucket = r.bucket AND c.seq = r.seq)"
    retention = [] if config["retention"] is None else [config["retention"]]
    for table, rows, only in (
        ("lifecycle_rules", config["rules"], ""),
        ("retention", retention, ""),
        ("bucket_documents", config.get("documents", []), ""),
        ("snapshots", config["snapshots"], of_commits),
    ):
        connection.execute(_ROWS.format(table=table, only=only), (json.dumps(rows), number))
    count = _restore_locks(connection, number, locks)
    connection.execute(_STATE, (id_, config["number"], config["number"], config["exact"], blobs, number))
    return count


def _restore_locks(connection: Connection, number: int, locks: Iterable[LockEntry]) -> int:
    connection.execute("TRUNCATE rebuild_locks")
    with connection.cursor().copy("COPY rebuild_locks FROM STDIN") as copy:
        for lock in locks:
            copy.write_row(lock)
    count = connection.execute(_LOCKS, {"bucket": number}).rowcount
    # What is noted as changed is in blobs; and the changes to come have to be newer than all that were.
    connection.execute("DELETE FROM lock_changes WHERE bucket = %s", (number,))
    connection.execute(
        "SELECT setval('generation', greatest((SELECT max(generation) FROM rebuild_locks), nextval('generation')))"
    )
    connection.execute("TRUNCATE rebuild_locks")
    return count


def snapshots_of(connection: Connection, number: int) -> set[str]:
    """The names of the named commits of a bucket."""
    return {str(row[0]) for row in connection.execute("SELECT name FROM snapshots WHERE bucket = %s", (number,))}
