"""`diff`: what differs between two commits, of one bucket or of two."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mstbucket.cli.address import Address, parse_readable_bucket
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, count, iso, warn
from mstbucket.cli.stores import open_store
from mstbucket.errors import NoSuchCommit

if TYPE_CHECKING:
    from mstbucket import BucketView, ObjectChange, ObjectInfo, Store

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def diff(arguments: argparse.Namespace, out: Output) -> None:
    """Print a line for every key that differs, and how many there are."""
    old, new = parse_readable_bucket(arguments.old), parse_readable_bucket(arguments.new)
    counts = dict.fromkeys(_SIGNS, 0)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(arguments))
        was, now = (stack.enter_context(_view(store, side)) for side in (old, new))
        for change in was.diff(now, prefix=arguments.prefix):
            kind = _kind(change)
            counts[kind] += 1
            sides = {"old": _record(change.old), "new": _record(change.new)}
            record: dict[str, object] = {"type": kind, "key": change.key, **sides}
            out.report(record, one_line(f"{_SIGNS[kind]} {change.key}"))
    total = sum(counts.values())
    figures = ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
    names = f"{was.commit.cid} to {now.commit.cid}"
    summary: dict[str, object] = {"type": "summary", "old": was.commit.cid, "new": now.commit.cid, **counts}
    out.emit(summary, f"diff: {names}: {figures}" if total else f"diff: {names}: no object differs")


def _view(store: Store, side: Address) -> BucketView:
    bucket = store.bucket(side.bucket)
    if side.commit is not None:
        return bucket.at(side.commit)
    newest = bucket.head_commit()
    if newest is None:
        raise NoSuchCommit(f"bucket {side.bucket!r} has no commit yet: flush it first")
    dirty = next((info.dirty for info in store.list_buckets() if info.name == side.bucket), 0)
    if dirty:  # [CLI-57]
        warn(f"{side.root} has {count(dirty, 'change')} that no commit holds yet, and so are not compared; flush it before")
    return bucket.at(newest.cid)


def _kind(change: ObjectChange) -> str:
    return "added" if change.old is None else "removed" if change.new is None else "changed"


def _record(info: ObjectInfo | None) -> dict[str, object] | None:
    if info is None:
        return None
    return {
        "size": info.size, "etag": info.etag, "last_modified": iso(info.last_modified), "content": info.content,
        "manifest": info.manifest,
    }  # fmt: skip
