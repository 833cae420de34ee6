"""`commit-log`: the log of a bucket's commits, its head, and proofs of it."""

from __future__ import annotations

import argparse

from mstbucket.cli.address import parse_bucket
from mstbucket.cli.output import Output
from mstbucket.cli.stores import open_store
from mstbucket.cli.transfer import car_source, check_new_file


def append(arguments: argparse.Namespace, out: Output) -> None:
    """List the newer commits of a bucket in its log, and print the head."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        head = store.bucket(name).append_log(arguments.log)
    out.emit({"action": "commit-log append", "bucket": name, "log": arguments.log, "head": head}, head)


def head(arguments: argparse.Namespace, out: Output) -> None:
    """Print the head of a log."""
    from mstbucket import log_head

    found = log_head(arguments.log)
    out.emit({"log": arguments.log, "head": found}, found)


def prove(arguments: argparse.Namespace, out: Output) -> None:
    """Write a proof that a commit is in a log, and that the log has only grown."""
    from mstbucket import prove_log

    check_new_file(arguments.file, arguments.force, out)
    found = prove_log(arguments.log, arguments.file, commit=arguments.commit, since=arguments.since)
    out.emit({"action": "commit-log prove", "file": arguments.file, "head": found}, f"{arguments.file}: for head\n{found}")


def check(arguments: argparse.Namespace, out: Output) -> None:
    """Check such a proof, and print the head to remember; no store is opened."""
    from mstbucket import check_log_proof

    with car_source(arguments.file) as source:
        found = check_log_proof(source, arguments.commit, arguments.known)
    out.emit({"ok": True, "file": arguments.file, "commit": arguments.commit, "head": found}, found)
