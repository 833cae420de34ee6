"""`flush` and `log`: commits."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING

from mstbucket.cli.address import parse_bucket
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, count, local_time
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket import CommitInfo, Store


def flush(arguments: argparse.Namespace, out: Output) -> None:
    """Make a commit of the changes of each named bucket, or of every bucket."""
    names = [parse_bucket(bucket) for bucket in arguments.buckets]
    message = arguments.message
    if message is None and arguments.allow_empty:
        raise InvalidInput("--allow-empty makes a commit that has nothing but a message: give one with -m")
    if message is not None and len(names) != 1:
        raise InvalidInput("-m is the message of one bucket's commit: name that bucket")
    with open_store(arguments) as store:
        for name in names or [info.name for info in store.list_buckets()]:
            commit = store.bucket(name).flush(message=message, allow_empty=arguments.allow_empty)
            out.emit(commit_record(name, commit), f"flush: mst://{name} is at {_line(commit)}")


def log(arguments: argparse.Namespace, out: Output) -> None:
    """List the commits of a bucket, newest first."""
    name = parse_bucket(arguments.bucket)
    if arguments.n is not None and arguments.n < 0:
        raise InvalidInput(f"-n takes the number of commits to list, not {arguments.n}")
    if arguments.graph and out.as_json:
        raise InvalidInput("--graph is a drawing: leave it or --json out; 'prev', 'forked' and 'merged' say the same there")
    with open_store(arguments) as store:
        if arguments.graph:
            _draw(store, name, arguments.n, out)
            return
        for commit in islice(store.bucket(name).log(), arguments.n):
            names = f"  ({', '.join(commit.names)})" if commit.names else ""  # [CLI-58]
            lines = [f"{local_time(commit.time)}  {_line(commit)}{names}"]
            if commit.message is not None:  # [COM-24] [CLI-160]
                lines += [f"    {one_line(line)}".rstrip() for line in commit.message.rstrip().split("\n")]
            out.emit(commit_record(name, commit), "\n".join(lines))


def _draw(store: Store, name: str, most: int | None, out: Output) -> None:
    from mstbucket.cli.graph import drawn, family

    commits = list(islice(store.bucket(name).log(), most))
    for line in drawn(commits, family(store, name, commits)):
        out.emit({}, line)


def commit_record(bucket: str, commit: CommitInfo) -> dict[str, object]:
    """A commit for programs."""
    return {
        "bucket": bucket, "commit": commit.cid, "seq": commit.seq, "time": commit.time, "objects": commit.objects,
        "bytes": commit.bytes, "tree": commit.tree, "prev": commit.prev, "forked": commit.forked,
        "merged": commit.merged, "message": commit.message, "names": list(commit.names),
    }  # fmt: skip


def _line(commit: CommitInfo) -> str:
    return f"commit {commit.seq} {commit.cid}, {count(commit.objects, 'object')}, {count(commit.bytes, 'byte')}"
