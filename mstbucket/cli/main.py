"""`mstbucket`: read the arguments, run the command, turn whatever happens into one line and an exit code."""

from __future__ import annotations

import argparse
import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

from mstbucket.cli.exits import OK, SIGNAL, USAGE, Interrupted, code_for, describe, interrupted
from mstbucket.cli.hiding import hide
from mstbucket.cli.output import PROGRAM, Output, complain, tell
from mstbucket.cli.parser import make_parser

# Objects made between two searches for garbage, instead of Python's 700. What is imported is no garbage: looking through it
# again and again costs 10 % of a short command. A long one keeps some MB of garbage at most.
GARBAGE: Final = 50_000


def entry() -> NoReturn:
    """What the installed command runs: `main` with the process's own arguments, signals and streams."""
    gc.set_threshold(GARBAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a key may hold what the terminal's encoding cannot show
    _fill_closed_streams()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # [CLI-26] a signal that nohup, or a shell in the background, has told us to ignore stays ignored
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    code = main()
    gc.freeze()  # at its end the interpreter would search everything for garbage three times: 40 ms of a short command
    sys.exit(code)


def _fill_closed_streams() -> None:
    """Open standard streams that are closed, so that no file of ours gets their numbers and no print goes astray.

    They are opened the wrong way round: to read or write there fails, as it should on a closed stream.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_WRONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; see `spec/store/13-cli.md`.

    Args:
        argv: the arguments without the program's name; by default those of the process.
    """
    try:
        given = sys.argv[1:] if argv is None else argv
        arguments = make_parser(given).parse_args(given)
    except SystemExit as end:  # argparse has printed the help or the complaint
        return _flushed(end.code if isinstance(end.code, int) else OK)
    except OSError as error:  # the help did not get out
        return _unwritten(error, OK)
    except KeyboardInterrupt:  # [CLI-115] nothing was begun
        complain("interrupted")
        return SIGNAL + signal.SIGINT
    except Interrupted as error:
        return SIGNAL + error.number
    debug = arguments.debug or bool(os.environ.get("MSTBUCKET_TRACEBACK"))
    try:
        return _flushed(_run(arguments))
    except BrokenPipeError:
        return _closed_pipe()
    except KeyboardInterrupt:
        complain(interrupted(arguments))
        return SIGNAL + signal.SIGINT
    except Interrupted as error:
        return SIGNAL + error.number
    except Exception as error:
        # [CLI-2] one line that says what, where and what to do; never a traceback unasked
        if debug:
            import traceback

            tell(hide(traceback.format_exc()).rstrip("\n"))
        complain(describe(error))
        try:
            sys.stdout.flush()
        except OSError:  # told already, or less important than what was
            _discard_stdout()
        return code_for(error)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.version:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"{PROGRAM} {version(PROGRAM)}")
        except PackageNotFoundError:  # run from a source tree
            print(f"{PROGRAM} (not installed)")
        return OK
    if arguments.run is None:
        complain(f"which command? see {PROGRAM} --help")
        return USAGE
    if arguments.quiet and arguments.verbose:
        complain("-q and -v exclude each other: leave one of them out")
        return USAGE
    module, _, function = arguments.run.partition(":")
    command = getattr(import_module(f"mstbucket.cli.{module}"), function)
    code = command(arguments, Output(arguments.json, arguments.quiet, arguments.verbose))
    return OK if code is None else int(code)


def _flushed(code: int) -> int:
    """`code`, once everything printed has left: a full disk behind stdout is an error of this command."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return _unwritten(error, code)
    return code


def _unwritten(error: OSError, code: int) -> int:
    """The exit code of a command whose output did not get out; `code` is what it would have been."""
    if isinstance(error, BrokenPipeError):
        return _closed_pipe()
    complain(f"standard output cannot be written: {error.strerror}")
    _discard_stdout()
    return code or code_for(error)


def _closed_pipe() -> int:
    """[CLI-4] whoever read the output has had enough: end quietly, as a process that SIGPIPE ended."""
    _discard_stdout()
    return SIGNAL + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1


def _discard_stdout() -> None:
    # What is still buffered would raise again when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)
