"""What died, as those who replaced it noted it, and what a sweep makes of that ([GC-20] to [GC-26])."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mstbucket.index.collection import RENEWAL, Removed, Start
from mstbucket.index.tx import Tx
from mstbucket.pg.binary import cid_array, integer_array
from mstbucket.pg.queries import one_row, server_cursor

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_ROWS: Final = 10_000  # fetched at a time

#: The holders of what died, by bucket, that hold nothing any more; 0 is what was not looked at yet. An index gives one after
#: the other.
_GONE: Final = """
    WITH RECURSIVE holders AS (
        (SELECT bucket, held FROM died ORDER BY bucket, held LIMIT 1)
        UNION ALL
        SELECT n.bucket, n.held FROM holders h CROSS JOIN LATERAL (
            SELECT d.bucket, d.held FROM died d WHERE (d.bucket, d.held) > (h.bucket, h.held)
            ORDER BY d.bucket, d.held LIMIT 1) n)
    SELECT h.bucket, h.held FROM holders h
    WHERE NOT EXISTS (SELECT FROM commits c WHERE c.bucket = h.bucket AND c.seq = h.held)
"""
#: Whether the row `b` of a block had one life alone, which ended as `d` says, in a bucket `k` that only flushes made.
_ONE_LIFE: Final = "b.born IS NOT NULL AND b.epoch <= d.epoch AND k.folded = k.seq"
#: The newest commit that can be read, and may have the block.
_HOLDER: Final = "SELECT max(c.seq) FROM commits c WHERE c.bucket = d.bucket AND c.seq > b.born AND c.seq <= d.seq"

_FORGET: Final = f"""
    DELETE FROM died d WHERE d.bucket = %s AND d.held = %s
    AND NOT EXISTS (SELECT FROM blocks b JOIN buckets k ON k.id = d.bucket WHERE b.cid = d.cid AND {_ONE_LIFE})
"""
_HOLD: Final = f"""
    UPDATE died x SET held = s.holder FROM (
        SELECT d.cid, d.bucket, ({_HOLDER}) AS holder FROM died d JOIN blocks b ON b.cid = d.cid
        WHERE d.bucket = %s AND d.held = %s) s
    WHERE x.cid = s.cid AND x.bucket = s.bucket AND s.holder IS NOT NULL
"""
_DEAD: Final = f"""
    SELECT d.cid, d.epoch
    FROM ({_GONE}) g JOIN died d ON d.bucket = g.bucket AND d.held = g.held
    JOIN blocks b ON b.cid = d.cid JOIN buckets k ON k.id = d.bucket
    WHERE {_ONE_LIFE} AND b.epoch < %s AND ({_HOLDER}) IS NULL
"""


# --- what is noted ------------------------------------------------------------------------------------------------------


def note(tx: Tx, seq: int, cids: Sequence[bytes]) -> None:
    """Note that these blocks may have died ([GC-20]): no commit of the bucket above *seq* has them."""
    if cids:
        tx.connection.execute("SELECT note_died(%s, %s, %s, %s)", (tx.bucket, seq, tx.epoch, cid_array(cids)))


def follow(tx: Tx, old: int, new: int) -> None:
    """Note that a flush made commit *new* from commit *old* ([GC-22])."""
    tx.connection.execute("UPDATE buckets SET folded = %s WHERE id = %s AND folded = %s", (new, tx.bucket, old))


def leave_to_cycles(tx: Tx) -> None:
    """Note that the bucket was changed in another way: what dies there, no sweep decides any more ([GC-22])."""
    tx.connection.execute("UPDATE buckets SET folded = NULL WHERE id = %s", (tx.bucket,))


# --- a sweep ------------------------------------------------------------------------------------------------------------


def look(db: Database) -> bool:
    """Look at what died, and was held by a commit that is gone, or was not looked at: whether some of it may go.

    What is not for a sweep to decide is forgotten ([GC-22]). What another commit holds is left until that is gone.
    """
    with db.reading() as connection:
        gone = connection.execute(_GONE).fetchall()
    for holder in gone:
        db.run(lambda connection, holder=holder: _settle(connection, holder))  # type: ignore[misc]
    with db.reading() as connection:
        return bool(one_row(connection, f"SELECT EXISTS ({_GONE})")[0])


def _settle(connection: Connection, holder: Sequence[int]) -> None:
    connection.execute(_FORGET, holder)
    connection.execute(_HOLD, holder)


def dead(connection: Connection, start: Start) -> Iterator[tuple[bytes, int]]:
    """What may go, each with the epoch of its death, as the snapshot of a sweep shows it.

    It is nothing while somebody reads a commit that has no row any more.
    """
    query = """
        SELECT EXISTS (SELECT FROM leases l WHERE l.until > now_ms() - %s
            AND NOT EXISTS (SELECT FROM commits c WHERE c.cid = l.cid))
    """
    if one_row(connection, query, (RENEWAL,))[0]:
        return
    with server_cursor(connection, "sweeping", _ROWS) as cursor:
        yield from cursor.execute(_DEAD, (start.before,))


def packed(db: Database, cids: Sequence[bytes]) -> int:
    """The bytes of those of `cids` that are in packs, and are not shared."""
    query = "SELECT coalesce(sum(length), 0) FROM blocks WHERE cid = ANY (%s) AND born IS NOT NULL AND pack IS NOT NULL"
    with db.reading() as connection:
        return int(one_row(connection, query, (cid_array(cids),))[0])


def remove(
    connection: Connection, start: Start, bury: bool, cids: Sequence[bytes], deaths: Sequence[int]
) -> list[Removed]:
    """Remove the rows of those of `cids` that nobody has needed since their deaths, which are epochs ([GC-24])."""
    arguments = (start.epoch, start.before, bury, cid_array(cids), integer_array(deaths))
    query = "SELECT * FROM remove_died(%s, %s, %s, %s, %s)"
    return list(map(Removed._make, connection.execute(query, arguments, binary=True).fetchall()))


# --- what the cycles say of it --------------------------------------------------------------------------------------------


def swept(db: Database) -> Iterator[list[bytes]]:
    """What sweeps have removed since the last cycle ([GC-26])."""
    with db.snapshot() as connection, server_cursor(connection, "auditing", _ROWS) as cursor:
        rows = cursor.execute("SELECT cid FROM swept")
        while page := rows.fetchmany(_ROWS):
            yield [cid for (cid,) in page]


def unwritten(connection: Connection) -> set[bytes]:
    """The manifests that sweeps have removed and a flush has yet to write again, as the snapshot shows them."""
    query = """
        SELECT o.manifest FROM dirty d JOIN objects o ON o.bucket = d.bucket AND o.key = d.key
        JOIN swept s ON s.cid = o.manifest
        UNION SELECT v.manifest FROM dirty_versions d
        JOIN versions v ON v.bucket = d.bucket AND v.key = d.key AND v.seq = d.seq JOIN swept s ON s.cid = v.manifest
    """
    return {cid for (cid,) in connection.execute(query, binary=True)}


def without_row(db: Database, cids: Sequence[bytes]) -> list[bytes]:
    """Those of `cids` that have no row of blocks; but for manifests that a flush has yet to write."""
    query = """
        SELECT t.c FROM unnest(%s) AS t (c) WHERE NOT EXISTS (SELECT FROM blocks b WHERE b.cid = t.c)
        AND NOT EXISTS (SELECT FROM objects o JOIN dirty d ON d.bucket = o.bucket AND d.key = o.key WHERE o.manifest = t.c)
        AND NOT EXISTS (SELECT FROM versions v JOIN dirty_versions d
            ON d.bucket = v.bucket AND d.key = v.key AND d.seq = v.seq WHERE v.manifest = t.c)
        ORDER BY t.c
    """
    with db.reading() as connection:
        return [cid for (cid,) in connection.execute(query, (cid_array(cids),), binary=True)]


def forget_gone(db: Database) -> None:
    """Forget the notes of what has no row any more: a cycle has removed it, and nobody may ever sweep here ([GC-26])."""
    with db.connection() as connection:
        connection.execute("DELETE FROM died d WHERE NOT EXISTS (SELECT FROM blocks b WHERE b.cid = d.cid)")


def forget_swept(db: Database) -> None:
    """Forget what sweeps have removed: a cycle has found none of it among what is needed."""
    with db.connection() as connection:
        connection.execute("DELETE FROM swept")
