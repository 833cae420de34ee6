"""`psql`: the index of the store, in PostgreSQL's own client."""

from __future__ import annotations

import argparse

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
    with open_store(arguments) as store:
        return run_psql(store.conninfo(), place_of(arguments).postgres_bin, [*given, *arguments.arguments])
