"""`completion`: the script that completes this command line in a shell."""

from __future__ import annotations

import argparse

from mstbucket.cli.output import Output
from mstbucket.cli.parser import make_parser

_FILES = ("source", "target", "file")
_DIRECTORIES = ("store", "directory", "keep")


def show(arguments: argparse.Namespace, out: Output) -> None:
    """Print the script; `source <(mstbucket completion bash)` makes use of it."""
    import shtab

    parser = make_parser()
    _mark(parser, shtab)
    script = shtab.complete(parser, shell=arguments.shell)
    out.emit({"shell": arguments.shell, "script": script}, script)


def _mark(parser: argparse.ArgumentParser, shtab: object) -> None:
    """Say which arguments are files and directories, here and in every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                _mark(child, shtab)
        elif action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
