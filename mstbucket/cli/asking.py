"""`psql`: the index of the store, in PostgreSQL's own client."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mstbucket.cli.exits import SIGNAL
from mstbucket.cli.output import Output
from mstbucket.cli.stores import open_store, place_of
from mstbucket.errors import InvalidInput


def psql(arguments: argparse.Namespace, out: Output) -> int:
    """Run `psql` on the index, read only; its exit code is the command's ([CLI-111])."""
    from mstbucket.pg.psql import run_psql

    if out.as_json:
        raise InvalidInput("psql prints what it prints: for JSON, select json_build_object(…)")
    if arguments.arguments and not arguments.arguments[0].startswith("-"):  # psql would take it for the name of a database
        raise InvalidInput(f"{arguments.arguments[0]!r} is no option of psql: give SQL with -c, or on standard input")
    given = [option for sql in arguments.command or () for option in ("-c", sql)]
    if out.quiet:
        given.append("-q")
    with open_store(arguments) as store, _interrupts_left_to_psql():
        code = run_psql(store.conninfo(), place_of(arguments).postgres_bin, [*given, *arguments.arguments])
    return code if code >= 0 else SIGNAL - code  # [CLI-3] [CLI-4] a signal ended it: a closed pipe, mostly


@contextmanager
def _interrupts_left_to_psql() -> Iterator[None]:
    """[CLI-111] Ctrl-C reaches both. It ends a query of psql's, and no session: what waits for psql goes on waiting."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # psql does not inherit a handler; that a signal is ignored it would
        signal.signal(signal.SIGINT, _nothing)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Python's handler of SIGINT would end psql, too."""
