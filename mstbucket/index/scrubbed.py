"""When each pack was last read whole: what the scrub reads next, and how much it has covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.index.check_rows import PackRow
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

#: When every byte of pack `p` was last hashed: by a scrub or a check `s`, or as it was written.
_SINCE: Final = "coalesce(s.at, p.created)"
_JOINED: Final = "packs p LEFT JOIN scrubbed s ON s.pack = p.id AND s.name = p.name"


class Coverage(NamedTuple):
    """How much of the packs was hashed within a time.

    Attributes:
        packs, bytes: of the store.
        covered: bytes of those packs that were hashed whole within it, or written within it.
        oldest: when the pack that waits longest was hashed, in ms since 1970; None where there is no pack.
        damaged: packs that are recorded as damaged.
    """

    packs: int
    bytes: int
    covered: int
    oldest: int | None
    damaged: int


def note(db: Database, pack: int, name: str) -> None:
    """Note that the pack was read whole by now, and is sound; one that has gone is passed over."""
    query = """
        INSERT INTO scrubbed SELECT id, name, now_ms() FROM packs WHERE id = %s AND name = %s AND state = 'ready'
        ON CONFLICT (pack) DO UPDATE SET name = excluded.name, at = excluded.at
    """
    with db.connection() as connection:
        connection.execute(query, (pack, name))


def due(db: Database, age: int, limit: int) -> list[PackRow]:
    """Packs that were not hashed for `age` ms, those that wait longest first; not those known to be damaged."""
    query = f"""
        SELECT p.id, p.name, p.state, p.size, p.plain FROM {_JOINED}
        WHERE p.state = 'ready' AND NOT p.damaged AND {_SINCE} < now_ms() - %s ORDER BY {_SINCE} LIMIT %s
    """
    with db.reading() as connection:
        return [PackRow._make(row) for row in connection.execute(query, (age, limit), binary=True)]


def coverage(db: Database, age: int) -> Coverage:
    """How much was hashed in the last `age` ms."""
    query = f"""
        SELECT count(*), coalesce(sum(p.size), 0)::bigint,
            coalesce(sum(p.size) FILTER (WHERE {_SINCE} >= now_ms() - %s AND NOT p.damaged), 0)::bigint,
            min({_SINCE}), count(*) FILTER (WHERE p.damaged)
        FROM {_JOINED} WHERE p.state = 'ready'
    """
    with db.reading() as connection:
        return Coverage._make(one_row(connection, query, (age,)))
