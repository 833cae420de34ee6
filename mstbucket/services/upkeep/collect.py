"""A collection as a whole: what retention gives up goes first, then a cycle, then thin packs are written again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mstbucket.errors import CollectionRefused, InvalidInput
from mstbucket.index import collection, space
from mstbucket.limits import COLLECT_HOURS, COLLECT_PAUSE_SECONDS, COLLECT_PERCENT, MIB, UNDO_SECONDS
from mstbucket.model.collection import CollectReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection.cycle import run_cycle
from mstbucket.services.collection.sweep import sweep as sweep_once
from mstbucket.services.collection.turns import GivingWay, LockTurn, Turn, after_others, asked_for, at_once, in_background
from mstbucket.services.past.retention import expire
from mstbucket.services.upkeep.compact import Compactor, remove_leftovers

LOOK_SECONDS: Final = 600.0  # between two looks of the background work: one goes over every row of `packs`
GROWN_SHARE: Final = 0.5  # of what was alive, by which the packs have grown: so garbage stays below half of what lives
GROWN_BYTES: Final = 256 * MIB  # at least: below that a cycle costs more than it frees
_REFUSED_SECONDS: Final = 86_400.0  # between two tries of what was refused
_HOUR_MS: Final = 3_600_000


def collect(
    context: Context,
    dry_run: bool,
    force: bool,
    grace: int,
    check: Callable[[], object] = lambda: None,
    turn: Turn = asked_for,
    turn_of_packs: LockTurn = after_others,
) -> CollectReport:
    """See `Store.collect`; *grace* is in seconds. *check* is called now and then; what it raises ends the collection."""
    if not 0 <= grace <= 365 * 86_400:
        raise InvalidInput(f"a grace of {grace} seconds cannot be: it is from 0 to a year")
    if not dry_run:
        expire(context)  # the commits that no rule keeps
    cycle = run_cycle(context, dry_run, force, grace * 1000, check, turn)
    if dry_run:
        return cycle.report
    written = Compactor(context).rewrite(cycle.thin, check, turn_of_packs)
    remove_leftovers(context)
    space.give_back(context.db)
    return replace(cycle.report, rewritten=written.packs, damaged=written.damaged)


def sweep(
    context: Context,
    check: Callable[[], object] = lambda: None,
    turn: Turn = asked_for,
    turn_of_packs: LockTurn = after_others,
) -> int:
    """Remove what died, as far as that needs no mark ([GC-24]); how many blocks. As `collect`, and never forced."""
    freed, thin = sweep_once(context, UNDO_SECONDS * 1000, check, turn)
    if thin:
        Compactor(context).rewrite(thin, check, turn_of_packs)
    if freed.blocks:
        collection.note_shrunk(context.db)  # [GC-15]
        remove_leftovers(context)
        space.give_back(context.db)
    return freed.blocks


class Pace:
    """Sleeps in proportion to the work since the last call, so that who writes meanwhile hardly feels it ([GC-19]).

    What counts is the time on the clock, since the server works for it as well.
    """

    def __init__(self, wait: Callable[[float], object]) -> None:
        self._wait = wait
        self._since = time.monotonic()

    def __call__(self) -> None:
        """Sleep for the work since the last call, or since it was made."""
        worked = time.monotonic() - self._since
        self._wait(min(worked * (100 / COLLECT_PERCENT - 1), COLLECT_PAUSE_SECONDS))
        self._since = time.monotonic()


class Collector:
    """Collects now and then: what the background does ([GC-15])."""

    def __init__(self, context: Context, wait: Callable[[float], object]) -> None:
        """*wait* sleeps for some seconds, and may raise what ends the collection."""
        self._context = context
        self._wait = wait
        self._next = time.monotonic() + LOOK_SECONDS

    def look(self) -> None:
        """Collect, if it is time for a look, and one is due."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        pace = Pace(GivingWay(self._context, self._wait))
        try:
            if not is_due(self._context):
                sweep(self._context, pace, in_background, at_once)  # [GC-24]
                return
            collect(
                self._context, dry_run=False, force=False, grace=UNDO_SECONDS, check=pace, turn=in_background,
                turn_of_packs=at_once,
            )  # fmt: skip
        except CollectionRefused:  # somebody has to look at it: not every few minutes
            self._next = time.monotonic() + _REFUSED_SECONDS
            raise


def is_due(context: Context) -> bool:
    """Whether the background should mark all now: a week is over, or much has been written since the last cycle."""
    stored, last = collection.stored(context.db), collection.last(context.db)
    if stored.oldest is None:
        return False
    since = stored.oldest if last is None or last.ended is None else last.ended
    if context.db.now_ms() - since >= COLLECT_HOURS * _HOUR_MS:
        return collection.may_have_died(context.db)  # [GC-18]
    at_last, live = (0, 0) if last is None else (last.stored or 0, last.live_bytes or 0)
    return stored.ready - at_last >= max(GROWN_BYTES, GROWN_SHARE * live)
