"""`collect`: remove what nothing needs, say what that would be, or bring it back; and what `status` says of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from mstbucket.cli.exits import FAILED, OK
from mstbucket.cli.output import Output, complain, count, human_size, local_time
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput
from mstbucket.limits import UNDO_SECONDS

if TYPE_CHECKING:
    from mstbucket import Amount, CollectReport, SpaceInfo


def collect(arguments: argparse.Namespace, out: Output) -> int:
    """Collect ([CLI-60], [CLI-61])."""
    if arguments.undo:
        if arguments.force or arguments.grace is not None:
            raise InvalidInput("--undo goes with neither --force nor --grace")
        with open_store(arguments) as store:
            back = store.undo_collect()
        out.emit({"action": "undo", **asdict(back)}, f"{_amount(back)} came back")
        return OK
    grace = UNDO_SECONDS if arguments.grace is None else arguments.grace
    with open_store(arguments) as store:
        report = store.collect(dry_run=arguments.dry_run, force=arguments.force, grace=grace)
    out.emit({"action": "collect", **asdict(report)}, "\n".join(_lines(report)))
    for name, why in report.damaged.items():
        complain(f"{name} was left as it is: {why}")
    return FAILED if report.damaged else OK


def _lines(report: CollectReport) -> Iterator[str]:
    yield f"needed: {_amount(report.live)}"
    if report.spared.blocks:
        yield f"not needed, but new: a writer may be about to use it, so it is left: {_amount(report.spared)}"
    yield f"not needed: {_amount(report.dead)}"
    for kind, amount in sorted(report.kinds.items()):
        yield f"  {kind}: {_amount(amount)}"
    if report.dry_run:
        yield f"would be empty: {count(report.packs, 'pack')}; less than half needed: {report.thin:,}; nothing was removed"
    else:
        yield (f"removed: {_amount(report.freed)}, and {count(report.packs, 'pack')} ({human_size(report.packs_bytes)}); "
               f"written again: {count(report.rewritten, 'thin pack')}")  # fmt: skip
        left = report.thin - report.rewritten - len(report.damaged)
        if left > 0:  # [GC-17]
            yield f"{count(left, 'thin pack')} left as they are: something else writes packs again, or needs them, now"
        if report.undo_until is not None and (report.freed.blocks or report.packs):
            yield f"'collect --undo' brings it back until {local_time(report.undo_until)}; then its room is free"
    if report.strays:
        yield f"blobs that the index does not know: {len(report.strays):,}, removed {report.strays_removed:,}"
        yield from (f"  {name}" for name in report.strays)


def space_lines(space: SpaceInfo) -> Iterator[str]:
    """What `status` says of garbage."""
    yield f"packs     {human_size(space.stored)}"
    if space.last is None or space.live is None or space.dead is None:
        yield "          nothing was collected yet"
    else:
        yield (f"          {human_size(space.live)} needed, {human_size(space.dead)} not needed or new since the last "
               f"collection, {local_time(space.last.ended)}, which freed {human_size(space.last.freed.bytes)}")  # fmt: skip
    if space.waiting:
        yield f"          and {human_size(space.waiting)} that wait for the end of their undo window"


def _amount(amount: Amount) -> str:
    return f"{count(amount.blocks, 'block')} ({human_size(amount.bytes)})"
