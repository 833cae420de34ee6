"""`key` and `sign`: keys that sign commits, and signatures that stand apart from them."""

from __future__ import annotations

import argparse

from mstbucket.cli.output import Output
from mstbucket.cli.transfer import check_new_file


def new(arguments: argparse.Namespace, out: Output) -> None:
    """Make a key in a new file, and print its public text."""
    from mstbucket import new_signing_key

    check_new_file(arguments.file, None, out)
    _show(new_signing_key(arguments.file), arguments.file, out)


def show(arguments: argparse.Namespace, out: Output) -> None:
    """Print the public text of a key."""
    from mstbucket import public_key

    _show(public_key(arguments.file), arguments.file, out)


def succeed(arguments: argparse.Namespace, out: Output) -> None:
    """Write a statement of an old key: which new key follows it."""
    from mstbucket import sign_succession

    check_new_file(arguments.file, None, out)
    sign_succession(arguments.bucket, arguments.key, arguments.successor, arguments.file)
    record = {"action": "succeed", "bucket": arguments.bucket, "successor": arguments.successor, "file": arguments.file}
    out.emit(record, f"succession: {arguments.successor} signs for bucket {arguments.bucket}: {arguments.file}")


def sign(arguments: argparse.Namespace, out: Output) -> None:
    """Write a signature of a commit."""
    from mstbucket import public_key, sign_commit

    check_new_file(arguments.file, None, out)
    sign_commit(arguments.commit, arguments.key, arguments.file)
    key = public_key(arguments.key)
    record = {"action": "sign", "commit": arguments.commit, "key": key, "file": arguments.file}
    out.emit(record, f"signed by {key}: {arguments.file}, for commit\n{arguments.commit}")


def _show(key: str, file: str, out: Output) -> None:
    out.emit({"key": key, "file": file}, key)
