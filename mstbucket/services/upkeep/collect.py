"""A collection as a whole: what retention gives up goes first, then a cycle, then thin packs are written again."""

from __future__ import annotations

from dataclasses import replace

from mstbucket.errors import InvalidInput
from mstbucket.model.collection import CollectReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection.cycle import run_cycle
from mstbucket.services.upkeep.compact import Compactor, remove_leftovers


def collect(context: Context, dry_run: bool, force: bool, grace: int) -> CollectReport:
    """See `Store.collect`; *grace* is in seconds."""
    if not 0 <= grace <= 365 * 86_400:
        raise InvalidInput(f"a grace of {grace} seconds cannot be: it is from 0 to a year")
    cycle = run_cycle(context, dry_run, force, grace * 1000)
    if dry_run:
        return cycle.report
    written = Compactor(context).rewrite(cycle.thin)
    remove_leftovers(context)
    return replace(cycle.report, rewritten=written.packs, damaged=written.damaged)
