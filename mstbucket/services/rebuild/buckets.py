"""A bucket made again: rows of its newest commit that is whole, and of the commits before it that can be read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from mstbucket.core.batches import in_batches
from mstbucket.core.cid import to_text
from mstbucket.errors import CorruptionError, FormatError, Untrue
from mstbucket.index import buckets, commits, rebuild, recovered, staging
from mstbucket.index.versions import check_history
from mstbucket.limits import BUCKET_NAME_MAX
from mstbucket.model.rebuild import RebuiltBucket
from mstbucket.services.blocks.context import Context
from mstbucket.services.rebuild.presence import Presence
from mstbucket.services.rebuild.rows import TreeRows
from mstbucket.services.rebuild.states import States, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mstbucket.pg.pool import Connection

_JOINED: Final = 512  # rows sent at once


def make_bucket(context: Context, wanted: Wanted, states: States, accept_loss: bool) -> RebuiltBucket:
    """Make a bucket of the newest of its commits that can be made one.

    Nothing is made where something is missing, and that was not accepted: then the report says what.

    Raises:
        StorageError: the database or the blob store failed.
    """
    passed = list(_lost_before(wanted))
    named = wanted.named
    try:
        for at, ref in enumerate(wanted.history):
            try:
                return _make_of(context, wanted, at, states, tuple(passed), accept_loss)
            except (CorruptionError, FormatError) as error:  # of a node or a manifest; StoreBlocks has recorded the pack
                passed.append(f"{ref.commit.seq} {to_text(ref.cid)}: {error}")
        nothing = RebuiltBucket(named, named, wanted.identity, None, 0, 0, 0, 0, 0, False, tuple(passed), (), (), 0)
        if wanted.state is None or (passed and not accept_loss):
            return nothing
        return _make_empty(context, wanted, states, nothing)
    except _Refused as refused:
        return refused.report


class _Refused(Exception):
    """Something is missing, and that was not accepted."""

    def __init__(self, report: RebuiltBucket) -> None:
        super().__init__()
        self.report = report


def _lost_before(wanted: Wanted) -> Iterator[str]:
    """The commit that the state names, where it is newer than all that can be found."""
    state = wanted.state
    newest = wanted.history[0].commit.seq if wanted.history else 0
    if state is not None and state.config is not None and state.told is not None and state.config["seq"] > newest:
        yield f"{state.config['seq']} {to_text(state.told)}: neither a ref nor a pack has it"


def _make_of(
    context: Context, wanted: Wanted, at: int, states: States, passed: tuple[str, ...], accept_loss: bool
) -> RebuiltBucket:
    ref, older = wanted.history[at], wanted.history[at + 1 :]
    named = wanted.named
    blocks = context.blocks
    name = free_name(named, rebuild.names_taken(context.db))
    number = buckets.reserve_number(context.db)
    with closing(Presence(context.db, blocks)) as presence, context.db.transaction() as connection:
        rows = TreeRows(number, ref.commit, blocks, presence)
        _take_rows(connection, number, rows)
        if rows.hurt_count:
            presence.forget()
        whole = [one for one in older if presence.is_whole(one.cid, one.block)]
        report = RebuiltBucket(
            name=name, named=named, identity=ref.commit.bucket, commit=to_text(ref.cid), seq=ref.commit.seq,
            objects=rows.objects, versions=rows.versions, commits=1 + len(whole), locks=0, state=wanted.state is not None,
            passed=passed, left_out=tuple(f"{one.commit.seq} {to_text(one.cid)}" for one in older if one not in whole),
            hurt=tuple(rows.hurt), hurt_count=rows.hurt_count,
        )  # fmt: skip
        if not report.is_whole and not accept_loss:
            raise _Refused(report)
        tx = buckets.insert_imported(connection, number, name, ref.cid, ref.commit)
        for one in (ref, *whole):
            commits.insert(tx, one.cid, one.commit, whole=True)
        commits.mark_all_published(tx)
        report = _restore_state(connection, number, wanted, states, report)
        rebuild.note_bucket(connection, number, asdict(report))
        return report


def _make_empty(context: Context, wanted: Wanted, states: States, report: RebuiltBucket) -> RebuiltBucket:
    """A bucket of which no commit is known, or none is left."""
    number = buckets.reserve_number(context.db)
    report = replace(report, name=free_name(report.named, rebuild.names_taken(context.db)), state=True)
    with context.db.transaction() as connection:
        recovered.insert_empty(connection, number, report.name, wanted.identity)
        report = _restore_state(connection, number, wanted, states, report)
        rebuild.note_bucket(connection, number, asdict(report))
    return report


def _restore_state(
    connection: Connection, number: int, wanted: Wanted, states: States, report: RebuiltBucket
) -> RebuiltBucket:
    """[REB-27]"""
    state = wanted.state
    if state is None or state.config is None:
        return report
    locks = recovered.restore(connection, number, state.id, state.config, states.locks(state), len(state.blobs))
    there = recovered.snapshots_of(connection, number)
    lost = [f"snapshot {one['name']!r}" for one in state.config["snapshots"] if one["name"] not in there]
    return replace(report, locks=locks, left_out=(*report.left_out, *lost))


def _take_rows(connection: Connection, number: int, rows: TreeRows) -> None:
    staging.add_objects(connection, number, _joined(rows.object_rows()), ())
    staging.add_versions(connection, number, _joined(rows.version_rows()))
    wrong = check_history(connection, number)
    if wrong is not None:
        raise Untrue(wrong)


def _joined(rows: Iterator[bytes]) -> Iterator[bytes]:
    return map(b"".join, in_batches(rows, _JOINED))


def free_name(named: str, taken: set[str]) -> str:
    """The name, or where it is taken the first of `name-2`, `name-3`, … that is not ([REB-9])."""
    name, number = named, 2
    while name in taken:
        tail = f"-{number}"
        name = named[: BUCKET_NAME_MAX - len(tail)].rstrip("-.") + tail
        number += 1
    return name


def report_of(stored: dict[str, object]) -> RebuiltBucket:
    """A report from its form in the database."""
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    return replace(RebuiltBucket(**stored), **lists)  # type: ignore[arg-type]
