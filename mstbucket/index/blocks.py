"""The rows of blocks: where each block is, which of them a writer may count on, and how rows come to a pack."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.index.tx import StoreTx
from mstbucket.pg.binary import bigint_array, bytea_array, cid_array, integer_array
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

#: Columns of `blocks b LEFT JOIN packs p` that say where a block is: the fields of `Place`, in their order.
LOCATION_COLUMNS: Final = 'p.name, b."offset", b.length, b.body'

#: Instead of a number in `add`: the block is the body of an object that a flush folds, and its row may hold it by now.
MOVED: Final = -1

_LOCATE: Final = f"""
    SELECT b.cid, {LOCATION_COLUMNS} FROM blocks b LEFT JOIN packs p ON p.id = b.pack WHERE b.cid = ANY (%s)
"""
_BODIES: Final = "SELECT cid, body FROM blocks WHERE cid = ANY (%s) AND body IS NOT NULL"
_LOCK: Final = "SELECT FROM blocks WHERE cid = ANY (%s) AND pack = ANY (%s) ORDER BY cid FOR UPDATE"
_MOVE: Final = """
    UPDATE blocks b SET pack = %s, "offset" = t.o FROM unnest(%s, %s) AS t (c, o) WHERE b.cid = t.c AND b.pack = ANY (%s)
"""


class Place(NamedTuple):
    """Where a block is: in a pack, or in the row itself (then `body`). Without either there is no such row."""

    pack: str | None
    offset: int | None
    length: int | None
    body: bytes | None


class PlacedBlock(NamedTuple):
    """A row of `blocks`: in the pack of that name, unless it holds the block itself (`body`); with neither it is damaged."""

    cid: bytes
    pack: str | None
    offset: int
    length: int
    body: bytes | None


class FoundBlock(NamedTuple):
    """A block that is in a pack already.

    Attributes:
        damaged: damage was found in that pack ([PUT-13]).
        stale: nobody has touched the row in the current epoch, so a collection may take it.
    """

    cid: bytes
    pack: str
    offset: int
    length: int
    damaged: bool
    stale: bool


def locate(db: Database, cids: Sequence[bytes]) -> list[PlacedBlock]:
    """The rows of those of `cids` that have one, in any order."""
    with db.reading() as connection:
        rows = connection.execute(_LOCATE, (bytea_array(list(dict.fromkeys(cids))),), binary=True).fetchall()
    return [PlacedBlock(*row) for row in rows]


def inline_bodies(db: Database, cids: Collection[bytes]) -> dict[bytes, bytes]:
    """The blocks of those of `cids` whose row holds the block itself."""
    with db.reading() as connection:
        return dict(connection.execute(_BODIES, (bytea_array(sorted(cids)),), binary=True).fetchall())


def rows_of_pack(db: Database, pack: int, cids: Sequence[bytes]) -> set[bytes]:
    """Those of `cids` whose row leads to this pack."""
    query = "SELECT cid FROM blocks WHERE cid = ANY (%s) AND pack = %s"
    with db.reading() as connection:
        return {bytes(row[0]) for row in connection.execute(query, (bytea_array(cids), pack), binary=True)}


def find(db: Database, cids: Sequence[bytes]) -> list[FoundBlock]:
    """Those of `cids` that are in ready packs."""
    return _found(db, "SELECT * FROM find_blocks(%s)", cids)


def touch_and_find(db: Database, cids: Sequence[bytes]) -> list[FoundBlock]:
    """As `find`, after the rows were touched in the current epoch ([PUT-6])."""
    return _found(db, "SELECT * FROM hold_blocks(%s)", cids)


def _found(db: Database, query: str, cids: Sequence[bytes]) -> list[FoundBlock]:
    with db.connection() as connection:
        return [FoundBlock(*row) for row in connection.execute(query, (cid_array(cids),), binary=True)]


def keep(tx: StoreTx, cids: Sequence[bytes], proven: bool) -> int:
    """Keep the rows of `cids` from the next collection; how many of these blocks are in ready packs.

    Those in damaged packs count only where the caller has read them, and says so by `proven` ([PUT-13]).
    """
    return int(one_row(tx.connection, "SELECT keep_blocks(%s, %s, %s)", (tx.epoch, cid_array(cids), proven))[0])


def add(
    tx: StoreTx,
    pack: int,
    cids: Sequence[bytes],
    offsets: Sequence[int],
    lengths: Sequence[int],
    born: Sequence[int],
) -> int:
    """Give each of `cids` a row that leads to this pack, unless it has one of a sound pack; how many rows lead to it.

    The caller has sorted the blocks by CID ([PUT-9]).

    Args:
        born: for each what a new row gets: the number of the bucket's newest commit, if nothing but the caller's transaction
            names the block; MOVED for a body that a flush takes out of its row. Empty where that is not known. A row that is
            found, but for the one of such a body, is shared from then on ([GC-21]).
    """
    arguments = (tx.epoch, pack, cid_array(cids), bigint_array(offsets), integer_array(lengths), integer_array(born))
    return int(one_row(tx.connection, "SELECT add_blocks(%s, %s, %s, %s, %s, %s)", arguments)[0])


def touch_folded(tx: StoreTx, cids: Sequence[bytes]) -> int:
    """Keep bodies of objects that a flush folds from the next collection ([FLUSH-6]); how many of them there are.

    They stay as shared or not as they are: that is no other life.
    """
    return int(one_row(tx.connection, "SELECT touch_folded(%s, %s)", (tx.epoch, cid_array(cids)))[0])


def share(tx: StoreTx, cids: Sequence[bytes]) -> int:
    """Mark the rows of `cids` as shared, but those that somebody holds; how many are ([GC-23])."""
    return int(one_row(tx.connection, "SELECT share_blocks(%s)", (cid_array(cids),))[0])


def move(connection: Connection, old: Sequence[int], new: int, cids: Sequence[bytes], offsets: Sequence[int]) -> None:
    """Lead those rows of `cids` that lead to packs `old` to pack `new`, where the blocks are at `offsets` ([STO-6])."""
    packs = bigint_array(old)
    asked = cid_array(cids)
    connection.execute(_LOCK, (asked, packs))  # [PUT-9] rows are locked in the order of CIDs
    connection.execute(_MOVE, (new, asked, bigint_array(offsets), packs))
