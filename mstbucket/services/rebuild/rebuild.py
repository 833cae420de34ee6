"""A database made again from the blobs alone. spec/store/27-rebuild.md is normative.

    1. The database is marked. From here to the end no store can be opened in it ([REB-2]).
    2. Every pack is recorded, with its blocks.
    3. The refs are judged. Each branch becomes a bucket, in a transaction of its own.
    4. One transaction makes the database that of the store.

Each step can be repeated. A rebuild that was killed begins again, and finds what is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mstbucket.blobs.names import parse_ref, parse_secret_ref
from mstbucket.core.cid import to_text
from mstbucket.errors import Conflict, MissingBlock
from mstbucket.index import rebuild as rows
from mstbucket.model.rebuild import RebuildReport, RebuiltBucket
from mstbucket.pg.database import Database
from mstbucket.services.blocks.context import Context
from mstbucket.services.rebuild.buckets import make_bucket, report_of
from mstbucket.services.rebuild.packs import find_blocks, restore_commits
from mstbucket.services.rebuild.refs import Refs, read_refs
from mstbucket.services.rebuild.states import States, wanted_buckets

#: What is in no blob, whatever the store ([REB-11]).
GONE: Final = (
    "writes that no flush had folded into a commit",
    "open multipart uploads, with their parts",
    "the settings of the store: compression of new packs, when the background flushes",
    "the access keys of 'serve' and the names of remotes: make them anew",
)
_SHOWN: Final = 5  # of what is missing, in an error


def rebuild(
    context: Context, hashing: bool, accept_loss: bool, progress: Callable[[int], object] | None
) -> RebuildReport:
    """Fill the database of `context`, which `claim` has marked; see `Store.rebuild`."""
    with context.db.holding(*rows.TURN) as alone:
        if not alone:
            raise Conflict("another process rebuilds this database: let it end, or end it")
        damaged = find_blocks(context, hashing, progress)
        refs = read_refs(context.blobs, context.encoding.key)
        restore_commits(context, ((ref.cid, ref.block) for valid in refs.valid.values() for ref in valid))
        states = States(context.blobs, context.encoding.key)
        wanted, deleted = wanted_buckets(refs, states, context.blocks)
        reports = _made_before(context)
        made = {(report.identity, report.named, report.commit) for report in reports}
        for one in wanted:
            head = to_text(one.history[0].cid) if one.history else None
            if (one.identity, one.named, head) not in made:
                reports.append(make_bucket(context, one, states, accept_loss))
        if not accept_loss:
            _require_whole(reports, [*_newer_invalid(refs), *(f"{name}: {why}" for name, why in states.invalid.items())])
        context.db.run(lambda connection: rows.finish(connection, context.identity))
        packs, blocks = rows.count_blocks(context.db)
    buckets = tuple(sorted(reports, key=lambda report: report.name))
    invalid = refs.invalid | states.invalid
    return RebuildReport(context.identity, buckets, packs, blocks, damaged, invalid, tuple(deleted), GONE)


def claim(db: Database, identity: str) -> None:
    """Mark an empty database as one that is rebuilt for the store with this identity; repeatable ([REB-1]).

    Raises:
        Conflict: there is a store in it, or a rebuild of another one was begun.
    """
    known = rows.begin(db, identity)
    if known is None and rows.holds_store(db, identity):
        raise Conflict(f"store {identity} is in this database already: nothing is left to rebuild, open it")
    if known is None:
        raise Conflict("the database has something in it: a store is rebuilt in an empty one. Name another")
    if known != identity:
        raise Conflict(
            f"a rebuild of store {known} was begun in this database, and the blobs are those of store {identity}: name "
            "the place of its blobs, or another database"
        )


def _made_before(context: Context) -> list[RebuiltBucket]:
    """The buckets that an interrupted rebuild has made. Those that are not whole go: what they lack may be back."""
    kept = []
    for number, stored in rows.made_buckets(context.db).items():
        report = report_of(stored)
        if report.is_whole:
            kept.append(report)
        else:
            rows.drop_bucket(context.db, number)
    return kept


def _newer_invalid(refs: Refs) -> list[str]:
    """The refs that cannot be read, and are newer than every one of their bucket that can: what they named is lost."""
    newer = []
    for name, why in refs.invalid.items():
        identity, seq, _ = parse_ref(name) or parse_secret_ref(name) or ("", 0, "")
        if all(ref.commit.seq < seq for ref in refs.valid.get(identity, ())):
            newer.append(f"{name}: {why}")
    return newer


def _require_whole(reports: list[RebuiltBucket], invalid: list[str]) -> None:
    """Raise unless nothing that was published is missing ([REB-8])."""
    lost = list(invalid)
    for report in reports:
        lost += [f"bucket {report.named!r}, commit {passed}" for passed in report.passed]
        lost += [f"bucket {report.named!r}, the body of {key!r}" for key in report.hurt]
        lost += ["…"] * (report.hurt_count > len(report.hurt))
        if report.commit is None and report.passed:
            lost.append(f"bucket {report.named!r}: all of it")
        elif report.passed:
            lost.append(f"bucket {report.named!r}: all since commit {report.seq}, which is whole")
    if lost:
        shown = "; ".join(lost[:_SHOWN]) + (f"; and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
        raise MissingBlock(
            f"not all that was published is there: {shown}. Restore the packs and repeat the call, or accept the loss "
            "(accept_loss=True, --accept-loss)"
        )
