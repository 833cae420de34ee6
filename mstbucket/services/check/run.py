"""A check of the whole store: its work in pieces, done here or by an executor, and what they found put together.

The rules of the database come first. Everything else is independent: a bucket's trees, what it reaches, its proof, some
packs. A piece is told by plain values, so that a process on another machine can do it: it opens the store for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mstbucket.core.cid import CID, from_text, to_text
from mstbucket.errors import InvalidInput, MstBucketError, StorageError
from mstbucket.index import check_rows
from mstbucket.index.check_rows import PackRow
from mstbucket.index.rules import RULES, broken
from mstbucket.limits import FINDINGS_MAX, MIB
from mstbucket.model.findings import LEVELS, Finding, StoreReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.workers import submitter
from mstbucket.services.check.data import check_bodies, check_pack, check_small
from mstbucket.services.check.found import Part, path_of
from mstbucket.services.check.marking import mark_bucket, trace
from mstbucket.services.check.presence import check_blobs
from mstbucket.services.check.proof import check_proof
from mstbucket.services.check.trees import check_trees

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE: Final = 64  # pieces given to an executor before the first of them is done
_PACKS: Final = 256  # packs of one piece, at most
_BYTES: Final = 64 * MIB  # of the packs of one piece, from which it is full
_OWNERS: Final = 100  # blocks outside all trees whose keys are looked for; each is a look at every row
_SUBSET: Final = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work: its kind; the number and the name of a bucket; packs with the number of rows that lead to each."""

    kind: str
    number: int = 0
    bucket: str = ""
    packs: tuple[tuple[PackRow, int], ...] = ()


def check_store(
    context: Context, level: str, subset: str | None, executor: Executor | None, progress: Callable[[int], object] | None
) -> StoreReport:
    """Check the store up to a level; see `Store.check`."""
    if level not in LEVELS:
        raise InvalidInput(f"there is no level {level!r} of a check: {', '.join(LEVELS)}")
    share = _share(subset)
    submit = None if executor is None else submitter(context, executor)
    part = _check_rules(context)
    pieces = _pieces(context, LEVELS.index(level), share)
    for done in _do(context, pieces, submit):
        part.take(done)
        if progress is not None:
            progress(part.counts["bytes"])
    findings = _with_ways(context, part)
    counts = part.counts
    return StoreReport(
        level, tuple(findings), part.omitted, tuple(part.incomplete), counts["buckets"], counts["commits"],
        counts["objects"], counts["blocks"], counts["packs"], counts["bytes"],
    )  # fmt: skip


def _share(subset: str | None) -> tuple[int, int]:
    if subset is None:
        return 1, 1
    match = _SUBSET.fullmatch(subset)
    if match is None or int(match[1]) > int(match[2]):
        raise InvalidInput(f"a subset is n/t with 1 <= n <= t, as in 3/10, not {subset[:40]!r}")
    return int(match[1]), int(match[2])


def _check_rules(context: Context) -> Part:
    part = Part()
    for code in RULES:
        for row in broken(context.db, code, FINDINGS_MAX):
            part.add(code, row.said, bucket=row.bucket, key=row.key, cid=_cid(row.cid), blob=row.blob)
    return part


def _cid(cid: bytes | None) -> CID | None:
    """A CID of a row, unless it is none: then the message has to do."""
    return cid if cid is not None and len(cid) == 36 else None


# --- the pieces -------------------------------------------------------------------------------------------------------


def _pieces(context: Context, level: int, share: tuple[int, int]) -> Iterator[Piece]:
    buckets = check_rows.buckets(context.db)
    if level >= LEVELS.index("tree"):
        yield from (Piece("trees", number, name) for number, name in buckets)
    if level >= LEVELS.index("presence"):
        yield Piece("blobs")
        yield from (Piece("reached", number, name) for number, name in buckets)
    if level >= LEVELS.index("data"):
        yield Piece("bodies")
        yield Piece("small")
        yield from _packs(context, share)
    if level >= LEVELS.index("proof"):
        yield from (Piece("proof", number, name) for number, name in buckets)


def _packs(context: Context, share: tuple[int, int]) -> Iterator[Piece]:
    rows = check_rows.rows_by_pack(context.db)
    nth, of = share
    held: list[tuple[PackRow, int]] = []
    size, after = 0, ""
    while page := check_rows.packs_behind(context.db, after, 1000):
        after = page[-1].name
        for pack in page:
            if pack.state != "ready" or pack.id % of != nth - 1:
                continue
            held.append((pack, rows.get(pack.id, 0)))
            size += pack.size or 0
            if len(held) >= _PACKS or size >= _BYTES:
                yield Piece("packs", packs=tuple(held))
                held, size = [], 0
    if held:
        yield Piece("packs", packs=tuple(held))


def _run(context: Context, piece: Piece) -> Part:
    """Do one piece; what cannot be done is told as incomplete."""
    part = Part()
    try:
        if piece.kind == "packs":
            for pack, rows in piece.packs:
                part.take(check_pack(context, pack, rows))
        elif piece.kind in _WHOLE:
            part.take(_WHOLE[piece.kind](context))
        else:
            part.take(_BUCKET[piece.kind](context, piece.number, piece.bucket))
    except MstBucketError as error:
        of = f" of bucket {piece.bucket!r}" if piece.bucket else ""
        part.incomplete.append(f"the check of {piece.kind}{of} came to no end: {error}")
    return part


_WHOLE: Final = {"blobs": check_blobs, "bodies": check_bodies, "small": check_small}
_BUCKET: Final = {"trees": check_trees, "reached": mark_bucket, "proof": check_proof}


# --- who does them ----------------------------------------------------------------------------------------------------


def _do(
    context: Context, pieces: Iterator[Piece], submit: Callable[..., Future[object]] | None
) -> Iterator[Part]:
    if submit is None:
        for piece in pieces:
            yield _run(context, piece)
        return
    pending: set[Future[object]] = set()
    try:
        for piece in pieces:
            pending.add(submit(_run, piece))
            if len(pending) >= _AT_ONCE:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (_result(one) for one in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (_result(one) for one in done)
    finally:
        for one in pending:
            one.cancel()


def _result(future: Future[object]) -> Part:
    try:
        part = future.result()
    except MstBucketError:
        raise
    except Exception as error:
        raise StorageError(f"the executor failed: {type(error).__name__}: {error}") from error
    assert isinstance(part, Part)
    return part


# --- how what is damaged is reached -------------------------------------------------------------------------------------


def _with_ways(context: Context, part: Part) -> list[Finding]:
    """The findings; those about a block found by its place say how it is reached ([CHECK-2])."""
    targets = {cid for cid in map(_without_way, part.findings) if cid is not None}
    if not targets:
        return part.findings
    try:
        ways = trace(context, frozenset(targets))
        keys = _owners(context, sorted(targets - ways.keys())[:_OWNERS])
    except MstBucketError as error:
        part.incomplete.append(f"how the damaged blocks are reached could not be found: {error}")
        return part.findings
    told = []
    for one in part.findings:
        cid = _without_way(one)
        if cid in ways:
            bucket, commit, key, trail = ways[cid]
            at = None if commit is None else to_text(commit)
            told.append(replace(one, bucket=bucket, commit=at, key=key, path=path_of(trail)))
        elif cid in keys:
            bucket, key = keys[cid]
            told.append(replace(one, bucket=bucket, key=key))
        else:
            told.append(one)
    return told


def _without_way(finding: Finding) -> CID | None:
    """The block of a finding that does not say yet how it is reached."""
    known = finding.cid is None or finding.path is not None or finding.bucket is not None
    return None if known or finding.cid is None else from_text(finding.cid)


def _owners(context: Context, cids: list[CID]) -> dict[CID, tuple[str, str]]:
    """Bucket and key of blocks that no commit has yet."""
    owners = ((cid, check_rows.owner_of(context.db, cid)) for cid in cids)
    return {cid: owner for cid, owner in owners if owner is not None}
