"""`fork`, `merge` and `restore`: a bucket from any commit, its changes home again, and a bucket as it was."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mstbucket.cli.address import SCHEME, Address, folder, parse_bucket, parse_readable, parse_readable_bucket
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, count, warn
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket import BucketView, RestoreChange


def fork(arguments: argparse.Namespace, out: Output) -> None:
    """Make a bucket of a commit."""
    source, name = parse_readable_bucket(arguments.source), parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        made = store.fork(source.bucket, name, commit=source.commit).head_commit()
    assert made is not None  # a fork begins with a commit
    record = {
        "action": "fork", "source": source.bucket, "forked": made.forked, "bucket": name, "commit": made.cid,
        "objects": made.objects, "bytes": made.bytes,
    }  # fmt: skip
    out.emit(record, f"forked {source.root} to {SCHEME}{name}: {count(made.objects, 'object')}, from commit {made.forked}")


def restore(arguments: argparse.Namespace, out: Output) -> None:
    """Make keys what they were at a commit."""
    target = parse_readable(arguments.target)
    if target.commit is None:
        raise InvalidInput(f"{arguments.target!r} names no commit: write {target.root}@COMMIT/{target.key}")
    below = arguments.recursive or target.key == "" or target.key.endswith("/")
    scope = {"prefix": folder(target.key)} if below else {"key": target.key}
    with open_store(arguments) as store:
        report = store.bucket(target.bucket).restore(
            target.commit, dry_run=arguments.dry_run, message=arguments.message, **scope
        )
        if target.key and not report.changes:  # [CLI-233] so both have the same keys there
            with store.bucket(target.bucket).at(report.restored) as view:
                _warn_of_nothing(view, target, below)
    would = "(dryrun) " if arguments.dry_run else ""
    _list_changes(report.changes, target.bucket, arguments.dry_run, out)
    record = {
        "action": "restore", "bucket": target.bucket, "restored": report.restored, "commit": report.commit,
        "changed": len(report.changes), "dry_run": arguments.dry_run,
    }  # fmt: skip
    out.emit(record, f"{would}{count(len(report.changes), 'key')} changed, {_at(report.commit, arguments.dry_run)}")


def _warn_of_nothing(view: BucketView, target: Address, below: bool) -> None:
    """Warn if neither the bucket nor *view* of the commit, which are alike there, has what was to be restored."""
    starting = next(iter(view.objects(prefix=folder(target.key))), None)
    if below and starting is None:
        warn(f"nothing starts with {target.with_key(folder(target.key))}, and nothing did at the commit")
    if not below and not _has(view, target.key):
        hint = "" if starting is None else f"; for what is below it write {target.with_key(folder(target.key))}"
        warn(f"neither the bucket nor the commit has the key {target.key!r}{hint}")


def _has(view: BucketView, key: str) -> bool:
    return next((info.key for info in view.objects(prefix=key)), None) == key  # in order of keys: it would be the first


def merge(arguments: argparse.Namespace, out: Output) -> None:
    """Bring what one bucket changed into another."""
    source, target = parse_bucket(arguments.source), parse_bucket(arguments.target)
    with open_store(arguments) as store:
        report = store.merge(
            source, target, prefer=arguments.prefer, dry_run=arguments.dry_run, message=arguments.message
        )
    would = "(dryrun) " if arguments.dry_run else ""
    for one in report.conflicts:  # [CLI-104]
        both = {"action": "conflict", "key": one.key, "base": one.base, "ours": one.ours, "theirs": one.theirs}
        out.report(both, one_line(f"conflict: {SCHEME}{target}/{one.key}"))
    _list_changes(report.changes, target, arguments.dry_run, out)
    record = {
        "action": "merge", "source": source, "bucket": target, "base": report.base, "merged": report.merged,
        "commit": report.commit, "changed": len(report.changes), "conflicts": len(report.conflicts),
        "dry_run": arguments.dry_run,
    }  # fmt: skip
    out.emit(record, f"{would}{count(len(report.changes), 'key')} changed, {count(len(report.conflicts), 'conflict')}, "
             f"{_at(report.commit, arguments.dry_run)}")  # fmt: skip


def _at(commit: str, dry_run: bool) -> str:
    return f"still at commit {commit}" if dry_run else f"commit {commit}"


def _list_changes(changes: Sequence[RestoreChange], bucket: str, dry_run: bool, out: Output) -> None:
    would = "(dryrun) " if dry_run else ""
    for change in changes:
        action = "delete" if change.new is None else "put" if change.old is None else "replace"
        record = {"action": action, "key": change.key, "old": change.old, "new": change.new, "dry_run": dry_run}
        out.report(record, one_line(f"{would}{action}: {SCHEME}{bucket}/{change.key}"))
