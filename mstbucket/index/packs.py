"""The rows of packs: pending while one is written, then ready, and doomed from when no row of a block leads there.

A function that changes one row says whether it did: a row in another state than the caller knows is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.blobs.names import Kind
from mstbucket.index.blocks import FoundBlock
from mstbucket.pg.binary import bigint_array, cid_array, text_array
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.index.collection import Removed
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

#: `packs.encoding` of each kind.
ENCODINGS: Final = {Kind.PLAIN: None, Kind.ZSTD: "zstd", Kind.AES: "aes", Kind.ZSTD | Kind.AES: "zstd+aes"}


class Pack(NamedTuple):
    """A ready pack: its row number, the name of its blob, and how many bytes that has."""

    id: int
    name: str
    size: int


class Registered(NamedTuple):
    """A new pending pack: its row number, and those blocks that were asked for with it and are in packs already."""

    id: int
    found: list[FoundBlock]


class Written(NamedTuple):
    """A durable blob: its name and kind, its bytes, and the bytes of the CAR in it where it is written in frames."""

    name: str
    kind: Kind
    size: int
    plain: int | None


class Doomed(NamedTuple):
    """A pack that was doomed just now: the name of its blob, whether that waits for an undo, and its bytes."""

    name: str
    waits: bool
    size: int


class Left(NamedTuple):
    """Packs of which rows were removed: those to which none leads now, and those of which less than half lives."""

    empty: list[int]
    thin: list[int]


# --- one pack, from its registration on ----------------------------------------------------------------------------------


def register(
    db: Database, name: str, kind: Kind, key: bytes | None, encrypts: bool, cids: Sequence[bytes]
) -> Registered | None:
    """Register a pending pack ([PUT-2]), and find blocks in the same round trip; see `blocks.find`.

    None where the store does not write what the caller would ([FRAME-18]): with the key of that id, encrypted or not.
    """
    arguments = (name, ENCODINGS[kind], key, encrypts)
    with db.connection() as connection:
        if cids:
            query = "SELECT * FROM register_and_find(%s, %s, %s, %s, %s)"
            first, *rows = connection.execute(query, (*arguments, cid_array(cids)), binary=True).fetchall()
        else:
            first, *rows = [one_row(connection, "SELECT register_pack(%s, %s, %s, %s)", arguments)]
    if first[0] is None:
        return None
    return Registered(int(first[0]), [FoundBlock(*row[1:]) for row in rows])


def say_alive(db: Database, pack: int) -> None:
    """Note that the writer of a pending pack lives ([STO-9])."""
    with db.connection() as connection:
        connection.execute("UPDATE packs SET alive = now_ms() WHERE id = %s AND state = 'pending'", (pack,))


def make_ready(connection: Connection, pack: int, written: Written, rows: int) -> bool:
    """Make a pending pack a ready one, to which so many rows of blocks lead, or fewer."""
    query = "UPDATE packs SET state = 'ready', size = %s, plain = %s, rows = %s WHERE id = %s AND state = 'pending'"
    return connection.execute(query, (written.size, written.plain, rows, pack)).rowcount == 1


def doom_pending(connection: Connection, pack: int) -> bool:
    """Doom a pending pack: its blob is to go."""
    query = "UPDATE packs SET state = 'doomed', alive = now_ms() WHERE id = %s AND state = 'pending'"
    return connection.execute(query, (pack,)).rowcount == 1


def delete_pending(connection: Connection, pack: int) -> bool:
    """Remove the row of a pending pack that has no blob, or whose blob is another pack's now."""
    return connection.execute("DELETE FROM packs WHERE id = %s AND state = 'pending'", (pack,)).rowcount == 1


def switch(connection: Connection, pack: int, old: str, new: Written) -> bool:
    """Make `new` the blob of a ready pack whose blob is `old`; nothing counts as damaged in the new one."""
    query = """
        UPDATE packs SET name = %s, encoding = %s, size = %s, plain = %s, damaged = false
        WHERE id = %s AND name = %s AND state = 'ready'
    """
    return connection.execute(query, (new.name, ENCODINGS[new.kind], new.size, new.plain, pack, old)).rowcount == 1


def add_doomed(connection: Connection, name: str) -> None:
    """Note that a blob that no row names is to go."""
    query = "INSERT INTO packs (name, state, created, alive) VALUES (%s, 'doomed', now_ms(), now_ms())"
    connection.execute(query, (name,))


def doom(connection: Connection, packs: Sequence[int], grace: int = 0) -> list[Doomed]:
    """Doom those of these packs that are ready, to which no row of a block leads.

    Their blobs wait for `grace` ms, and as long as rows that led there can be brought back ([GC-10]).
    """
    query = """
        UPDATE packs SET state = 'doomed', alive = now_ms(),
            until = greatest(undo_until(id), CASE WHEN %s > 0 THEN now_ms() + %s END)
        WHERE id = ANY (%s) AND state = 'ready' RETURNING name, until IS NOT NULL, size
    """
    return list(map(Doomed._make, connection.execute(query, (grace, grace, bigint_array(packs)))))


def count_removed(connection: Connection, removed: Sequence[Removed], overhead: int) -> Left:
    """Take rows that were removed off those of their packs; a block takes *overhead* bytes more of its pack ([GC-25])."""
    query = """
        UPDATE packs p SET rows = p.rows - t.n, lost = p.lost + t.size FROM unnest(%s, %s, %s) AS t (pack, n, size)
        WHERE p.id = t.pack RETURNING p.id, p.rows = 0, 2 * p.lost > coalesce(p.plain, p.size)
    """
    packs = [(pack, blocks, size + overhead * blocks) for pack, blocks, size in removed if pack is not None]
    columns = [bigint_array(column) for column in zip(*packs, strict=True)] if packs else [bigint_array([])] * 3
    rows = connection.execute(query, columns).fetchall()
    empty = [number for number, is_empty, _ in rows if is_empty]
    return Left(empty, [number for number, is_empty, is_thin in rows if is_thin and not is_empty])


def delete_doomed(db: Database, names: Sequence[str]) -> None:
    """Remove the rows of doomed packs by name, after their blobs."""
    query = "DELETE FROM packs WHERE name = ANY (%s) AND state = 'doomed' AND until IS NULL"
    with db.connection() as connection:
        connection.execute(query, (text_array(names),))


def export_ready(connection: Connection) -> tuple[str, list[str]]:
    """The name of the connection's snapshot, by which others see the same while it lasts, and all packs that are ready."""
    name = str(one_row(connection, "SELECT pg_export_snapshot()")[0])
    return name, [str(row[0]) for row in connection.execute("SELECT name FROM packs WHERE state = 'ready'")]


def still_ready(db: Database, names: Sequence[str]) -> int:
    """How many of these packs are ready."""
    query = "SELECT count(*) FROM packs WHERE name = ANY (%s) AND state = 'ready'"
    with db.reading() as connection:
        return int(one_row(connection, query, (text_array(names),))[0])


def is_ready(connection: Connection, name: str) -> bool:
    """Whether a ready pack has this name."""
    query = "SELECT FROM packs WHERE name = %s AND state = 'ready'"
    return connection.execute(query, (name,)).fetchone() is not None


def plain_size(connection: Connection, name: str) -> int | None:
    """The bytes of the CAR in the ready pack of this name when it was written; None if there is no such pack."""
    query = "SELECT coalesce(plain, size) FROM packs WHERE name = %s AND state = 'ready'"
    row = connection.execute(query, (name,)).fetchone()
    return None if row is None else int(row[0])


def plain_bytes(db: Database) -> int:
    """The bytes of the CARs in all ready packs."""
    with db.reading() as connection:
        return int(one_row(connection, "SELECT coalesce(sum(coalesce(plain, size)), 0) FROM packs WHERE state = 'ready'")[0])


# --- packs that have something in common ---------------------------------------------------------------------------------


def of_size(db: Database, low: int, high: int, without: Collection[int], limit: int) -> list[Pack]:
    """Ready packs whose CARs have from `low` to below `high` bytes, newest first; without those of these row numbers."""
    query = """
        SELECT id, name, size FROM packs WHERE state = 'ready' AND coalesce(plain, size) >= %s AND coalesce(plain, size) < %s
        AND NOT id = ANY (%s) ORDER BY id DESC LIMIT %s
    """
    with db.reading() as connection:
        return [Pack(*row) for row in connection.execute(query, (low, high, sorted(without), limit))]


def of_numbers(db: Database, numbers: Sequence[int]) -> list[Pack]:
    """The ready packs of these row numbers, newest first; here the size is that of the CAR."""
    query = """
        SELECT id, name, coalesce(plain, size) FROM packs WHERE id = ANY (%s) AND state = 'ready' ORDER BY id DESC
    """
    with db.reading() as connection:
        return [Pack(*row) for row in connection.execute(query, (bigint_array(numbers),))]


def of_other_kind(db: Database, kind: Kind, after: int, limit: int) -> list[Pack]:
    """Ready packs that are not of this kind, by row number, those behind `after`."""
    query = """
        SELECT id, name, size FROM packs WHERE state = 'ready' AND encoding IS DISTINCT FROM %s AND id > %s
        ORDER BY id LIMIT %s
    """
    with db.reading() as connection:
        return [Pack(*row) for row in connection.execute(query, (ENCODINGS[kind], after, limit))]


def are_encrypted(connection: Connection) -> bool:
    """Whether any pack is encrypted; those that are being written, and those that are to go, are packs too."""
    return bool(one_row(connection, "SELECT EXISTS (SELECT FROM packs WHERE encoding LIKE '%%aes')")[0])


def doom_silent(db: Database, age: int) -> None:
    """Doom the pending packs whose writers have not said for `age` ms that they live ([STO-9])."""
    query = "UPDATE packs SET state = 'doomed' WHERE state = 'pending' AND coalesce(alive, created) < now_ms() - %s"
    with db.connection() as connection:
        connection.execute(query, (age,))


def doomed_names(db: Database, age: int, limit: int) -> list[str]:
    """Doomed packs that wait for no undo, and whose doom or last sign of life is older than `age` ms; the oldest first."""
    query = """
        SELECT name FROM packs WHERE state = 'doomed' AND until IS NULL AND coalesce(alive, created) < now_ms() - %s
        ORDER BY created LIMIT %s
    """
    with db.reading() as connection:
        return [str(row[0]) for row in connection.execute(query, (age, limit))]
