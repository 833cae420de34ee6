"""A bucket made again: rows of its newest commit that is whole, and of the commits before it that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from mstbucket.core.cid import to_text
from mstbucket.errors import CorruptionError, FormatError, Untrue
from mstbucket.index import buckets, commits, rebuild, staging
from mstbucket.index.versions import check_history
from mstbucket.limits import BUCKET_NAME_MAX
from mstbucket.model.rebuild import RebuiltBucket
from mstbucket.services.blocks.context import Context
from mstbucket.services.rebuild.presence import Presence
from mstbucket.services.rebuild.refs import Ref
from mstbucket.services.rebuild.rows import TreeRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mstbucket.pg.pool import Connection

_JOINED: Final = 512  # rows sent at once


def make_bucket(context: Context, history: Sequence[Ref], named: str, accept_loss: bool) -> RebuiltBucket:
    """Make a bucket of the newest commit of `history` that can be made one; `history` is newest first.

    Nothing is made where something is missing, and that was not accepted: then the report says what.

    Raises:
        StorageError: the database or the blob store failed.
    """
    passed: list[str] = []
    for at, ref in enumerate(history):
        try:
            return _make_of(context, ref, history[at + 1 :], named, tuple(passed), accept_loss)
        except (CorruptionError, FormatError) as error:  # of a node or a manifest; StoreBlocks has recorded the pack
            passed.append(f"{ref.commit.seq} {to_text(ref.cid)}: {error}")
    return RebuiltBucket(named, named, history[0].commit.bucket, None, 0, 0, 0, 0, 0, False, tuple(passed), (), (), 0)


class _Refused(Exception):
    """Something is missing, and that was not accepted."""

    def __init__(self, report: RebuiltBucket) -> None:
        super().__init__()
        self.report = report


def _make_of(
    context: Context, ref: Ref, older: Sequence[Ref], named: str, passed: tuple[str, ...], accept_loss: bool
) -> RebuiltBucket:
    blocks = context.blocks.scan()
    name = free_name(named, rebuild.names_taken(context.db))
    number = buckets.reserve_number(context.db)
    try:
        with closing(Presence(context.db, blocks)) as presence, context.db.transaction() as connection:
            rows = TreeRows(number, ref.commit, blocks, presence)
            _take_rows(connection, number, rows)
            if rows.hurt_count:
                presence.forget()
            whole = [one for one in older if presence.is_whole(one.cid, one.block)]
            report = RebuiltBucket(
                name=name, named=named, identity=ref.commit.bucket, commit=to_text(ref.cid), seq=ref.commit.seq,
                objects=rows.objects, versions=rows.versions, commits=1 + len(whole), locks=0, state=False, passed=passed,
                left_out=tuple(f"{one.commit.seq} {to_text(one.cid)}" for one in older if one not in whole),
                hurt=tuple(rows.hurt), hurt_count=rows.hurt_count,
            )  # fmt: skip
            if not report.is_whole and not accept_loss:
                raise _Refused(report)
            tx = buckets.insert_imported(connection, number, name, ref.cid, ref.commit)
            for one in (ref, *whole):
                commits.insert(tx, one.cid, one.commit, whole=True)
            commits.mark_all_published(tx)
            rebuild.note_bucket(connection, number, asdict(report))
            return report
    except _Refused as refused:
        return refused.report


def _take_rows(connection: Connection, number: int, rows: TreeRows) -> None:
    staging.add_objects(connection, number, _joined(rows.object_rows()), ())
    staging.add_versions(connection, number, _joined(rows.version_rows()))
    wrong = check_history(connection, number)
    if wrong is not None:
        raise Untrue(wrong)


def _joined(rows: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for row in rows:
        held.append(row)
        if len(held) == _JOINED:
            yield b"".join(held)
            held.clear()
    yield b"".join(held)


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
