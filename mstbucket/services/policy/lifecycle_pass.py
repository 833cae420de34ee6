"""A pass carries out the lifecycle rules of a bucket, in small transactions. spec/store/22-lifecycle.md is normative.

A pass has phases: current objects, noncurrent versions, delete markers with nothing below them, open uploads. Each phase
goes through its table in the order of the index, a page at a time. A page begins after a place: a key and a sequence.
SQL decides what is due: on the page, to find candidates, and again for each candidate while its key is held. So nothing
goes that changed in between ([LIFE-12]). A batch that is repeated finds nothing left to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.keys import TOP
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.lifecycle import Phase, aborts_uploads, latest_due, midnight_before, outermost
from mstbucket.index import lifecycle_pass, lifecycle_rules
from mstbucket.index.lifecycle_pass import Candidate, NewMarker, Pass, Place, Range
from mstbucket.index.tx import Tx, inside
from mstbucket.limits import SEQ_MAX
from mstbucket.model.policies import LifecycleReport, LifecycleRule
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects.versioning import new_id

SCAN: Final = 10_000  # rows that one transaction looks at: about 20 ms
BATCH: Final = 1000  # of them that it acts on: about 200 ms, for which their keys are held
UPLOADS: Final = 10  # that it aborts: each may have 10,000 parts
TURN: Final = 20  # transactions of the background work on one bucket before it looks at others, and at the flush

_START: Final = Place.start_of(Phase.OBJECTS)

log = logging.getLogger("mstbucket")


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction works with: the rules of its bucket, the midnight of the pass, and the time it is now."""

    tx: Tx
    rules: list[LifecycleRule]
    midnight: int
    now: int


class _Step(NamedTuple):
    """What one transaction did: how much, in which phase, and the place from which the next one goes on."""

    after: Place
    done: int
    phase: Phase


def run(context: Context, bucket: str, now: int | None = None) -> LifecycleReport:
    """A whole pass by the rules as they are; see `Bucket.run_lifecycle`. `now` is in ms since 1970."""
    clock = lifecycle_pass.database_time(context.db) if now is None else now
    counts = [0] * Phase.DONE
    place = _START
    while place.phase is not Phase.DONE:
        step = inside(context.db, bucket, _work(place, clock))
        counts[step.phase] += step.done
        place = step.after
    report = LifecycleReport(*counts)
    _tell(bucket, report)
    return report


def _work(place: Place, now: int) -> Callable[[Tx], _Step]:
    def work(tx: Tx) -> _Step:
        rules = lifecycle_rules.rules_of(tx.connection, tx.bucket)
        return _step(_Batch(tx, rules, midnight_before(now), now), place)

    return work


# --- the background work -------------------------------------------------------------------------------------------------


def due(context: Context) -> list[str]:
    """The buckets whose pass since the last midnight is not done; a bucket without enabled rules has none."""
    return lifecycle_pass.unfinished(context.db)


def advance(context: Context, bucket: str, stopped: Callable[[], bool]) -> None:
    """Go on with the bucket's pass for a turn, or until it is done, `stopped`, or in the hands of another process.

    The transaction that has done everything up to a place writes the place down. So any process goes on from there.
    """
    counts = [0] * Phase.DONE
    for _ in range(TURN):
        step = None if stopped() else inside(context.db, bucket, _advance)
        if step is None:
            break
        counts[step.phase] += step.done
        if step.after.phase is Phase.DONE:
            break
    _tell(bucket, LifecycleReport(*counts))


def _advance(tx: Tx) -> _Step | None:
    now = tx.now()
    midnight = midnight_before(now)
    found = lifecycle_pass.hold_pass(tx, midnight)
    if found is None:
        return None
    began, place = found
    if place.phase is Phase.DONE:
        if began == midnight:
            return None  # another process has done the rest meanwhile
        began, place = midnight, _START
    step = _step(_Batch(tx, lifecycle_rules.rules_of(tx.connection, tx.bucket), began, now), place)
    lifecycle_pass.move_pass(tx, Pass(began, step.after))
    return step


def _tell(bucket: str, report: LifecycleReport) -> None:
    if report != LifecycleReport(0, 0, 0, 0):
        log.info(
            "lifecycle of %r: %d objects expired, %d noncurrent versions and %d delete markers removed, %d uploads aborted",
            bucket, report.expired, report.noncurrent, report.delete_markers, report.uploads,
        )  # fmt: skip


# --- one batch -----------------------------------------------------------------------------------------------------------


def _step(batch: _Batch, place: Place) -> _Step:
    """Look at one page after *place*, and do what is due of it."""
    if place.phase is Phase.UPLOADS:
        return _abort_uploads(batch, place)
    within = _next_range(batch, place)
    if within is None:
        return _Step(Place.start_of(Phase(place.phase + 1)), 0, place.phase)
    page = lifecycle_pass.page_of(batch.tx, place, within, batch.midnight, SCAN)
    candidates = page.due[:BATCH]
    if len(page.due) > BATCH:
        after = Place(place.phase, *candidates[-1])
    elif page.last is not None and page.rows == SCAN:
        after = Place(place.phase, *page.last)
    else:
        after = Place(place.phase, within.high, SEQ_MAX)  # nothing more below this prefix
    if not candidates:
        return _Step(after, 0, place.phase)
    expire = {Phase.OBJECTS: _expire_objects, Phase.VERSIONS: _expire_versions, Phase.MARKERS: _expire_markers}
    return _Step(after, expire[place.phase](batch, candidates), place.phase)


def _next_range(batch: _Batch, place: Place) -> Range | None:
    """The keys of the next prefix that is not done, or None where the phase has nothing more to do."""
    latest: dict[str, int] = {}
    for rule in batch.rules:
        time = latest_due(place.phase, rule, batch.midnight)
        if time is not None:
            latest[rule.prefix] = max(time, latest.get(rule.prefix, time))
    for prefix in outermost(latest):
        if prefix + TOP > place.key:
            return Range(prefix, prefix + TOP, max(latest.values()))
    return None


def _expire_objects(batch: _Batch, candidates: Sequence[Candidate]) -> int:
    if batch.tx.versioning is None:
        return lifecycle_pass.expire_objects(batch.tx, candidates, batch.midnight)
    markers = [_marker(batch) for _ in candidates]
    return lifecycle_pass.expire_by_markers(batch.tx, candidates, markers, batch.now, batch.midnight)


def _marker(batch: _Batch) -> NewMarker:
    version = new_id(batch.tx.versioning)
    marker = Manifest(None, None, None, None, batch.now, batch.now, version_id=version, delete_marker=True)
    return NewMarker(dag_cbor_cid(manifests.encode(marker)), version)


def _expire_versions(batch: _Batch, candidates: Sequence[Candidate]) -> int:
    return lifecycle_pass.expire_versions(batch.tx, candidates, batch.midnight)


def _expire_markers(batch: _Batch, candidates: Sequence[Candidate]) -> int:
    return lifecycle_pass.expire_markers(batch.tx, candidates, batch.midnight)


def _abort_uploads(batch: _Batch, place: Place) -> _Step:
    if not any(map(aborts_uploads, batch.rules)):
        return _Step(Place.start_of(Phase.DONE), 0, place.phase)
    keys = lifecycle_pass.abort_uploads(batch.tx, place.key, batch.midnight, UPLOADS)
    after = Place.start_of(Phase.DONE) if len(keys) < UPLOADS else Place(place.phase, max(keys, key=str.encode), -1)
    return _Step(after, len(keys), place.phase)
