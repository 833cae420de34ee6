"""The rows of a rebuild: its mark, the packs and blocks that it finds, and the buckets that it has made.

Every function may be repeated: a rebuild that is killed anywhere begins again, and goes on with what is not there yet.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mstbucket.index.packs import ENCODINGS, Written
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row, server_cursor

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

#: Held by whoever rebuilds; thrift alone, for all that is done can be done twice.
TURN: Final = (0x6D73_7477, 0)
_ROW: Final = struct.Struct(">hi36siqiqii")

_MERGE: Final = """
    INSERT INTO blocks (cid, pack, "offset", length, epoch)
    SELECT DISTINCT ON (cid) cid, pack, "offset", length, (SELECT epoch FROM collector)
    FROM rebuild_blocks ORDER BY cid, pack
    ON CONFLICT (cid) DO NOTHING
"""
_TWICE: Final = """
    SELECT r.cid, r.pack, p.name, r."offset", r.length FROM rebuild_blocks r JOIN packs p ON p.id = r.pack
    WHERE r.cid IN (SELECT cid FROM rebuild_blocks WHERE length > 0 GROUP BY cid HAVING count(*) > 1)
    ORDER BY r.cid, r.pack
"""


class FoundTwice(NamedTuple):
    """One of several places of a block: the row number and the name of the pack, and where it is there."""

    cid: bytes
    pack: int
    name: str
    offset: int
    length: int


# --- the mark --------------------------------------------------------------------------------------------------------


def begin(db: Database, identity: str) -> str | None:
    """Mark the database as one that is being rebuilt, if it holds nothing; the identity of the store it is rebuilt for.

    None where there is something in it, and no rebuild was begun. Nothing was changed then.
    """
    query = """
        INSERT INTO rebuild (identity, begun) SELECT %s, now_ms()
        WHERE NOT EXISTS (SELECT FROM store WHERE identity IS NOT NULL) AND NOT EXISTS (SELECT FROM packs)
            AND NOT EXISTS (SELECT FROM buckets)
        ON CONFLICT (one) DO NOTHING
    """
    with db.connection() as connection:
        connection.execute(query, (identity,))
        row = connection.execute("SELECT identity FROM rebuild").fetchone()
    return None if row is None else str(row[0])


def holds_store(db: Database, identity: str) -> bool:
    """Whether the database is that of this store: perhaps by a rebuild that was killed behind its last transaction."""
    with db.reading() as connection:
        return connection.execute("SELECT FROM store WHERE identity = %s", (identity,)).fetchone() is not None


def finish(connection: Connection, identity: str) -> None:
    """Make the database that of the store, in the caller's transaction: from its end on the store can be opened."""
    connection.execute("TRUNCATE rebuild_blocks")
    connection.execute("DELETE FROM rebuild_buckets")
    connection.execute("DELETE FROM rebuild")
    connection.execute("UPDATE store SET identity = %s, begun = NULL", (identity,))


# --- packs and blocks ------------------------------------------------------------------------------------------------


def forget_damaged(db: Database) -> None:
    """Forget the packs that were found damaged, with their blocks: they are read again, for they may have been restored."""

    def work(connection: Connection) -> None:
        if not one_row(connection, "SELECT EXISTS (SELECT FROM packs WHERE damaged)")[0]:
            return
        for table in ("blocks", "rebuild_blocks"):
            connection.execute(f"DELETE FROM {table} b USING packs p WHERE p.id = b.pack AND p.damaged")
        connection.execute("DELETE FROM packs WHERE damaged")

    db.run(work)


def known_packs(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these names that have a row."""
    with db.reading() as connection:
        rows = connection.execute("SELECT name FROM packs WHERE name = ANY (%s)", (binary.text_array(names),))
        return {str(row[0]) for row in rows}


def add_pack(connection: Connection, pack: Written) -> int:
    """Take a pack that was found, ready; its row number."""
    query = """
        INSERT INTO packs (name, state, created, size, encoding, plain) VALUES (%s, 'ready', now_ms(), %s, %s, %s)
        RETURNING id
    """
    return int(one_row(connection, query, (pack.name, pack.size, ENCODINGS[pack.kind], pack.plain))[0])


def add_found(connection: Connection, pack: int, batches: Iterable[Sequence[tuple[bytes, int, int]]]) -> int:
    """Take the blocks of a pack, as (CID, offset, length), on their way to `blocks`; how many they were."""
    count, pack_row = 0, _ROW.pack
    with connection.cursor().copy('COPY rebuild_blocks (cid, pack, "offset", length) FROM STDIN (FORMAT binary)') as copy:
        copy.write(binary.START)
        for found in batches:
            copy.write(b"".join([pack_row(4, 36, cid, 8, pack, 8, at, 4, size) for cid, at, size in found]))
            count += len(found)
        copy.write(binary.END)
    return count


def mark_pack(connection: Connection, pack: int) -> None:
    """Note that a pack is damaged."""
    connection.execute("UPDATE packs SET damaged = true WHERE id = %s", (pack,))


def found_twice(connection: Connection) -> Iterable[FoundTwice]:
    """The blocks that were found in several places, in the order of CIDs; the empty block, which all packs have, is none."""
    with server_cursor(connection, "found_twice", 1000) as cursor:
        yield from map(FoundTwice._make, cursor.execute(_TWICE))


def drop_found(connection: Connection, place: FoundTwice) -> None:
    """Forget one place of a block."""
    query = 'DELETE FROM rebuild_blocks WHERE cid = %s AND pack = %s AND "offset" = %s'
    connection.execute(query, (place.cid, place.pack, place.offset))


def merge_found(connection: Connection) -> None:
    """Give every block that was found its row, in the order of CIDs, which is much faster than in any other."""
    connection.execute(_MERGE)
    connection.execute("TRUNCATE rebuild_blocks")


def missing(db: Database, cids: Sequence[bytes]) -> set[bytes]:
    """Those of `cids` that have no row of `blocks`."""
    query = "SELECT c FROM unnest(%s) AS t (c) WHERE NOT EXISTS (SELECT FROM blocks b WHERE b.cid = c)"
    with db.reading() as connection:
        return {bytes(row[0]) for row in connection.execute(query, (binary.cid_array(cids),), binary=True)}


def count_blocks(db: Database) -> tuple[int, int]:
    """How many packs and blocks there are."""
    with db.reading() as connection:
        packs, blocks = one_row(connection, "SELECT (SELECT count(*) FROM packs), (SELECT count(*) FROM blocks)")
    return int(packs), int(blocks)


# --- buckets ---------------------------------------------------------------------------------------------------------


def note_bucket(connection: Connection, bucket: int, report: dict[str, Any]) -> None:
    """Note what is to be said of a bucket that was made."""
    connection.execute("INSERT INTO rebuild_buckets VALUES (%s, %s)", (bucket, json.dumps(report)))


def made_buckets(db: Database) -> dict[int, dict[str, Any]]:
    """What was noted of the buckets made so far, by their row numbers."""
    with db.reading() as connection:
        rows = connection.execute("SELECT bucket, report FROM rebuild_buckets")
        return {int(bucket): report for bucket, report in rows}


def drop_bucket(db: Database, bucket: int) -> None:
    """Remove a bucket that was made, with all its rows: it is made once more."""

    def work(connection: Connection) -> None:
        for table in ("objects", "versions", "bucket_state"):  # without state it is no bucket that somebody has deleted
            connection.execute(f"DELETE FROM {table} WHERE bucket = %s", (bucket,))
        connection.execute("DELETE FROM buckets WHERE id = %s", (bucket,))

    db.run(work)


def names_taken(db: Database) -> set[str]:
    """The names of all buckets."""
    with db.reading() as connection:
        return {str(row[0]) for row in connection.execute("SELECT name FROM buckets")}
