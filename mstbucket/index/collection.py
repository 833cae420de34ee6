"""What a collection asks of the index and does to it: roots, rows of blocks, the packs they lead to, and the undo window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.errors import Unsupported
from mstbucket.index.tx import enter_store
from mstbucket.limits import COLLECTIONS_MAX
from mstbucket.pg.binary import cid_array, text_array
from mstbucket.pg.queries import one_row, server_cursor

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_ROWS: Final = 10_000  # of objects and versions, fetched at a time
_PARTS: Final = 16  # each has up to 160 KiB of digests
RENEWAL: Final = 600_000  # ms that a lease counts beyond its end: who renews it may have looked at the clock before
_OUTCOMES: Final = 100  # cycles that are remembered


class Start(NamedTuple):
    """What a cycle begins with, and every step of it checks.

    Attributes:
        epoch: of the cycle; rows that are touched from its beginning on have it.
        before: rows last touched before this epoch may go.
        undos: how often removed rows were brought back so far.
        time: of the snapshot, in ms since 1970.
        sign: of the roots ([GC-18]); None where somebody reads a commit.
    """

    epoch: int
    before: int
    undos: int
    time: int
    sign: str | None


class Tree(NamedTuple):
    """The roots of a commit: its own CID, and those of its two trees."""

    commit: bytes
    objects: bytes
    versions: bytes | None


class Row(NamedTuple):
    """A row of `blocks`, but for where in the pack it leads; `pack` is None for a body that the row itself holds."""

    cid: bytes
    pack: int | None
    length: int
    epoch: int


class Removed(NamedTuple):
    """How many rows were removed that led to one pack, and the bytes of their blocks."""

    pack: int | None
    blocks: int
    bytes: int


class ReadyPack(NamedTuple):
    """A ready pack: its row number, and the bytes of the CAR in it."""

    id: int
    plain: int


class Outcome(NamedTuple):
    """A row of `collections`: times in ms since 1970, and None for what a cycle that was broken off did not come to."""

    epoch: int
    started: int
    ended: int | None
    until: int | None
    live_blocks: int | None
    live_bytes: int | None
    dead_blocks: int | None
    dead_bytes: int | None
    freed_blocks: int | None
    freed_bytes: int | None
    freed_packs: int | None
    stored: int | None


class Stored(NamedTuple):
    """Bytes of blobs: of ready packs, and of those that an undo could bring back; and when the oldest pack was made."""

    ready: int
    waiting: int
    oldest: int | None


# --- the beginning ----------------------------------------------------------------------------------------------------


@contextmanager
def begin_epoch(db: Database, wait: str) -> Iterator[tuple[Connection, Start]]:
    """A snapshot of the whole database in which no writer is in the middle, and what the cycle begins with ([GC-1], [GC-2]).

    Nobody is inside while the snapshot is taken: who came before is in it, who comes later has the new epoch.

    Args:
        wait: for the writers inside; PostgreSQL's text for a time. Meanwhile others wait behind.

    Raises:
        Conflict: a writer was inside for longer than that.
        Unsupported: no number is left for another cycle.
    """
    with db.snapshot() as connection:
        # Both before the barrier is closed: nobody should wait for a connection to be made.
        with db.connection() as other, db.transaction() as barrier:
            barrier.execute("SELECT close_barrier(%s)", (wait,))
            # Durable before the barrier opens: an epoch that a crash took back would be given twice, and deceive `still`.
            if other.execute("UPDATE collector SET epoch = epoch + 1 WHERE epoch < %s", (COLLECTIONS_MAX,)).rowcount == 0:
                raise Unsupported(  # [GC-28]
                    f"this store has had {COLLECTIONS_MAX} collections, the last there can be; everything else goes on: to "
                    "collect again, export the buckets and import them into a new store"
                )
            # The first statement of the snapshot, so here is what it shows.
            query = "SELECT c.epoch, collected_before(), c.undos, now_ms(), roots_sign() FROM collector c"
            start = Start(*one_row(connection, query))
        yield connection, start


def trees(connection: Connection) -> Iterator[Tree]:
    """Every commit that can be read, and every one that somebody reads ([GC-2])."""
    query = """
        SELECT cid, tree, versions FROM commits UNION ALL SELECT cid, tree, versions FROM leases WHERE until > now_ms() - %s
    """
    with server_cursor(connection, "collecting", _ROWS) as cursor:
        yield from map(Tree._make, cursor.execute(query, (RENEWAL,)))


def manifests(connection: Connection) -> Iterator[tuple[bytes, bytes | None]]:
    """Of every row of objects and versions the CIDs of the manifest and of the body's root; a marker has no body."""
    query = "SELECT manifest, content FROM objects UNION ALL SELECT manifest, content FROM versions"
    with server_cursor(connection, "collecting", _ROWS) as cursor:
        yield from cursor.execute(query)


def part_digests(connection: Connection) -> Iterator[bytes]:
    """Of every part of an open upload the SHA-256 of its chunks, one after the other ([MPU-12])."""
    with server_cursor(connection, "collecting", _PARTS) as cursor:
        for (digests,) in cursor.execute("SELECT chunks FROM parts"):
            yield digests


def ready_packs(connection: Connection) -> Iterator[ReadyPack]:
    """All ready packs, by row number."""
    query = "SELECT id, coalesce(plain, size) FROM packs WHERE state = 'ready' ORDER BY id"
    with server_cursor(connection, "collecting", _ROWS) as cursor:
        yield from map(ReadyPack._make, cursor.execute(query))


# --- counting and removing ---------------------------------------------------------------------------------------------


def rows_after(db: Database, cid: bytes, limit: int) -> list[Row]:
    """The rows of blocks behind a CID, in order."""
    query = "SELECT cid, pack, length, epoch FROM blocks WHERE cid > %s ORDER BY cid LIMIT %s"
    with db.reading() as connection:
        return list(map(Row._make, connection.execute(query, (cid, limit), binary=True).fetchall()))


def still(connection: Connection, start: Start) -> bool:
    """Take the barrier; whether no other cycle has begun, and nothing was brought back, since the start."""
    return enter_store(connection).epoch == start.epoch and undos(connection) == start.undos


def undos(connection: Connection) -> int:
    """How often removed rows were brought back so far ([GC-11])."""
    return int(one_row(connection, "SELECT undos FROM collector")[0])


def count_undos(db: Database) -> int:
    """The same, asked before rows are seen of which a later transaction will conclude something."""
    with db.reading() as connection:
        return undos(connection)


def remove(connection: Connection, start: Start, bury: bool, cids: Sequence[bytes]) -> list[Removed]:
    """Remove the rows of those of `cids` that nobody has touched since ([GC-7]); with `bury` an undo can bring them back."""
    arguments = (start.epoch, start.before, bury, cid_array(cids))
    query = "SELECT * FROM remove_blocks(%s, %s, %s, %s)"
    return list(map(Removed._make, connection.execute(query, arguments, binary=True).fetchall()))


# --- cycles -----------------------------------------------------------------------------------------------------------


def begin(db: Database, start: Start, grace: int, swept: bool = False) -> None:
    """Note that a cycle, or a sweep, has begun to remove, and what can be brought back until when."""
    query = """
        INSERT INTO collections (epoch, started, until, swept) VALUES (%s, %s, CASE WHEN %s > 0 THEN now_ms() + %s END, %s)
    """
    with db.connection() as connection:
        connection.execute(query, (start.epoch, start.time, grace, grace, swept))


def end(
    db: Database,
    epoch: int,
    live: tuple[int | None, int | None],
    dead: tuple[int | None, int | None],
    freed: tuple[int, int, int],
    grace: int,
) -> None:
    """Note how a cycle ended: blocks and bytes that live, that are dead and stay, and were freed, with how many packs.

    A sweep knows only the last. The undo window begins anew: it is as long for what was removed last.
    """
    query = """
        UPDATE collections SET ended = now_ms(), live_blocks = %s, live_bytes = %s, dead_blocks = %s, dead_bytes = %s,
            freed_blocks = %s, freed_bytes = %s, freed_packs = %s, until = CASE WHEN %s > 0 THEN now_ms() + %s END,
            stored = (SELECT coalesce(sum(size), 0) FROM packs WHERE state = 'ready')
        WHERE epoch = %s
    """
    wait = """
        UPDATE packs p SET until = c.until FROM collections c WHERE c.epoch = %s AND p.state = 'doomed' AND p.until < c.until
        AND p.id IN (SELECT b.pack FROM buried b WHERE b.cycle = c.epoch)
    """
    forget = """
        DELETE FROM collections c WHERE c.epoch < (SELECT min(n.epoch) FROM
            (SELECT o.epoch FROM collections o WHERE o.swept = c.swept ORDER BY o.epoch DESC LIMIT %s) n)
        AND NOT EXISTS (SELECT FROM buried b WHERE b.cycle = c.epoch)
    """
    with db.transaction() as connection:
        connection.execute(query, (*live, *dead, *freed, grace, grace, epoch))
        connection.execute(wait, (epoch,))
        connection.execute(forget, (_OUTCOMES,))


def note_shrunk(db: Database) -> None:
    """Note that packs are smaller than the last cycle left them: growth is counted from the least since then ([GC-15])."""
    query = """
        UPDATE collections c SET stored = least(c.stored, p.size)
        FROM (SELECT coalesce(sum(size) FILTER (WHERE state = 'ready'), 0)::bigint AS size FROM packs) p
        WHERE c.epoch = (SELECT epoch FROM collections WHERE ended IS NOT NULL AND NOT swept ORDER BY epoch DESC LIMIT 1)
    """
    with db.connection() as connection:
        connection.execute(query)


def note_done(db: Database, start: Start) -> None:
    """Note that a cycle has left nothing to do, so that the next one waits until something may have died ([GC-18])."""
    with db.connection() as connection:
        connection.execute("UPDATE collections SET sign = %s WHERE epoch = %s", (start.sign, start.epoch))


def may_have_died(db: Database) -> bool:
    """Whether anything may be dead that the last cycle has not seen to ([GC-18])."""
    query = """
        SELECT coalesce(
            (SELECT sign FROM collections WHERE ended IS NOT NULL AND NOT swept ORDER BY epoch DESC LIMIT 1)
            <> roots_sign(), true)
    """
    with db.reading() as connection:
        return bool(one_row(connection, query)[0])


def last(db: Database) -> Outcome | None:
    """The last cycle that came to its end; sweeps are none."""
    query = """
        SELECT epoch, started, ended, until, live_blocks, live_bytes, dead_blocks, dead_bytes, freed_blocks, freed_bytes,
            freed_packs, stored FROM collections WHERE ended IS NOT NULL AND NOT swept ORDER BY epoch DESC LIMIT 1
    """
    with db.reading() as connection:
        row = connection.execute(query).fetchone()
    return None if row is None else Outcome(*row)


def stored(db: Database) -> Stored:
    """What the packs have by now; every row of `packs` is looked at."""
    query = """
        SELECT coalesce(sum(size) FILTER (WHERE state = 'ready'), 0)::bigint,
            (coalesce(sum(size) FILTER (WHERE state = 'doomed' AND until IS NOT NULL), 0)
                + (SELECT coalesce(sum(length), 0) FROM buried WHERE pack IS NULL))::bigint,
            min(created) FILTER (WHERE state = 'ready')
        FROM packs
    """
    with db.reading() as connection:
        return Stored(*one_row(connection, query))


# --- the undo window --------------------------------------------------------------------------------------------------


def release(db: Database, limit: int) -> bool:
    """Let go of what cannot be brought back any more, at most `limit` rows of blocks; whether there is more ([GC-10])."""
    forget = """
        DELETE FROM buried WHERE (cycle, cid) IN (
            SELECT b.cycle, b.cid FROM collections c JOIN buried b ON b.cycle = c.epoch WHERE c.until <= now_ms() LIMIT %s)
    """
    over = """
        UPDATE collections c SET until = NULL WHERE c.until <= now_ms() AND c.ended IS NOT NULL
        AND NOT EXISTS (SELECT FROM buried b WHERE b.cycle = c.epoch)
    """
    with db.transaction() as connection:
        enter_store(connection)  # not in the middle of an undo
        connection.execute("UPDATE packs SET until = NULL WHERE state = 'doomed' AND until <= now_ms()")
        if connection.execute(forget, (limit,)).rowcount == limit:
            return True
        connection.execute(over)
        return False


def bring_back(db: Database, wait: str, limit: int) -> tuple[int, int, int]:
    """Bring back at most `limit` removed rows ([GC-11]): how many were looked at, how many came back, their bytes.

    Raises:
        Conflict: writers were inside for longer than `wait`.
    """

    def work(connection: Connection) -> tuple[int, int, int]:
        connection.execute("SELECT close_barrier(%s)", (wait,))
        seen, back, size = one_row(connection, "SELECT * FROM bring_back(%s)", (limit,))
        return int(seen), int(back), int(size)

    return db.run(work)


# --- blobs that no row names ------------------------------------------------------------------------------------------


def unknown(db: Database, names: Sequence[str]) -> list[str]:
    """Those of these names of blobs that no row of `packs` has."""
    query = "SELECT n FROM unnest(%s) n WHERE NOT EXISTS (SELECT FROM packs p WHERE p.name = n) ORDER BY n"
    with db.reading() as connection:
        return [str(row[0]) for row in connection.execute(query, (text_array(names),))]


def note_strays(db: Database, names: Sequence[str], age: int) -> list[str]:
    """Note that these blobs, all of them, are named by no row; return those for which that was so `age` ms ago ([GC-14])."""
    asked = text_array(names)
    with db.transaction() as connection:
        connection.execute("DELETE FROM strays WHERE NOT name = ANY (%s)", (asked,))
        connection.execute("INSERT INTO strays SELECT n, now_ms() FROM unnest(%s) n ON CONFLICT DO NOTHING", (asked,))
        rows = connection.execute("SELECT name FROM strays WHERE seen < now_ms() - %s ORDER BY name", (age,))
        return [str(row[0]) for row in rows]


def is_damage_known(db: Database) -> bool:
    """Whether damage is recorded of any pack ([PUT-13])."""
    with db.reading() as connection:
        return bool(one_row(connection, "SELECT EXISTS (SELECT FROM packs WHERE damaged AND state = 'ready')")[0])
