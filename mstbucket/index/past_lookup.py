"""Finding a commit of a bucket by what names it, and what there is where nothing is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.commit_names import CommitName, OfCid, OfNumber, OfSnapshot, OfTime
from mstbucket.index.commits import SELECT_COMMITS, CommitRow
from mstbucket.limits import SEQ_MAX

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_OF_CID: Final = f"{SELECT_COMMITS} WHERE b.id = %s AND c.cid = %s ORDER BY c.seq DESC LIMIT 1"
_OF_NUMBER: Final = f"{SELECT_COMMITS} WHERE b.id = %s AND c.seq = %s"
# By the number, and not by the time: clocks may go back, and commits that follow each other cannot.
_OF_TIME: Final = f"{SELECT_COMMITS} WHERE b.id = %s AND c.time <= %s ORDER BY c.seq DESC LIMIT 1"
_OF_SNAPSHOT: Final = f"""
    {SELECT_COMMITS} JOIN snapshots s ON s.bucket = c.bucket AND s.seq = c.seq WHERE b.id = %s AND s.name = %s
"""


class Span(NamedTuple):
    """The commits of a bucket that can be read: how many, and the numbers and times of the oldest and the newest.

    All but `commits` are None where there are none.
    """

    commits: int
    first: int | None
    last: int | None
    first_time: int | None
    last_time: int | None


def find_commit(connection: Connection, bucket: int, named: CommitName) -> CommitRow | None:
    """The commit that is named, of the bucket with that row number; None where no commit that can be read is."""
    query, value = _question(named)
    row = connection.execute(query, (bucket, value), binary=True).fetchone()
    return None if row is None else CommitRow._make(row)


def _question(named: CommitName) -> tuple[str, object]:
    match named:
        case OfCid(cid):
            return _OF_CID, cid
        case OfNumber(seq):
            return _OF_NUMBER, min(seq, SEQ_MAX)  # which no commit has
        case OfTime(ms):
            return _OF_TIME, ms
        case OfSnapshot(name):
            return _OF_SNAPSHOT, name


def span_of_commits(connection: Connection, bucket: int) -> Span:
    """The commits of the bucket with that row number that can be read."""
    query = "SELECT count(*), min(seq), max(seq), min(time), max(time) FROM commits WHERE bucket = %s"
    row = connection.execute(query, (bucket,), binary=True).fetchone()
    assert row is not None  # an aggregate
    return Span._make(row)


def names_of_snapshots(connection: Connection, bucket: int, limit: int) -> list[str]:
    """The names of the first `limit` snapshots of the bucket with that row number, in order."""
    query = "SELECT name FROM snapshots WHERE bucket = %s ORDER BY name LIMIT %s"
    return [name for (name,) in connection.execute(query, (bucket, limit), binary=True)]
