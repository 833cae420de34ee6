"""`store validate`: whether a service can hold a store."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import asdict

from mstbucket.cli.exits import FAILED, OK
from mstbucket.cli.output import Output, count


def validate(arguments: argparse.Namespace, out: Output) -> int:
    """Try a service for real; print a line per check ([S3B-16])."""
    from mstbucket import validate_blobs

    failed = 0
    with closing(validate_blobs(arguments.url)) as checks:  # an interrupt, too, leaves nothing on the service
        for check in checks:
            failed += not check.passed
            out.emit(asdict(check), f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if not out.as_json:
        print("a store can be kept there" if not failed else f"no store can be kept there: {count(failed, 'check')} failed")
    return OK if not failed else FAILED
