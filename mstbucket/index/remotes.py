"""Remotes: the names of other stores, what was seen of their buckets last, and which commits a bucket has had."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.cid import CID
from mstbucket.index.leases import Kept
from mstbucket.index.tx import Tx
from mstbucket.limits import REMOTES_MAX
from mstbucket.model.remotes import Remote
from mstbucket.pg.binary import bytea_array, text_array
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


class SeenHead(NamedTuple):
    """Number and CID of a commit that was accepted from a remote."""

    seq: int
    commit: CID


_ON_LINE: Final = """
    SELECT cid FROM commits WHERE bucket = %(bucket)s AND cid = ANY (%(cids)s)
    UNION SELECT prev FROM commits WHERE bucket = %(bucket)s AND prev = ANY (%(cids)s)
"""


def on_line(connection: Connection, bucket: int, commits: Collection[CID]) -> set[CID]:
    """Those of the commits that the bucket with that row number is known to have been at: a row is one, or follows it."""
    given = {"bucket": bucket, "cids": bytea_array(sorted(commits))}
    return {bytes(row[0]) for row in connection.execute(_ON_LINE, given, binary=True)}


def has_merged(connection: Connection, bucket: int, commit: CID) -> bool:
    """Whether a commit of the bucket with that row number brought in the changes of this one."""
    return bool(one_row(connection, "SELECT EXISTS (SELECT FROM commits WHERE bucket = %s AND merged = %s)",
                        (bucket, commit))[0])  # fmt: skip


def newest_commits(connection: Connection, bucket: int, limit: int) -> list[Kept]:
    """The newest commits of the bucket with that row number that can be read, newest first."""
    query = """
        SELECT b.id, b.identity, b.name, c.seq, c.cid, c.tree, c.versions
        FROM buckets b JOIN commits c ON c.bucket = b.id WHERE b.id = %s ORDER BY c.seq DESC LIMIT %s
    """
    return [Kept(*row) for row in connection.execute(query, (bucket, limit), binary=True)]


def add(db: Database, remote: Remote) -> bool:
    """Keep a name; False if there is another place of that name. The same place again changes nothing."""
    insert = "INSERT INTO remotes (name, place, blobs) VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING"
    same = "SELECT place = %s AND blobs IS NOT DISTINCT FROM %s FROM remotes WHERE name = %s"

    def work(connection: Connection) -> bool:
        connection.execute(insert, (remote.name, remote.place, remote.blobs))
        return bool(one_row(connection, same, (remote.place, remote.blobs, remote.name))[0])

    return db.run(work)


def remove(db: Database, name: str) -> bool:
    """Forget a name, and what was seen there; whether there was one."""
    with db.connection() as connection:
        return connection.execute("DELETE FROM remotes WHERE name = %s", (name,)).rowcount == 1


def find(db: Database, name: str) -> Remote | None:
    """The remote of that name."""
    with db.reading() as connection:
        row = connection.execute("SELECT name, place, blobs FROM remotes WHERE name = %s", (name,)).fetchone()
    return None if row is None else Remote(*row)


def list_all(db: Database) -> list[Remote]:
    """All of them, by name."""
    query = "SELECT name, place, blobs FROM remotes ORDER BY name LIMIT %s"
    with db.reading() as connection:
        return [Remote(*row) for row in connection.execute(query, (REMOTES_MAX,))]


def last_seen(db: Database, remote: str, identity: str) -> SeenHead | None:
    """Number and CID of the newest commit of a bucket that was accepted from there."""
    query = "SELECT seq, commit FROM remote_heads WHERE remote = %s AND identity = %s"
    with db.reading() as connection:
        row = connection.execute(query, (remote, identity), binary=True).fetchone()
    return None if row is None else SeenHead._make(row)


def remember(db: Database, remote: str, identity: str, seq: int, commit: CID) -> None:
    """Note the newest commit that was accepted from there. An older one, or a name that is gone, changes nothing."""
    query = """
        INSERT INTO remote_heads (remote, identity, seq, commit) SELECT name, %s, %s, %s FROM remotes WHERE name = %s
        ON CONFLICT (remote, identity) DO UPDATE SET seq = excluded.seq, commit = excluded.commit
        WHERE remote_heads.seq < excluded.seq
    """
    with db.connection() as connection:
        connection.execute(query, (identity, seq, commit, remote))


def note_met(db: Database, bucket: str, remote: str, commit: CID) -> None:
    """Note that a bucket is at this commit here and there, so that it stays. A name that is gone changes nothing."""
    query = """
        INSERT INTO remote_commits (bucket, remote, seq)
        SELECT c.bucket, r.name, c.seq FROM buckets b JOIN commits c ON c.bucket = b.id, remotes r
        WHERE b.name = %s AND c.cid = %s AND r.name = %s FOR KEY SHARE OF c
        ON CONFLICT (bucket, remote) DO UPDATE SET seq = excluded.seq
    """
    with db.connection() as connection:
        connection.execute(query, (bucket, commit, remote))


def last_met(connection: Connection, bucket: int, remote: str) -> Kept | None:
    """The commit at which the bucket with that row number was the same here and there last."""
    query = """
        SELECT b.id, b.identity, b.name, c.seq, c.cid, c.tree, c.versions
        FROM remote_commits r JOIN commits c ON c.bucket = r.bucket AND c.seq = r.seq JOIN buckets b ON b.id = c.bucket
        WHERE r.bucket = %s AND r.remote = %s
    """
    row = connection.execute(query, (bucket, remote), binary=True).fetchone()
    return None if row is None else Kept(*row)


class FetchedBucket(NamedTuple):
    """A bucket that a fetch made, and whether it is as it was fetched.

    Attributes:
        kept: why it must not be removed; None where it may.
    """

    name: str
    identity: str
    kept: str | None


_FETCHED: Final = """
    SELECT b.name, b.identity, CASE
        WHEN b.seq <> r.seq OR b.tags_dirty IS NOT NULL OR EXISTS (SELECT FROM dirty d WHERE d.bucket = b.id)
            OR EXISTS (SELECT FROM dirty_versions d WHERE d.bucket = b.id) THEN 'it was written to since it was fetched'
        WHEN EXISTS (SELECT FROM snapshots s WHERE s.bucket = b.id) THEN 'it has snapshots'
        WHEN b.object_lock THEN 'it has object lock' END
    FROM remote_commits r JOIN buckets b ON b.id = r.bucket WHERE r.remote = %s AND r.fetched
"""


def note_fetched(db: Database, bucket: str, remote: str) -> None:
    """Note of a bucket, which was noted by `note_met` before, that it is there for what was fetched."""
    query = """
        UPDATE remote_commits SET fetched = true WHERE remote = %s AND bucket = (SELECT id FROM buckets WHERE name = %s)
    """
    with db.connection() as connection:
        connection.execute(query, (remote, bucket))


def list_fetched(db: Database, remote: str) -> list[FetchedBucket]:
    """The buckets that were fetched from there, by name."""
    with db.reading() as connection:
        found = connection.execute(f"{_FETCHED} ORDER BY b.name", (remote,))
        return [FetchedBucket._make(row) for row in found]


def drop_fetched(tx: Tx, remote: str, name: str) -> str | None:
    """Remove a fetched bucket with all that it holds, where nobody else is inside; or why it stays, and nothing is done."""
    row = tx.connection.execute(f"{_FETCHED} AND b.id = %s", (remote, tx.bucket)).fetchone()
    if row is None:
        return "it is no bucket that was fetched any more"
    kept = FetchedBucket._make(row).kept
    if kept is not None:
        return kept
    for table in ("objects", "versions"):
        tx.connection.execute(f"DELETE FROM {table} WHERE bucket = %s", (tx.bucket,))
    tx.connection.execute("SELECT delete_bucket(%s)", (name,))
    return None


def identities_met(db: Database, remote: str) -> set[str]:
    """The identities of the buckets that were the same here and there once, and were not made by a fetch."""
    query = "SELECT b.identity FROM remote_commits r JOIN buckets b ON b.id = r.bucket WHERE r.remote = %s AND NOT r.fetched"
    with db.reading() as connection:
        return {identity for (identity,) in connection.execute(query, (remote,))}


def forget_met(db: Database, remote: str, identities: Collection[str]) -> None:
    """Forget where buckets of these identities were the same here and there: retention may give those commits up."""
    query = """
        DELETE FROM remote_commits r USING buckets b
        WHERE b.id = r.bucket AND r.remote = %s AND NOT r.fetched AND b.identity = ANY (%s)
    """
    with db.connection() as connection:
        connection.execute(query, (remote, text_array(sorted(identities))))
