"""`fork`: a bucket from any commit of another one."""

from __future__ import annotations

import argparse

from mstbucket.cli.address import SCHEME, parse_bucket, parse_readable_bucket
from mstbucket.cli.output import Output, count
from mstbucket.cli.stores import open_store


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
