"""The log of a bucket's commits, in the file that its publisher keeps (`spec/format/37-log.md`)."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

from mstbucket.core import commit_log
from mstbucket.core.cid import from_text, to_text
from mstbucket.core.commit_log import Listed, Log
from mstbucket.errors import NoSuchCommit, NoSuchFile, Untrue
from mstbucket.files.whole import locked_beside, reading, replacing
from mstbucket.index import commits
from mstbucket.limits import LOG_FILE_MAX
from mstbucket.model.buckets import CommitInfo
from mstbucket.pg.database import Database


def append(db: Database, bucket: str, path: str | os.PathLike[str]) -> str:
    """List the commits of a bucket that are newer than the last one listed; return the head ([CLI-260])."""
    with locked_beside(path, f"the log {os.fsdecode(path)} cannot be written"):
        newest = commits.newest(db, bucket)
        if newest is None:
            raise NoSuchCommit(f"bucket {bucket!r} has no commit to list: flush it first")
        log = _read_or_begin(path, newest.bucket)
        if log.bucket != newest.bucket:
            raise Untrue(f"the log is that of bucket {log.bucket}, and {bucket!r} is {newest.bucket}")
        longer = commit_log.appended(log, _newer(db, bucket, log))
        if longer != log:
            with replacing(Path(os.path.realpath(path))) as file:  # a link to it stays one
                file.write(commit_log.encode(longer))
    return str(longer.head())


def _read_or_begin(path: str | os.PathLike[str], bucket: str) -> Log:
    """The log in the file, or one without commits where there is no file."""
    try:
        return read(path)
    except NoSuchFile as error:
        if isinstance(error.__cause__, FileNotFoundError):  # and no file in the way of a folder
            return Log(bucket, ())
        raise


def _newer(db: Database, bucket: str, log: Log) -> list[Listed]:
    """The commits that are to be listed. One that is listed already has to be the same."""
    if not log.entries:
        return [_listed(one) for one in commits.log(db, bucket)][::-1]
    last, cid = log.entries[-1]
    since = list(takewhile(lambda one: one.seq >= last, commits.log(db, bucket)))
    if not since:
        raise Untrue(f"the log has commit {last}, and the bucket has no commit of that number or after it: rolled back")
    if since[-1].seq == last and since.pop().cid != to_text(cid):
        raise Untrue(f"commit {last} of the bucket is not {to_text(cid)}, which the log has: forked")
    return [_listed(one) for one in since][::-1]


def _listed(one: CommitInfo) -> Listed:
    prev, merged = (None if text is None else from_text(text) for text in (one.prev, one.merged))
    return Listed(one.seq, from_text(one.cid), prev, merged)


def read(path: str | os.PathLike[str]) -> Log:
    """Return the log in a file.

    Raises:
        FormatError: it is none.
        StorageError: it cannot be read.
    """
    with reading(path) as file:
        return commit_log.decode(file.read(LOG_FILE_MAX + 1), os.fsdecode(path))
