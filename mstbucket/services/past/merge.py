"""Merge: what another bucket changed since the two parted comes in, as one commit that names both ([PAST-60] to [PAST-64]).

    1. Both buckets are flushed. Leases hold their newest commits, and the one where the two parted or met last.
    2. The changes from there to either side are walked side by side. What only the other side changed is to come in.
    3. `change_keys` changes the keys and moves the commit.

A crash before 3 ends leaves blocks that nothing leads to, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, to_text
from mstbucket.core.commit_fields import check_message
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.diff import Change
from mstbucket.errors import BlocksMoved, CommitMoved, Conflict, InvalidInput, NoSuchCommit, Unsupported
from mstbucket.index import merging
from mstbucket.index.commits import Head
from mstbucket.index.leases import Kept
from mstbucket.limits import RESTORE_KEYS
from mstbucket.model.past import MergeConflict, MergeReport, RestoreChange
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.past.change_keys import change_keys
from mstbucket.services.past.wanted import Wanted, load, without_version
from mstbucket.services.tree.flush import flush, newest_saying
from mstbucket.services.tree.leases import Lease, hold, hold_newest
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.turns import FLUSH_ATTEMPTS, turn

_SIDES: Final = ("ours", "theirs")
_ADVICE: Final = "copy what you want of it, part by part"
_SHOWN: Final = 20  # conflicts in one message
_BATCH: Final = 128  # keys whose manifests are compared at a time

_Both = tuple[bytes, CID | None, CID | None, CID | None]  # a key; its values where they parted, here, and there


def merge(
    context: Context, source: str, target: str, prefer: str | None, dry_run: bool, message: str | None = None
) -> MergeReport:
    """Bring the changes of `source` into `target`; see `Store.merge`."""
    if prefer is not None and prefer not in _SIDES:
        raise InvalidInput(f"prefer is {prefer!r}: it has to be 'ours', 'theirs', or None, which fails on conflicts")
    if source == target:
        raise InvalidInput(f"bucket {target!r} cannot be merged with itself")
    if message is not None:
        check_message(message)
    for attempt in range(1, FLUSH_ATTEMPTS + 1):
        flush(context, source)
        flush(context, target)
        try:
            report = _merge(context, source, target, prefer, dry_run, message)
            break
        except (CommitMoved, BlocksMoved):
            if attempt == FLUSH_ATTEMPTS:
                raise
    publish_made(context, target, f"bucket {source!r} is merged into {target!r}")
    return report


def _merge(
    context: Context, source: str, target: str, prefer: str | None, dry_run: bool, message: str | None
) -> MergeReport:
    with ExitStack() as stack:
        head, ours = hold_newest(context, target)
        stack.enter_context(ours)
        theirs = stack.enter_context(hold_newest(context, source)[1])
        base = stack.enter_context(hold(context, _common(context, theirs.commit, ours.commit)))
        stack.enter_context(error_context(context, target))
        incoming, conflicts = _split(context, base.commit, ours.commit, theirs.commit)
        for lease in (ours, theirs, base):
            lease.confirm()
        report = MergeReport(
            to_text(base.commit.cid), to_text(theirs.commit.cid), to_text(ours.commit.cid), (),
            tuple(MergeConflict(key.decode(), *map(_text, values)) for key, *values in conflicts),
        )  # fmt: skip
        if prefer == "theirs":
            incoming += [(key, here, there) for key, _, here, there in conflicts]
        if dry_run:
            made = tuple(RestoreChange(key.decode(), _text(here), _text(there)) for key, here, there in sorted(incoming))
            return replace(report, changes=made)
        if conflicts and prefer is None:
            raise _in_conflict(source, target, report)
        with turn(context, ours.commit.bucket):
            wanted = load(context, [(key.decode(), cid) for key, _, cid in incoming], _ADVICE)
            return _bring_in(context, head, theirs, wanted, report, message)


def _common(context: Context, source: Kept, target: Kept) -> Kept:
    with context.db.reading() as connection:
        found = merging.find_common(connection, source.bucket, target.bucket)
    if found is None:  # [PAST-60]
        raise NoSuchCommit(f"nothing that is kept tells where buckets {source.name!r} and {target.name!r} parted: neither "
                           "is a fork of the other, or the commit is gone; copy what you want of it")  # fmt: skip
    return found


def _split(context: Context, base: Kept, ours: Kept, theirs: Kept) -> tuple[list[Change], list[_Both]]:
    """What only the other side changed, as (key, value here, value there); and what both did, each in another way."""
    incoming: list[Change] = []
    conflicts: list[_Both] = []
    here = changes(Tree(context.blocks, base.tree), Tree(context.blocks, ours.tree))
    there = changes(Tree(context.blocks, base.tree), Tree(context.blocks, theirs.tree))
    mine = next(here, None)
    for key, was, new in there:
        while mine is not None and mine[0] < key:
            mine = next(here, None)
        if mine is None or mine[0] != key:
            incoming.append((key, was, new))
        elif mine[2] != new:
            conflicts.append((key, was, mine[2], new))
        if len(incoming) + len(conflicts) > RESTORE_KEYS:  # [PAST-64]
            raise Unsupported(f"more than {RESTORE_KEYS:,} keys changed there, which is what one merge brings in at once: "
                              f"{_ADVICE}")  # fmt: skip
    apart: list[_Both] = []
    for one, (before, at_ours, at_theirs) in _loaded(context, conflicts):
        if at_ours == before:
            incoming.append((one[0], one[2], one[3]))
        elif at_theirs not in (before, at_ours):
            apart.append(one)
    return incoming, apart


def _loaded(context: Context, both: list[_Both]) -> Iterator[tuple[_Both, list[Manifest | None]]]:
    """The keys that both changed, each with its three objects; times and version ids are no part of them ([PAST-62])."""
    for batch in in_batches(both, _BATCH):
        sides = [load(context, [(one[0].decode(), one[side]) for one in batch], _ADVICE) for side in (1, 2, 3)]
        for one, *objects in zip(batch, *sides, strict=True):
            yield one, [None if it.manifest is None else without_version(it.manifest) for it in objects]


def _in_conflict(source: str, target: str, report: MergeReport) -> Conflict:
    keys = ", ".join(repr(one.key) for one in report.conflicts[:_SHOWN])
    more = f" and {len(report.conflicts) - _SHOWN} more" if len(report.conflicts) > _SHOWN else ""
    number = "1 key was" if len(report.conflicts) == 1 else f"{len(report.conflicts):,} keys were"
    return Conflict(f"{number} changed in both {source!r} and {target!r}: {keys}{more}; say whose change counts (--ours or "
                    "--theirs), or copy by hand").about(bucket=target)  # fmt: skip


def _bring_in(
    context: Context, head: Head, theirs: Lease, wanted: list[Wanted], report: MergeReport, message: str | None
) -> MergeReport:
    keys = {one.key for one in wanted}

    def find(written: Sequence[str]) -> list[Wanted]:
        if len(written) > RESTORE_KEYS or not keys.isdisjoint(written):  # [PAST-63]
            raise CommitMoved(f"somebody else wrote to bucket {head.name!r} meanwhile: repeat the call")
        return []

    # [RMT-8] Of two stores that have the same bucket, each learns by the commit how far the other has come.
    apart = theirs.commit.identity == head.identity and report.base != report.merged
    made, commit = change_keys(context, head, theirs, wanted, find, message, theirs.commit, always=apart)
    if commit is not None:
        return replace(report, commit=to_text(commit), changes=tuple(made))
    if message is not None:  # [FLUSH-14]
        newest_saying(context, head.name, message, "there is nothing to merge")
    return report


def _text(cid: CID | None) -> str | None:
    return None if cid is None else to_text(cid)
