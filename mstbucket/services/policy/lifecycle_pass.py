"""Carrying out lifecycle rules: a pass over a bucket in small transactions. spec/store/22-lifecycle.md is normative.

A pass has phases: current objects, noncurrent versions, delete markers that are left alone, open uploads. Each goes through
its table in the order of its index, a page at a time, from a place that is a key and a sequence. What the rules say is
decided in SQL, by the functions of migration 0008: on the page, to find candidates, and again for each candidate when its
key is held, so nothing goes that changed in between ([LIFE-12]). A batch that is repeated finds nothing left to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.keys import TOP
from mstbucket.core.manifest import Manifest
from mstbucket.limits import SEQ_MAX
from mstbucket.model.policies import LifecycleReport
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects.versioning import new_id
from mstbucket.services.policy.lifecycle_rules import DAY_MS, Rule, load_rules

SCAN: Final = 10_000  # rows that one transaction looks at: about 20 ms
BATCH: Final = 1000  # of them that it acts on: about 200 ms, for which their keys are held
UPLOADS: Final = 10  # that it aborts: each may have 10,000 parts
TURN: Final = 20  # transactions of the background work on one bucket before it looks at others, and at the flush

DONE: Final = 4

log = logging.getLogger("mstbucket")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a pass is: in this phase, everything up to this key and sequence is done."""

    phase: int = 0
    key: str = ""
    seq: int = -1


@dataclass(frozen=True, slots=True)
class _Batch:
    """One transaction's work: the connection, the bucket, what its rules are and at which time."""

    connection: Any
    bucket: int
    versioning: str | None
    rules: list[Rule]
    midnight: int
    now: int


def run(context: Context, bucket: str, now: int | None = None) -> LifecycleReport:
    """A whole pass by the rules as they are; see `Bucket.run_lifecycle`. `now` is in ms since 1970."""
    with context.db.reading() as connection:
        clock: int = one_row(connection, "SELECT now_ms()")[0] if now is None else now
    midnight = clock // DAY_MS * DAY_MS
    counts = [0] * DONE
    place = Place()
    while place.phase < DONE:
        place, count, phase = context.db.run(_work(bucket, place, midnight, clock))
        counts[phase] += count
    report = LifecycleReport(*counts)
    _tell(bucket, report)
    return report


def _work(bucket: str, place: Place, midnight: int, now: int) -> Callable[[Any], tuple[Place, int, int]]:
    def work(connection: Any) -> tuple[Place, int, int]:
        number, _, versioning = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
        rules = load_rules(connection, number)
        return (*_step(_Batch(connection, number, versioning, rules, midnight, now), place), place.phase)

    return work


# --- the background work -------------------------------------------------------------------------------------------------


def due(context: Context) -> list[str]:
    """The buckets whose pass since the last midnight is not done; a bucket without enabled rules has none."""
    query = """
        SELECT b.name FROM buckets b LEFT JOIN lifecycle_passes p ON p.bucket = b.id
        WHERE b.id IN (SELECT bucket FROM lifecycle_rules WHERE enabled)
            AND (p.bucket IS NULL OR p.phase < %s OR p.midnight < now_ms() / %s * %s)
        ORDER BY b.name
    """
    with context.db.reading() as connection:
        return [row[0] for row in connection.execute(query, (DONE, DAY_MS, DAY_MS)).fetchall()]


def advance(context: Context, bucket: str, stopped: Callable[[], bool]) -> None:
    """Go on with the bucket's pass for a turn, or until it is done, `stopped`, or in the hands of another process.

    The place is written in the transaction that has done everything up to it, so any process goes on from there.
    """
    counts = [0] * DONE
    for _ in range(TURN):
        found = None if stopped() else context.db.run(lambda connection: _advance(connection, bucket))
        if found is None:
            break
        place, count, phase = found
        counts[phase] += count
        if place.phase == DONE:
            break
    _tell(bucket, LifecycleReport(*counts))


def _advance(connection: Any, bucket: str) -> tuple[Place, int, int] | None:
    number, _, versioning = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
    now: int = one_row(connection, "SELECT now_ms()")[0]
    midnight = now // DAY_MS * DAY_MS
    start = Place()
    connection.execute(
        "INSERT INTO lifecycle_passes VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (number, midnight, start.phase, start.key, start.seq),
    )
    query = "SELECT midnight, phase, key, seq FROM lifecycle_passes WHERE bucket = %s FOR UPDATE SKIP LOCKED"
    row = connection.execute(query, (number,), binary=True).fetchone()
    if row is None:
        return None
    began, place = row[0], Place(*row[1:])
    if place.phase == DONE:
        if began == midnight:
            return None  # somebody else has done the rest meanwhile
        began, place = midnight, start
    batch = _Batch(connection, number, versioning, load_rules(connection, number), began, now)
    after, count = _step(batch, place)
    connection.execute(
        "UPDATE lifecycle_passes SET midnight = %s, phase = %s, key = %s, seq = %s WHERE bucket = %s",
        (began, after.phase, after.key, after.seq, number),
    )
    return after, count, place.phase


def _tell(bucket: str, report: LifecycleReport) -> None:
    if report != LifecycleReport(0, 0, 0, 0):
        log.info(
            "lifecycle of %r: %d objects expired, %d noncurrent versions and %d delete markers removed, %d uploads aborted",
            bucket, report.expired, report.noncurrent, report.delete_markers, report.uploads,
        )  # fmt: skip


# --- one batch -----------------------------------------------------------------------------------------------------------


def _step(batch: _Batch, place: Place) -> tuple[Place, int]:
    """Look at one page behind *place* and do what is due of it: the place to go on from, and how much was done."""
    if place.phase == DONE - 1:
        return _abort_uploads(batch, place)
    latest, scan, act = (
        (_objects_latest, _SCAN_OBJECTS, _expire_objects),
        (_versions_latest, _SCAN_VERSIONS, _expire_versions),
        (_markers_latest, _SCAN_MARKERS, _expire_markers),
    )[place.phase]
    concerned = [(rule.prefix, time) for rule in batch.rules if (time := latest(rule, batch.midnight)) is not None]
    span = next((s for s in _spans([prefix for prefix, _ in concerned]) if s + TOP > place.key), None)
    if span is None:
        return Place(place.phase + 1), 0
    rows = batch.connection.execute(
        scan,
        {
            "bucket": batch.bucket, "key": place.key, "seq": place.seq, "low": span, "high": span + TOP,
            "latest": max(time for _, time in concerned), "midnight": batch.midnight, "limit": SCAN,
        },
        binary=True,
    ).fetchall()  # fmt: skip
    candidates = [(key, seq) for key, seq, _, is_due in rows if is_due]
    if len(candidates) > BATCH:
        candidates = candidates[:BATCH]
        after = Place(place.phase, *candidates[-1])
    elif rows and rows[-1][2] == SCAN:
        after = Place(place.phase, *rows[-1][:2])
    else:
        after = Place(place.phase, span + TOP, SEQ_MAX)  # nothing more below this prefix
    return after, act(batch, candidates) if candidates else 0


def _spans(prefixes: Sequence[str]) -> list[str]:
    """The prefixes in the order of their keys, without those that lie below another."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes), key=str.encode):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


# The latest time of writing that can be due by a rule, in ms since 1970; None where the rule has no say in the phase. Every
# version was written before it became noncurrent.


def _objects_latest(rule: Rule, midnight: int) -> int | None:
    if not rule.enabled:
        return None
    if rule.date is not None:
        return SEQ_MAX if rule.date <= midnight else None  # [LIFE-6] whenever they were written
    return None if rule.days is None else midnight - rule.days * DAY_MS


def _versions_latest(rule: Rule, midnight: int) -> int | None:
    return midnight - rule.noncurrent_days * DAY_MS if rule.enabled and rule.noncurrent_days is not None else None


def _markers_latest(rule: Rule, midnight: int) -> int | None:
    if rule.tags is not None or rule.larger is not None or rule.smaller is not None:
        return None
    return SEQ_MAX if rule.enabled and rule.lone_markers else _objects_latest(rule, midnight)


# A page of at most `limit` rows of an index, each with its number; of them the candidates, and the last row.
_SCAN: Final = """
    WITH page AS MATERIALIZED (
        SELECT t.*, row_number() OVER (ORDER BY {order}) AS n FROM {table} t
        WHERE t.bucket = %(bucket)s AND {after} AND t.key >= %(low)s AND t.key <= %(high)s
        ORDER BY {order} LIMIT %(limit)s
    ), judged AS (SELECT p.key, {seq} AS seq, p.n, p.modified <= %(latest)s AND {due} AS due FROM page p)
    SELECT key, seq, n, due FROM judged WHERE due OR n = (SELECT count(*) FROM page) ORDER BY n
"""
_SCAN_OBJECTS: Final = _SCAN.format(
    table="(SELECT bucket, key, size, tags, modified FROM objects)",
    order="t.key",
    after="t.key > %(key)s",
    seq="0::bigint",
    due="object_expires(%(bucket)s, p.key, p.size, p.tags, p.modified, %(midnight)s)",
)
_VERSIONS: Final = {
    "table": "(SELECT bucket, key, seq, size, tags, modified, content IS NULL AS marker FROM versions)",
    "order": "t.key, t.seq",
    "after": "(t.key, t.seq) > (%(key)s, %(seq)s)",
    "seq": "p.seq",
}
_SCAN_VERSIONS: Final = _SCAN.format(
    due="version_expires(%(bucket)s, p.key, p.seq, p.size, p.tags, p.modified, %(midnight)s)", **_VERSIONS
)
_SCAN_MARKERS: Final = _SCAN.format(
    due="p.marker AND marker_expires(%(bucket)s, p.key, p.seq, p.modified, %(midnight)s)", **_VERSIONS
)

_Candidates = Sequence[tuple[str, int]]


def _expire_objects(batch: _Batch, candidates: _Candidates) -> int:
    keys = binary.text_array([key for key, _ in candidates])
    if batch.versioning is None:
        return _number(batch, "SELECT expire_objects(%s, %s, %s)", batch.bucket, keys, batch.midnight)
    versions = [new_id(batch.versioning) for _ in candidates]
    markers = [
        Manifest(None, None, None, None, batch.now, batch.now, version_id=version, delete_marker=True)
        for version in versions
    ]
    cids = binary.bytea_array([dag_cbor_cid(manifests.encode(marker)) for marker in markers])
    query = "SELECT expire_by_markers(%s, %s, %s, %s, %s, %s, %s)"
    return _number(
        batch, query, batch.bucket, batch.versioning, keys, cids, binary.text_array(versions), batch.now, batch.midnight
    )


def _expire_versions(batch: _Batch, candidates: _Candidates) -> int:
    return _number(batch, "SELECT expire_versions(%s, %s, %s, %s)", batch.bucket, *_arrays(candidates), batch.midnight)


def _expire_markers(batch: _Batch, candidates: _Candidates) -> int:
    return _number(batch, "SELECT expire_markers(%s, %s, %s, %s)", batch.bucket, *_arrays(candidates), batch.midnight)


def _arrays(candidates: _Candidates) -> tuple[object, object]:
    return binary.text_array([key for key, _ in candidates]), binary.bigint_array([seq for _, seq in candidates])


def _number(batch: _Batch, query: str, *arguments: object) -> int:
    return int(one_row(batch.connection, query, arguments)[0])


def _abort_uploads(batch: _Batch, place: Place) -> tuple[Place, int]:
    """[LIFE-11]; uploads that somebody works on at this moment are left for the next pass."""
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
    if all(rule.upload_days is None for rule in batch.rules):
        return Place(DONE), 0
    arguments = {"bucket": batch.bucket, "key": place.key, "midnight": batch.midnight, "limit": UPLOADS}
    keys = [row[0] for row in batch.connection.execute(query, arguments)]
    after = Place(DONE) if len(keys) < UPLOADS else Place(place.phase, max(keys, key=str.encode))
    return after, len(keys)
