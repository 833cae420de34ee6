"""`repair …`: each mends one kind of damage, and none loses anything unasked."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mstbucket.cli.address import SCHEME, parse_bucket
from mstbucket.cli.exits import CONFLICT, FAILED, OK
from mstbucket.cli.output import Output, complain, count
from mstbucket.cli.stores import is_store, open_store

if TYPE_CHECKING:
    from mstbucket import RepairReport


def blocks(arguments: argparse.Namespace, out: Output) -> int:
    """Bring blocks from somewhere else ([CLI-81])."""
    import mstbucket

    with ExitStack() as stack:
        store = stack.enter_context(open_store(arguments))
        path = Path(arguments.source)
        if is_store(path):
            source = stack.enter_context(mstbucket.open(path, background=False, create=False))
            report = store.repair_blocks(source)
        else:
            report = store.repair_blocks(path)
    out.emit(asdict(report), f"repair: {count(report.repaired, 'block')} brought, {len(report.missing):,} not found there")
    for cid in report.missing:
        complain(f"block {cid} cannot be read, and is not in {arguments.source}")
    return FAILED if report.missing else OK


def index(arguments: argparse.Namespace, out: Output) -> int:
    """Make the rows of a bucket from its tree ([CLI-81])."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        return _told(out, name, "row", store.repair_index(name, accept_loss=arguments.accept_loss))


def tree(arguments: argparse.Namespace, out: Output) -> int:
    """Make the tree of a bucket from its rows ([CLI-81])."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        return _told(out, name, "key", store.repair_tree(name, accept_loss=arguments.accept_loss))


def lost(arguments: argparse.Namespace, out: Output) -> int:
    """Give up what cannot be read ([CLI-81])."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        return _told(out, name, "entry", store.repair_lost(name, accept_loss=arguments.accept_loss))


def _told(out: Output, bucket: str, what: str, report: RepairReport) -> int:
    if not out.as_json:
        for loss in report.lost:
            key = "" if loss.key is None else f" {loss.key}"
            print(f"{'lost' if report.applied else 'would be lost'}: {SCHEME}{bucket}{key}: {loss.message}")
    done = count(report.repaired, what, "entries" if what == "entry" else None)
    out.emit(asdict(report), f"repair: {SCHEME}{bucket}: {done} repaired" if report.applied else
             f"repair: {SCHEME}{bucket}: nothing was changed")  # fmt: skip
    if report.applied:
        return OK
    complain(f"{count(len(report.lost), 'thing')} would be lost: --accept-loss does it all the same")
    return CONFLICT
