"""The parser of the whole command line; each command names the function that runs it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from mstbucket.cli import commands_on_commits, commands_on_data, commands_on_stores
from mstbucket.cli.adding import Adder, Parser, common
from mstbucket.cli.output import PROGRAM

_EXITS: Final = """\
exit codes: 0 done; 1 some of many failed, or a defect; 2 usage; 3 not found; 4 conflict; 5 format or corruption;
6 storage; 7 unsupported; 8 warnings; 128+n signal n. The word in brackets behind an error, such as [NoSuchKey], is its
code, which never changes. Addresses are mst://bucket/key; '-' is standard input or output.
The store is that of --store DIR, else MSTBUCKET_STORE (or MSTBUCKET_DATABASE and MSTBUCKET_BLOBS), else the config
file ~/.config/mstbucket/config.toml, else ~/.local/share/mstbucket. MSTBUCKET_BLOBS is a directory or s3://BUCKET/PREFIX."""


def make_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; `run` in the result is `module:function` of the command.

    For one command line, *argv*, only the commands whose names are in it are made in full.
    """
    parser = Parser(
        prog=PROGRAM,
        description="S3-style buckets, each with one short identifier for all that is in it, and each exported as one file.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    common(parser, None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    add = Adder(commands, None if argv is None else frozenset(argv))
    commands_on_data.buckets(add)
    commands_on_data.objects(add)
    commands_on_commits.commits(add)
    commands_on_stores.gateway(add)
    commands_on_stores.keys(add)
    commands_on_stores.rest(add)
    parser.set_defaults(run=None)
    return parser
