"""`remote`, `fetch`, `pull` and `push`: a bucket kept in step with another store."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mstbucket.cli import progress
from mstbucket.cli.address import SCHEME, parse_bucket
from mstbucket.cli.exits import about, one_line
from mstbucket.cli.output import Output, count
from mstbucket.cli.stores import is_store, open_or_make_store, open_store
from mstbucket.cli.transfer import trust_of
from mstbucket.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from mstbucket import FetchedBucket, FileRemote, PullReport, Remote, Store


def add(arguments: argparse.Namespace, out: Output) -> None:
    """Give another store a name."""
    place: str = arguments.place
    if arguments.files and "://" not in place:  # [CLI-250]
        from mstbucket.services.remotes.file_places import folder_place

        place = folder_place(place)
    with open_or_make_store(arguments) as store:
        made = store.add_remote(arguments.name, place, blobs=arguments.blobs)
    out.emit(asdict(made), _line(made))


def show(arguments: argparse.Namespace, out: Output) -> None:
    """List the names."""
    with open_store(arguments) as store:
        for one in store.list_remotes():
            out.emit(asdict(one), _line(one))


def remove(arguments: argparse.Namespace, out: Output) -> None:
    """Forget a name."""
    with open_store(arguments) as store:
        fetched = store.prune_remote(arguments.name, None, dry_run=not arguments.fetched)
        store.remove_remote(arguments.name)
    for one in fetched:  # [CLI-186]
        why = one.kept if arguments.fetched else None
        _tell_fetched(one, arguments.name, out, removed=arguments.fetched, why=why or "it is a bucket like others now")
    out.emit({"action": "remote rm", "name": arguments.name}, f"removed remote {one_line(arguments.name)}")


def prune(arguments: argparse.Namespace, out: Output) -> None:
    """Remove what was fetched, and is no longer there."""
    with _both(arguments) as (store, other), about(arguments.name):
        fetched = store.prune_remote(arguments.name, other, dry_run=arguments.dry_run)
    for one in fetched:
        _tell_fetched(one, arguments.name, out, removed=not arguments.dry_run, why=one.kept)


def _tell_fetched(one: FetchedBucket, remote: str, out: Output, *, removed: bool, why: str | None) -> None:
    """Say that it stays, with *why*; where there is no reason, that it has gone, or would go."""
    gone = removed and one.kept is None
    record = {"action": "remote prune", "remote": remote, "bucket": one.bucket, "removed": gone, "kept": one.kept}
    bucket = f"{SCHEME}{one_line(one.bucket)}"
    goes = f"removed {bucket}" if gone else f"(dryrun) remove: {bucket}"
    out.emit(record, goes if why is None or gone else f"{bucket} stays: {why}")


def fetch(arguments: argparse.Namespace, out: Output) -> None:
    """Bring the other store's state of a bucket here, beside the bucket."""
    name, trust = parse_bucket(arguments.bucket), trust_of(arguments)
    with _both(arguments) as (store, other), progress.bar(f"fetch {name}", quiet=out.quiet) as tell, about(arguments.name):
        report = store.fetch(other.bucket(name), arguments.name, name, trust=trust, progress=tell)
    _tell("fetch", arguments.name, report, out)


def pull(arguments: argparse.Namespace, out: Output) -> None:
    """Bring a bucket to the other store's state."""
    name, trust = parse_bucket(arguments.bucket), trust_of(arguments)
    if arguments.prefer is not None and not arguments.merge:
        raise InvalidInput("--ours and --theirs go with --merge")
    merged = None
    with _both(arguments) as (store, other), progress.bar(f"pull {name}", quiet=out.quiet) as tell, about(arguments.name):
        there = other.bucket(name)
        if arguments.merge:
            report, merged = store.pull_and_merge(
                there, arguments.name, name, prefer=arguments.prefer, trust=trust, progress=tell
            )
        else:
            report = store.pull(there, name, remote=arguments.name, trust=trust, progress=tell)
    _tell("pull", arguments.name, report, out)
    if merged is not None:
        record = {
            "action": "merge", "source": report.bucket, "bucket": name, "base": merged.base, "merged": merged.merged,
            "commit": merged.commit, "changed": len(merged.changes), "conflicts": len(merged.conflicts),
        }  # fmt: skip
        out.emit(record, f"merged {SCHEME}{report.bucket}: {count(len(merged.changes), 'key')} changed, "
                 f"{count(len(merged.conflicts), 'conflict')}, commit {merged.commit}")  # fmt: skip


def push(arguments: argparse.Namespace, out: Output) -> None:
    """Bring the other store's bucket to the state of this one."""
    name = parse_bucket(arguments.bucket)
    with _both(arguments) as (store, other), progress.bar(f"push {name}", quiet=out.quiet) as tell, about(arguments.name):
        report = store.bucket(name).push(other, arguments.to, remote=arguments.name, progress=tell)
    _tell("push", arguments.name, report, out)


@contextmanager
def _both(arguments: argparse.Namespace) -> Iterator[tuple[Store, Store | FileRemote]]:
    """The store of the command, and the store or the files that the remote's name stands for."""
    from mstbucket import FileRemote
    from mstbucket.services.remotes.file_places import is_files

    with open_store(arguments) as store:
        found = store.find_remote(arguments.name)
        if found.blobs is None and is_files(found.place):
            yield store, FileRemote(found.place)
            return
        with _opened(found) as other:
            yield store, other


def _opened(remote: Remote) -> Store:
    """[CLI-182] A mistyped place is an error, and no new store."""
    import mstbucket

    if remote.blobs is not None:
        return mstbucket.open(database=remote.place, blobs=remote.blobs, background=False, create=False)
    if not is_store(Path(remote.place)):
        raise NotFound(f"there is no store at {remote.place}, the place of remote {remote.name!r}: make one there with "
                       "'mstbucket mb', or remove the remote and add it again")  # fmt: skip
    return mstbucket.open(remote.place, background=False, create=False)


def _line(remote: Remote) -> str:
    return one_line(f"{remote.name}  {remote.place}" + ("" if remote.blobs is None else f"  blobs {remote.blobs}"))


def _tell(action: str, remote: str, report: PullReport, out: Output) -> None:
    said = {
        "same": "nothing to do, both are at one commit",
        "ahead": "nothing to do, this store has all of it and more",
        "made": "made",
        "moved": "moved",
    }[report.outcome]
    copied = f", {count(report.blocks, 'block')} of {count(report.bytes, 'byte')} in {count(report.requests, 'request')}"
    record = {"action": action, "remote": remote, **asdict(report)}
    out.emit(record, f"{action}: {SCHEME}{report.bucket}: {said}: commit {report.seq}, {report.commit}{copied}")
