"""Lifecycle: the place of the pass under way over a bucket, and its pages and removals.

SQL functions decide what is due. They look at each candidate again while its key is held ([LIFE-12]).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.s3rules.lifecycle import Phase
from mstbucket.core.times import DAY_MS
from mstbucket.index.tx import Tx
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


class Place(NamedTuple):
    """How far a pass is: in this phase, everything up to this key and sequence is done."""

    phase: Phase
    key: str
    seq: int

    @classmethod
    def start_of(cls, phase: Phase) -> Place:
        """The place before everything in a phase."""
        return cls(phase, "", -1)


class Pass(NamedTuple):
    """The pass over a bucket: the midnight whose due things it removes, in ms since 1970, and its place."""

    midnight: int
    place: Place


class Candidate(NamedTuple):
    """An object, version or marker that is due, as far as its page shows. `seq` is 0 for a current object."""

    key: str
    seq: int


class Page(NamedTuple):
    """A page of a table.

    Attributes:
        due: the rows that are due, in the order of the index.
        last: the last row of the page; None where the page is empty.
        rows: how many rows the page has.
    """

    due: list[Candidate]
    last: Candidate | None
    rows: int


class Range(NamedTuple):
    """What a page is taken of: keys from `low` to `high`, both included. A row written after `latest` cannot be due."""

    low: str
    high: str
    latest: int


# --- the pass under way --------------------------------------------------------------------------------------------------


def unfinished(db: Database) -> list[str]:
    """The buckets with enabled rules whose pass since the last midnight is not done."""
    query = """
        SELECT b.name FROM buckets b LEFT JOIN lifecycle_passes p ON p.bucket = b.id
        WHERE b.id IN (SELECT bucket FROM lifecycle_rules WHERE enabled)
            AND (p.bucket IS NULL OR p.phase < %s OR p.midnight < now_ms() / %s * %s)
        ORDER BY b.name
    """
    with db.reading() as connection:
        return [name for (name,) in connection.execute(query, (Phase.DONE.value, DAY_MS, DAY_MS)).fetchall()]


def database_time(db: Database) -> int:
    """The time of the database's clock, in ms since 1970."""
    with db.reading() as connection:
        return int(one_row(connection, "SELECT now_ms()")[0])


def hold_pass(tx: Tx, midnight: int) -> Pass | None:
    """The pass over the bucket, held until the transaction ends; None where another transaction holds it.

    A bucket without a pass gets one for this midnight, at its start.
    """
    tx.connection.execute(
        "INSERT INTO lifecycle_passes VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (tx.bucket, midnight, *_stored(Place.start_of(Phase.OBJECTS))),
    )
    query = "SELECT midnight, phase, key, seq FROM lifecycle_passes WHERE bucket = %s FOR UPDATE SKIP LOCKED"
    row = tx.connection.execute(query, (tx.bucket,), binary=True).fetchone()
    if row is None:
        return None
    began, phase, key, seq = row
    return Pass(began, Place(Phase(phase), key, seq))


def move_pass(tx: Tx, to: Pass) -> None:
    """Write down how far the pass is; the transaction holds it, and has done everything up to there."""
    tx.connection.execute(
        "UPDATE lifecycle_passes SET midnight = %s, phase = %s, key = %s, seq = %s WHERE bucket = %s",
        (to.midnight, *_stored(to.place), tx.bucket),
    )


def _stored(place: Place) -> tuple[int, str, int]:
    return place.phase.value, place.key, place.seq


# --- pages ---------------------------------------------------------------------------------------------------------------

# A page of at most `limit` rows of an index, each with its number. The result has the candidates, and the last row.
_SCAN: Final = """
    WITH page AS MATERIALIZED (
        SELECT t.*, row_number() OVER (ORDER BY {order}) AS n FROM {table} t
        WHERE t.bucket = %(bucket)s AND {after} AND t.key >= %(low)s AND t.key <= %(high)s
        ORDER BY {order} LIMIT %(limit)s
    ), judged AS (SELECT p.key, {seq} AS seq, p.n, p.modified <= %(latest)s AND {due} AS due FROM page p)
    SELECT key, seq, n, due FROM judged WHERE due OR n = (SELECT count(*) FROM page) ORDER BY n
"""
_VERSIONS: Final = {
    "table": "(SELECT bucket, key, seq, size, tags, modified, content IS NULL AS marker FROM versions)",
    "order": "t.key, t.seq",
    "after": "(t.key, t.seq) > (%(key)s, %(seq)s)",
    "seq": "p.seq",
}
_SCANS: Final = {
    Phase.OBJECTS: _SCAN.format(
        table="(SELECT bucket, key, size, tags, modified FROM objects)",
        order="t.key",
        after="t.key > %(key)s",
        seq="0::bigint",
        due="object_expires(%(bucket)s, p.key, p.size, p.tags, p.modified, %(midnight)s)",
    ),
    Phase.VERSIONS: _SCAN.format(
        due="version_expires(%(bucket)s, p.key, p.seq, p.size, p.tags, p.modified, %(midnight)s)", **_VERSIONS
    ),
    Phase.MARKERS: _SCAN.format(
        due="p.marker AND marker_expires(%(bucket)s, p.key, p.seq, p.modified, %(midnight)s)", **_VERSIONS
    ),
}


def page_of(tx: Tx, after: Place, within: Range, midnight: int, limit: int) -> Page:
    """The next page after a place of one of the phases OBJECTS, VERSIONS and MARKERS: at most `limit` rows."""
    arguments = {
        "bucket": tx.bucket, "key": after.key, "seq": after.seq, "low": within.low, "high": within.high,
        "latest": within.latest, "midnight": midnight, "limit": limit,
    }  # fmt: skip
    rows = tx.connection.execute(_SCANS[after.phase], arguments, binary=True).fetchall()
    if not rows:
        return Page([], None, 0)
    key, seq, count, _ = rows[-1]
    return Page([Candidate(key, seq) for key, seq, _, due in rows if due], Candidate(key, seq), count)


# --- removals: each gives how many candidates were still due -------------------------------------------------------------


def expire_objects(tx: Tx, candidates: Sequence[Candidate], midnight: int) -> int:
    """Remove current objects that are due, in a bucket whose versioning was never set."""
    return _count(tx, "SELECT expire_objects(%s, %s, %s)", tx.bucket, _keys(candidates), midnight)


class NewMarker(NamedTuple):
    """A delete marker to be made: the CID of its manifest, and the id of its version."""

    cid: bytes
    version_id: str | None


def expire_by_markers(
    tx: Tx, candidates: Sequence[Candidate], markers: Sequence[NewMarker], now: int, midnight: int
) -> int:
    """Put these delete markers, made at `now`, above current objects that are due."""
    cids = binary.bytea_array([marker.cid for marker in markers])
    versions = binary.text_array([marker.version_id for marker in markers])
    query = "SELECT expire_by_markers(%s, %s, %s, %s, %s, %s, %s)"
    return _count(tx, query, tx.bucket, tx.versioning, _keys(candidates), cids, versions, now, midnight)


def expire_versions(tx: Tx, candidates: Sequence[Candidate], midnight: int) -> int:
    """Remove noncurrent versions that are due."""
    return _count(tx, "SELECT expire_versions(%s, %s, %s, %s)", tx.bucket, _keys(candidates), _seqs(candidates), midnight)


def expire_markers(tx: Tx, candidates: Sequence[Candidate], midnight: int) -> int:
    """Remove delete markers that are due and have nothing left below them."""
    return _count(tx, "SELECT expire_markers(%s, %s, %s, %s)", tx.bucket, _keys(candidates), _seqs(candidates), midnight)


def abort_uploads(tx: Tx, low: str, midnight: int, limit: int) -> list[str]:
    """Abort at most `limit` open uploads that are due ([LIFE-11]), from the key `low` on, and return their keys.

    An upload that somebody works on at this moment is left for the next pass.
    """
    query = """
        WITH gone AS MATERIALIZED (
            SELECT u.id FROM uploads u
            WHERE u.bucket = %(bucket)s AND u.completed IS NULL AND u.key >= %(key)s AND EXISTS (
                SELECT FROM lifecycle_rules r
                WHERE r.bucket = u.bucket AND r.enabled AND starts_with(u.key, r.prefix)
                    AND u.initiated <= days_before(%(midnight)s, r.upload_days))
            ORDER BY u.key, u.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        DELETE FROM uploads u USING gone WHERE u.id = gone.id RETURNING u.key
    """
    arguments = {"bucket": tx.bucket, "key": low, "midnight": midnight, "limit": limit}
    return [key for (key,) in tx.connection.execute(query, arguments).fetchall()]


def _keys(candidates: Sequence[Candidate]) -> object:
    return binary.text_array([candidate.key for candidate in candidates])


def _seqs(candidates: Sequence[Candidate]) -> object:
    return binary.bigint_array([candidate.seq for candidate in candidates])


def _count(tx: Tx, query: str, *arguments: object) -> int:
    return int(one_row(tx.connection, query, arguments)[0])
