"""What a name of a commit means. Where it means none, the error says which commits there are ([PAST-22])."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mstbucket.core.commit_names import CommitName, OfSnapshot
from mstbucket.core.times import moment
from mstbucket.errors import NoSuchCommit
from mstbucket.index import past_lookup
from mstbucket.index.buckets import bucket_id
from mstbucket.index.commits import CommitRow

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_NAMES: Final = 5  # of snapshots, in one message


def resolve(connection: Connection, bucket: str, named: CommitName) -> CommitRow:
    """The commit of the bucket of that name. `core.commit_names.commit_name` makes `named` of what a user gave.

    Nothing holds the commit: it may be given up as soon as this transaction ends. A reader takes a lease.

    Raises:
        NoSuchBucket: there is no such bucket.
        NoSuchCommit: it has no such commit, or not any more. The message says which there are.
    """
    number = bucket_id(connection, bucket)
    found = past_lookup.find_commit(connection, number, named)
    if found is None:
        there = _snapshots_there if isinstance(named, OfSnapshot) else _commits_there
        raise NoSuchCommit(f"bucket {bucket!r} has no {named}: {there(connection, number)}").about(bucket=bucket)
    return found


def _commits_there(connection: Connection, bucket: int) -> str:
    span = past_lookup.span_of_commits(connection, bucket)
    if span.first_time is None or span.last_time is None:
        return "it was never flushed, and so has no commit yet"
    oldest, newest = (moment(ms).isoformat(timespec="milliseconds") for ms in (span.first_time, span.last_time))
    if span.commits == 1:
        return f"the one that can be read is {span.first}, of {oldest}"
    return f"the {span.commits} that can be read are from {span.first}, of {oldest}, to {span.last}, of {newest}"


def _snapshots_there(connection: Connection, bucket: int) -> str:
    names = past_lookup.names_of_snapshots(connection, bucket, _NAMES + 1)
    if not names:
        return "none of its commits has a name; a number, a CID or a time such as 2030-01-01T00:00:00Z names one, too"
    more = " and more" if len(names) > _NAMES else ""
    return f"the names there are: {', '.join(map(repr, names[:_NAMES]))}{more}"
