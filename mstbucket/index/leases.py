"""Leases: the commits that somebody reads.

A row of `commits` is a commit that can be read. Once the row is gone it never comes back: numbers are not given again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection



class Kept(NamedTuple):
    """A commit that can be read.

    Attributes:
        bucket, identity, name: the row number of its bucket, the identity, and the name that the bucket has by now.
        tree, versions: the roots of its trees; `versions` is None where there are none.
    """

    bucket: int
    identity: str
    name: str
    seq: int
    cid: bytes
    tree: bytes
    versions: bytes | None


# --- leases -----------------------------------------------------------------------------------------------------------


def take_lease(connection: Connection, commit: Kept, length: int) -> int | None:
    """Take a lease of *length* ms on a commit; its number, or None if the commit was given up ([PAST-2]).

    The row of the commit is locked: who gives it up meanwhile waits, and finds the lease.
    """
    query = """
        WITH held AS (SELECT cid, tree, versions FROM commits WHERE bucket = %s AND seq = %s FOR KEY SHARE)
        INSERT INTO leases (cid, tree, versions, until) SELECT cid, tree, versions, now_ms() + %s FROM held RETURNING id
    """
    row = connection.execute(query, (commit.bucket, commit.seq, length)).fetchone()
    return None if row is None else int(row[0])


def renew_lease(db: Database, lease: int, length: int) -> bool:
    """Make a lease last for *length* ms from now; False if it has run out: it counts for nothing from then on ([PAST-2])."""
    query = "UPDATE leases SET until = now_ms() + %s WHERE id = %s AND until > now_ms()"
    with db.connection() as connection:
        return connection.execute(query, (length, lease)).rowcount == 1


def give_lease_back(db: Database, lease: int) -> None:
    """Remove a lease, if it is there."""
    with db.connection() as connection:
        connection.execute("DELETE FROM leases WHERE id = %s", (lease,))


def delete_old_leases(db: Database) -> int:
    """Remove the leases that have run out; how many."""
    with db.connection() as connection:
        return int(connection.execute("DELETE FROM leases WHERE until <= now_ms()").rowcount)
