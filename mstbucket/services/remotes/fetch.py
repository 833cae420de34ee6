"""Fetch: the other store's state of a bucket, as a bucket beside the own one, to be compared and merged ([RMT-10])."""

from __future__ import annotations

import re
from typing import Final

from mstbucket.core import commit as commits
from mstbucket.core.keys import check_bucket_name
from mstbucket.errors import InvalidInput, MergeIncomplete, NotFastForward
from mstbucket.index import buckets, remotes
from mstbucket.index import commits as rows
from mstbucket.index.leases import Kept
from mstbucket.limits import REMOTE_NAME_MAX
from mstbucket.model.past import MergeReport
from mstbucket.model.remotes import PullReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.past.advance import Accept, Progress
from mstbucket.services.past.fork import fill
from mstbucket.services.past.merge import merge
from mstbucket.services.remotes.peer import Peer
from mstbucket.services.remotes.pull import pull
from mstbucket.services.tree.flush import flush
from mstbucket.services.tree.leases import hold
from mstbucket.services.tree.publish import publish_made

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LOOKED_AT: Final = 1000  # newest commits of the own bucket, one of which the other side should know


def check_remote_name(name: str) -> None:
    """Raise `InvalidInput` unless *name* can be the name of a remote: it becomes a part of the names of buckets."""
    if not 1 <= len(name) <= REMOTE_NAME_MAX or _NAME.fullmatch(name) is None:
        raise InvalidInput(f"the name of a remote has 1 to {REMOTE_NAME_MAX} of a-z, 0-9 and '-', and no '-' at an end; "
                           f"{name[:60]!r} has not")  # fmt: skip


def tracking_name(bucket: str, remote: str) -> str:
    """The name of the bucket that holds what was fetched."""
    check_remote_name(remote)
    name = f"{bucket}.{remote}"
    check_bucket_name(name)
    return name


def fetch(
    context: Context, name: str, remote: str, peer: Peer, progress: Progress | None, accept: Accept
) -> PullReport:
    """Bring the bucket that tracks the one of `remote` to its newest commit, and make it at first; see `Bucket.fetch`."""
    tracking = tracking_name(name, remote)
    if not buckets.exists(context.db, tracking) and buckets.exists(context.db, name):
        peer.hold()
        met = _last_met(context, name, remote, peer)
        if met is not None:
            _begin(context, tracking, met)
    report = pull(context, tracking, peer, progress, accept, remote)
    remotes.note_fetched(context.db, tracking, remote)  # [RMT-15]
    return report


def pull_and_merge(
    context: Context,
    name: str,
    remote: str,
    peer: Peer,
    prefer: str | None,
    progress: Progress | None,
    accept: Accept,
) -> tuple[PullReport, MergeReport | None]:
    """As `pull`; where both have gone on, what the other side changed is fetched and merged ([RMT-8])."""
    if buckets.exists(context.db, name):
        flush(context, name)
    try:
        return pull(context, name, peer, progress, accept, remote), None
    except (NotFastForward, MergeIncomplete):
        report = fetch(context, name, remote, peer, progress, accept)
    return report, merge(context, report.bucket, name, prefer, False)


def _last_met(context: Context, name: str, remote: str, peer: Peer) -> Kept | None:
    """The newest commit of the own bucket that the other side is known to have had; it may have forgotten it."""
    with context.db.reading() as connection:
        number = buckets.bucket_id(connection, name)
        ours = remotes.newest_commits(connection, number, _LOOKED_AT)
        met = remotes.last_met(connection, number, remote)
    known = peer.has_commits([one.cid for one in ours]) if ours else set()
    found = [one for one in ours if one.cid in known] + ([] if met is None else [met])
    return max(found, key=lambda one: one.seq, default=None)


def _begin(context: Context, tracking: str, met: Kept) -> None:
    """Make the tracking bucket where the two were the same: as a fork is made, but with the identity and the commit kept."""
    with hold(context, met) as lease:
        commit = commits.decode(context.blocks.get(met.cid))
        number = buckets.reserve_number(context.db)
        with context.db.transaction() as connection:
            fill(context, connection, lease, number)
            lease.confirm()  # [PAST-41]
            tx = buckets.insert_imported(connection, number, tracking, met.cid, commit)
            rows.insert(tx, met.cid, commit, whole=True)
    publish_made(context, tracking, f"bucket {tracking!r} is made")
