"""Service state on its way to blobs: what of it no blob has yet, and what becomes known to be there ([REB-20])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mstbucket.pg import binary

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


class LockEntry(NamedTuple):
    """A lock as of its last change; without retention and hold where `there` is false: it went with its version."""

    key: str
    version: str
    generation: int
    there: bool
    mode: str | None
    until: int | None
    hold: bool | None


class Ahead(NamedTuple):
    """What of a bucket's state no blob has.

    Attributes:
        bucket: the row number.
        id: of the state, which names its blobs.
        version: of what is not locks.
        config: all that is not locks; None where a blob has this version.
        locks: some of the locks that changed.
        blobs: how many blobs were written since they were last trimmed.
    """

    bucket: int
    id: str
    identity: str
    version: int
    config: dict[str, Any] | None
    locks: list[LockEntry]
    blobs: int


class Gone(NamedTuple):
    """A bucket that was deleted: the id of its state, its identity, and its last commit."""

    id: str
    identity: str
    commit: bytes | None


_BUCKET = """
    SELECT s.bucket, s.id, b.identity, s.version, CASE WHEN s.version > s.published OR %(all)s THEN state_of(s.bucket) END,
           s.blobs, EXISTS (SELECT FROM lock_changes c WHERE c.bucket = s.bucket)
    FROM bucket_state s JOIN buckets b ON b.id = s.bucket WHERE b.name = %(bucket)s
"""
_CHANGED = """
    SELECT c.key, c.version, c.generation, l.bucket IS NOT NULL, l.mode, l.until, l.hold
    FROM lock_changes c LEFT JOIN locks l ON (l.bucket, l.key, l.version) = (c.bucket, c.key, c.version)
    WHERE c.bucket = %s ORDER BY c.key, c.version LIMIT %s
"""
_ALL = """
    SELECT key, version, generation, true, mode, until, hold FROM locks
    WHERE bucket = %s AND (key, version) > (%s, %s) ORDER BY key, version LIMIT %s
"""


def ahead(connection: Connection, bucket: str, limit: int) -> Ahead | None:
    """What no blob has of the state of a bucket, at most `limit` locks of it; None where there is no such bucket.

    No transaction is needed: a statement sees a lock together with the note of its change, and the rest with its version.
    """
    row = connection.execute(_BUCKET, {"bucket": bucket, "all": False}, binary=True).fetchone()
    if row is None:
        return None
    number, id_, identity, version, config, blobs, changed = row
    locks = []
    if changed:
        locks = [LockEntry(*one) for one in connection.execute(_CHANGED, (number, limit), binary=True)]
    return Ahead(number, id_, identity, version, config, locks, blobs)


def everything(connection: Connection, bucket: str) -> Ahead | None:
    """As `ahead`, of all that is not locks, whether a blob has it or not."""
    row = connection.execute(_BUCKET, {"bucket": bucket, "all": True}, binary=True).fetchone()
    if row is None:
        return None
    number, id_, identity, version, config, blobs, _ = row
    return Ahead(number, id_, identity, version, config, [], blobs)


def locks_behind(connection: Connection, bucket: int, key: str, version: str, limit: int) -> list[LockEntry]:
    """The locks of a bucket behind one, in the order of keys and versions."""
    return [LockEntry(*one) for one in connection.execute(_ALL, (bucket, key, version, limit), binary=True)]


def published(db: Database, what: Ahead) -> None:
    """Note that a durable blob has this. What was changed since the snapshot stays noted as changed."""
    keys = [lock.key for lock in what.locks]
    versions = [lock.version for lock in what.locks]
    generations = [lock.generation for lock in what.locks]
    query = """
        DELETE FROM lock_changes c USING unnest(%s, %s, %s) AS t (k, v, g)
        WHERE c.bucket = %s AND c.key = t.k AND c.version = t.v AND c.generation = t.g
    """
    arguments = (binary.text_array(keys), binary.text_array(versions), binary.bigint_array(generations), what.bucket)

    def work(connection: Connection) -> None:
        if keys:
            connection.execute(query, arguments)
        connection.execute(
            "UPDATE bucket_state SET published = greatest(published, %s), blobs = blobs + 1 WHERE bucket = %s",
            (0 if what.config is None else what.version, what.bucket),
        )

    db.run(work)


def trimmed(db: Database, what: Ahead) -> None:
    """Note that blobs were trimmed, as of when `what` was read."""
    with db.connection() as connection:
        query = "UPDATE bucket_state SET blobs = greatest(0, blobs - %s) WHERE bucket = %s"
        connection.execute(query, (what.blobs, what.bucket))


def names_ahead(db: Database) -> list[str]:
    """The buckets of whose state some is in no blob."""
    query = """
        SELECT b.name FROM buckets b JOIN bucket_state s ON s.bucket = b.id
        WHERE s.version > s.published OR EXISTS (SELECT FROM lock_changes l WHERE l.bucket = b.id) ORDER BY b.name
    """
    with db.reading() as connection:
        return [str(row[0]) for row in connection.execute(query)]


def kin_ahead(db: Database, bucket: str) -> list[str]:
    """The other buckets with the identity of this one of whose state some is in no blob."""
    query = """
        SELECT k.name FROM buckets b JOIN buckets k ON k.identity = b.identity AND k.id <> b.id
        JOIN bucket_state s ON s.bucket = k.id WHERE b.name = %s AND s.version > s.published ORDER BY k.name
    """
    with db.reading() as connection:
        return [str(row[0]) for row in connection.execute(query, (bucket,))]


def gone(db: Database) -> list[Gone]:
    """The deleted buckets of which no blob says so."""
    with db.reading() as connection:
        return [Gone._make(row) for row in connection.execute("SELECT id, identity, commit FROM gone_buckets", binary=True)]


def gone_published(db: Database, ids: Sequence[str]) -> None:
    """Note that blobs say of these buckets that they were deleted."""
    with db.connection() as connection:
        connection.execute("DELETE FROM gone_buckets WHERE id = ANY (%s)", (binary.text_array(ids),))
