"""`rebuild`: the database of a store made again from its blobs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from mstbucket.cli.address import SCHEME
from mstbucket.cli.exits import FAILED, OK
from mstbucket.cli.output import Output, complain, count
from mstbucket.cli.progress import bar
from mstbucket.cli.stores import place_of

if TYPE_CHECKING:
    from mstbucket.model.rebuild import RebuiltBucket


def rebuild(arguments: argparse.Namespace, out: Output) -> int:
    """Rebuild, and say what came back and what is gone ([CLI-70])."""
    from mstbucket import Store

    place = place_of(arguments)
    with bar("reading packs", quiet=out.quiet) as progress:
        report = Store.rebuild(
            place.path,
            database=place.database,
            blobs=place.blobs,
            postgres_bin=place.postgres_bin,
            encryption=arguments.encryption,
            hash_all=arguments.hash_all,
            accept_loss=arguments.accept_loss,
            progress=progress,
        )
    lines = [f"store {report.identity}: {count(report.packs, 'pack')}, {count(report.blocks, 'block')}"]
    lines += [_line(bucket) for bucket in report.buckets]
    lines += [f"gone: {what}" for what in report.gone]
    lines += [f"not made again, for it was deleted: bucket {identity}" for identity in report.deleted]
    out.emit(asdict(report), "\n".join(lines))
    for name, why in {**report.invalid, **report.damaged}.items():
        complain(f"{name} is not as it was written: {why}")
    for bucket in report.buckets:
        _complain_of(bucket)
    return OK if all(bucket.is_whole for bucket in report.buckets) else FAILED


def _line(bucket: RebuiltBucket) -> str:
    commit = "never flushed" if bucket.commit is None else f"commit {bucket.seq} {bucket.commit}"
    renamed = "" if bucket.name == bucket.named else f" (it was called {bucket.named})"
    counted = f"{count(bucket.objects, 'object')}, {count(bucket.versions, 'older version')}, {count(bucket.locks, 'lock')}"
    return f"  {SCHEME}{bucket.name}{renamed}  {commit}, {counted}"


def _complain_of(bucket: RebuiltBucket) -> None:
    for commit in bucket.passed:
        complain(f"{SCHEME}{bucket.name}: lost with all that it changed: commit {commit}")
    for commit in bucket.left_out:
        complain(f"{SCHEME}{bucket.name}: cannot be read any more: commit {commit}")
    for key in bucket.hurt:
        complain(f"the body of {SCHEME}{bucket.name}/{key} is lost")
    if bucket.hurt_count > len(bucket.hurt):
        complain(f"{SCHEME}{bucket.name}: and {bucket.hurt_count - len(bucket.hurt):,} more bodies")
    if not bucket.state:
        complain(f"{SCHEME}{bucket.name}: no blob has its service state: its locks and rules, if it had any, are gone")
