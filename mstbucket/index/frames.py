"""The rows of frames: where the frames of a compressed or encrypted pack are, some hundred of them in a row ([FRAME-7])."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.packs.frames.format import Entry, Segment, pack_lengths, unpack_lengths
from mstbucket.pg.binary import bigint_array, bytea_array

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

FRAMES_IN_ROW: Final = 256  # 2 KiB, which PostgreSQL keeps in place
_ROWS: Final = 1000  # per statement: 2 MB of arguments

_FIND: Final = """
    SELECT f.number, f.start, f.stored, f.lengths FROM packs p JOIN frames f ON f.pack = p.id
    WHERE p.name = %s AND f.start <= %s ORDER BY f.start DESC LIMIT 1
"""
_INSERT: Final = """
    INSERT INTO frames (pack, start, number, stored, lengths)
    SELECT %s, t.* FROM unnest(%s, %s, %s, %s) AS t (start, number, stored, lengths)
"""


class _Row(NamedTuple):
    """A run of frames: where it starts in the plain CAR, the number of its first frame, where that is in the blob."""

    start: int
    number: int
    stored: int
    lengths: bytes


def find_segment(db: Database, name: str, start: int) -> Segment | None:
    """The last run of frames of the pack that begins at byte `start` of the plain CAR, or before it."""
    with db.reading() as connection:
        row = connection.execute(_FIND, (name, start), binary=True).fetchone()
    if row is None:
        return None
    number, first, stored, lengths = row
    return Segment(name, number, first, stored, unpack_lengths(lengths, name))


def plain_size(db: Database, name: str) -> int | None:
    """How many bytes the CAR in the pack has; None if it is not written in frames, or there is no such pack."""
    with db.reading() as connection:
        row = connection.execute("SELECT plain FROM packs WHERE name = %s", (name,), binary=True).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def insert(connection: Connection, pack: int, entries: list[Entry]) -> None:
    """Record the frames of a pack that has none yet ([FRAME-7])."""
    rows = _rows(entries)
    for at in range(0, len(rows), _ROWS):
        starts, numbers, places, lengths = zip(*rows[at : at + _ROWS], strict=True)
        arrays = (bigint_array(starts), bigint_array(numbers), bigint_array(places), bytea_array(lengths))
        connection.execute(_INSERT, (pack, *arrays))


def delete(connection: Connection, pack: int) -> None:
    """Forget the frames of a pack, whose blob is another one from now on."""
    connection.execute("DELETE FROM frames WHERE pack = %s", (pack,))


def _rows(entries: list[Entry]) -> list[_Row]:
    start = stored = 0
    rows: list[_Row] = []
    for number in range(0, len(entries), FRAMES_IN_ROW):
        part = [(entry.stored_length, entry.length) for entry in entries[number : number + FRAMES_IN_ROW]]
        rows.append(_Row(start, number, stored, pack_lengths(part)))
        stored += sum(length for length, _ in part)
        start += sum(length for _, length in part)
    return rows
