"""Buckets whose changes wait for a flush: those of objects, of versions, of the bucket's tags and versioning."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


def due_for_flush(db: Database, changes: int, age: int) -> list[str]:
    """The buckets that have `changes` changed keys, or a change that is `age` ms old, by name."""
    query = """
        SELECT b.name FROM buckets b
        LEFT JOIN (SELECT bucket, since FROM dirty UNION ALL SELECT bucket, since FROM dirty_versions) d ON d.bucket = b.id
        GROUP BY b.id HAVING count(d.since) >= %s OR least(min(d.since), b.tags_since) <= now_ms() - %s ORDER BY b.name
    """
    with db.reading() as connection:
        return [str(row[0]) for row in connection.execute(query, (changes, age))]
