"""Pull: a bucket goes on to the newest commit of the same bucket in another store, in one switch ([RMT-1] to [RMT-8]).

    1. The roots are exchanged. If they are the same, or the own one is ahead, that was all.
    2. Leases hold the commit on either side. What the own store lacks is copied and recorded, and judged.
    3. The switch of an import makes the bucket go on, or makes it, as one transaction.

A crash before 3 ends leaves blocks that nothing leads to; the next pull finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mstbucket.core import car
from mstbucket.core import commit as commits
from mstbucket.core.cid import CID, from_text, to_text
from mstbucket.core.closure import closure
from mstbucket.core.commit import Commit
from mstbucket.core.keys import check_bucket_name
from mstbucket.errors import Conflict, MergeIncomplete, NotFastForward
from mstbucket.index import buckets, remotes
from mstbucket.index.commits import Head, read_head
from mstbucket.model.remotes import PullReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import repeating
from mstbucket.services.past.advance import Accept, Progress, To, advance
from mstbucket.services.past.arriving import Pieces
from mstbucket.services.past.bring import bring
from mstbucket.services.remotes.overlay import Overlay, PulledBlocks
from mstbucket.services.remotes.peer import Peer, checked
from mstbucket.services.tree.flush import flush
from mstbucket.services.tree.import_car import import_car
from mstbucket.services.tree.leases import hold_newest
from mstbucket.services.tree.publish import publish_made
from mstbucket.spill.seen import Seen

SAME: Final = "same"
AHEAD: Final = "ahead"
MOVED: Final = "moved"
MADE: Final = "made"

_WIDTH: Final = 64  # links from which a look-ahead starts: fewer requests


def pull(
    context: Context, name: str, peer: Peer, progress: Progress | None, accept: Accept, remote: str | None = None
) -> PullReport:
    """Bring bucket `name` to the newest commit of `peer`, or make it; see `Store.pull`.

    With *remote* it is noted, under that name, where the two were the same.
    """
    report = _pull(context, name, peer, progress, accept, remote)
    if remote is not None and report.outcome != AHEAD:
        remotes.note_met(context.db, name, remote, from_text(report.commit))  # [RMT-13]
    return report


def _pull(
    context: Context, name: str, peer: Peer, progress: Progress | None, accept: Accept, remote: str | None
) -> PullReport:
    check_bucket_name(name)
    said = progress if progress is not None else _nothing
    if not buckets.exists(context.db, name):
        return repeating(lambda: _make(context, name, peer, said, accept))
    head = _head(context, name)
    newest = peer.newest()
    if head.commit == newest:  # [RMT-2]
        accept(newest, commits.decode(context.blocks.get(newest)))
        return PullReport(name, to_text(newest), to_text(newest), head.seq, SAME, peer.requests, 0, 0)
    return repeating(lambda: _go_on(context, name, peer, said, accept, remote))


def push(
    source: Context, name: str, peer: Peer, pulled: Callable[[], PullReport], remote: str | None
) -> PullReport:
    """Bring a bucket of another store to the newest commit of bucket `name`: `pulled` has that one pull from this.

    With *remote* it is noted here, under that name, where the two were the same.

    Raises:
        NotFastForward: the other one has commits that this one lacks. Nothing has changed there.
    """
    flush(source, name)  # [RMT-9]
    try:
        report = pulled()
    except NotFastForward as error:
        raise NotFastForward(f"{error.args[0]} (the push was refused: fetch first, merge, and push again)") from error
    if report.outcome == AHEAD:
        raise NotFastForward(f"the bucket there has all that {peer.where} has, and more: pull first")
    if remote is not None:
        remotes.note_met(source.db, name, remote, from_text(report.commit))  # [RMT-13]
    return report


def _nothing(_done: int) -> None:
    pass


def _head(context: Context, name: str) -> Head:
    with context.db.reading() as connection:
        return read_head(connection, name)


# --- a bucket that is there -------------------------------------------------------------------------------------------


def _go_on(
    context: Context, name: str, peer: Peer, said: Progress, accept: Accept, remote: str | None
) -> PullReport:
    cid = peer.hold()
    head = _head(context, name)
    if head.commit is None:
        raise NotFastForward(f"bucket {name!r} was made here, and has no commit yet: it is another bucket than that of "
                             f"{peer.where}; pull into a name that is free")  # fmt: skip
    with context.db.reading() as connection:
        if remotes.on_line(connection, head.bucket, [cid]) or remotes.has_merged(connection, head.bucket, cid):  # [RMT-2]
            accept(cid, commits.decode(checked(peer, [cid])[cid]))
            return PullReport(name, to_text(head.commit), to_text(head.commit), head.seq, AHEAD, peer.requests, 0, 0)
    head, lease = hold_newest(context, name)
    with lease, PulledBlocks(context) as staged:
        overlay = Overlay(context, peer, staged, lease.during(said))
        block = overlay.get(cid)
        commit = commits.decode(block)
        accept(cid, commit)
        base = commits.decode(context.blocks.get(lease.commit.cid))
        _check_follows(context, name, peer, (lease.commit.cid, base), (cid, commit), _met(context, head, remote))
        bring(overlay, context.blocks, base, commit)
        staged.record_all()
        advance(context, head, lease, To(cid, commit), staged)
    publish_made(context, name, f"bucket {name!r} has followed")
    return PullReport(
        name, to_text(lease.commit.cid), to_text(cid), commit.seq, MOVED, peer.requests, overlay.blocks, overlay.bytes
    )


def _met(context: Context, head: Head, remote: str | None) -> CID | None:
    """The commit at which the bucket here and that of the remote were the same last."""
    if remote is None:
        return None
    with context.db.reading() as connection:
        met = remotes.last_met(connection, head.bucket, remote)
    return None if met is None else met.cid


def _check_follows(
    context: Context, name: str, peer: Peer, ours: tuple[CID, Commit], theirs: tuple[CID, Commit], met: CID | None
) -> None:
    """[RMT-3] Refuse what is no fast-forward, before anything is copied but a commit."""
    (here, base), (there, commit) = ours, theirs
    if base.bucket != commit.bucket:
        raise NotFastForward(
            f"bucket {name!r} is {base.bucket}, and that of {peer.where} is another one, {commit.bucket}: pull it under "
            "another name"
        ).about(bucket=name)
    commits.check_followed(commit)
    on_line = here in (commit.prev, met) or bool(peer.has_commits([here]))
    merged = not on_line and commit.seq > base.seq and peer.has_merged(here)
    if merged:
        check_home(base, commit, name)
    if commit.seq <= base.seq or not (on_line or merged):
        raise NotFastForward(
            f"bucket {name!r} is at commit {base.seq}, {to_text(here)}, which is not known to lie before commit "
            f"{commit.seq}, {to_text(there)}, of {peer.where}: fetch, and merge the two"
        ).about(bucket=name)
    commits.check_later(base, commit)
    if buckets.find(context.db, name).dirty:  # [RMT-9]
        raise Conflict(f"bucket {name!r} was written to since commit {base.seq}, and a pull brings a later one of "
                       f"{peer.where}: flush it, then fetch and merge").about(bucket=name)  # fmt: skip


def check_home(base: Commit, commit: Commit, name: str) -> None:
    """[RMT-8] Refuse to move from *base* to a line that it was merged into, where a merge leaves something of it out.

    Raises:
        MergeIncomplete: it has versions, or other settings.
    """
    if base.versions is None and (dict(base.tags), base.versioning) == (dict(commit.tags), commit.versioning):
        return
    merged = f"commit {base.seq} of bucket {name!r} there was merged into commit {commit.seq} or one before it, "
    if base.versions is None:
        raise MergeIncomplete(f"{merged}which has other tags or another state of versioning: give the bucket in both stores "
                              "the same, and repeat it").about(bucket=name)  # fmt: skip
    raise MergeIncomplete(
        f"{merged}but a merge brings current objects only, and that commit has versions, which would be lost. Merge the "
        f"other way round: fetch, merge mst://{name} into what was fetched, mst://{name}.REMOTE, and push that: --to {name}"
    ).about(bucket=name)  # [RMT-14]


# --- a bucket that is not there ---------------------------------------------------------------------------------------


def _make(context: Context, name: str, peer: Peer, said: Progress, accept: Accept) -> PullReport:
    """[RMT-7] As an import of the export that the other side would write, which is read block by block instead."""
    cid = peer.hold()
    with PulledBlocks(context) as staged, Seen() as seen:
        overlay = Overlay(context, peer, staged, said)
        sections = (car.section(one, block) for one, block in closure(overlay, cid, seen, _WIDTH))
        whole = Pieces(piece for part in (iter([car.header(cid)]), sections) for piece in part)
        import_car(context, whole, name, None, cid, accept, staged)
    head = _head(context, name)
    return PullReport(name, None, to_text(cid), head.seq, MADE, peer.requests, overlay.blocks, overlay.bytes)
