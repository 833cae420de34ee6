"""What commands print: lines for people, or one JSON object per line for programs, on stdout; the rest on stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TextIO

from mstbucket.cli.exits import one_line
from mstbucket.cli.hiding import hide

PROGRAM: Final = "mstbucket"
_CID: Final = re.compile(r"\bbaf[a-z2-7]{56}")
UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


_erasers: Final[list[Callable[[], None]]] = []


def keep_clear(erase: Callable[[], None] | None) -> None:
    """Have *erase* called before anything is printed: a line that is drawn on the terminal has to make room."""
    _erasers[:] = [] if erase is None else [erase]


class Output:
    """Where a command puts its results: standard output, and nothing else goes there ([CLI-1]).

    Args:
        as_json: one JSON object per line, ASCII only, instead of text.
        quiet: text lines that only report progress are left out; JSON never is.
        verbose: a line for each of many things, too.
    """

    def __init__(self, as_json: bool, quiet: bool, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose

    def emit(self, record: Mapping[str, object], text: str) -> None:
        """Print a result: `record` for programs, or `text` for people."""
        _make_room()
        # [CLI-8] one object per line; ASCII, so that no locale and no terminal can change it
        print(json.dumps(record, default=_plain) if self.as_json else _folded(text, sys.stdout))

    def report(self, record: Mapping[str, object], text: str) -> None:
        """Print that something was done; `--quiet` keeps it from people."""
        if self.as_json or not self.quiet:
            self.emit(record, text)

    def item(self, record: Mapping[str, object], text: str) -> None:
        """Print that one of many things was done; people see it with `--verbose` only ([CLI-152])."""
        if self.as_json or (self.verbose and not self.quiet):
            self.emit(record, text)

    def total(self, record: Mapping[str, object], text: str) -> None:
        """Print the total of many things, for people: programs have counted them."""
        if not self.as_json:
            self.report(record, text)


def tell(text: str) -> None:
    """Print on stderr, behind what was printed on stdout before: both may go to one file.

    Where that fails, it changes neither what a command does nor its exit code.
    """
    _make_room()
    with suppress(OSError):  # stdout is flushed again at the end of the command, and a failure is told then
        sys.stdout.flush()
    with suppress(OSError):
        print(_folded(text, sys.stderr), file=sys.stderr)


def _make_room() -> None:
    for erase in _erasers:
        erase()


def warn(text: str) -> None:
    """Print a line on stderr that does not change the exit code."""
    tell(f"{PROGRAM}: warning: {one_line(hide(text))}")


def complain(text: str) -> None:
    """Print a line on stderr about something that failed."""
    tell(f"{PROGRAM}: error: {one_line(hide(text))}")


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as in `2026-11-21T09:05:00.123Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def local_time(moment: datetime) -> str:
    """The time for people, in their time zone, as `aws s3 ls` shows it."""
    try:
        there = moment.astimezone()
    except (ValueError, OverflowError, OSError):  # this time zone, or this system, cannot show such a day
        there = moment
    return there.strftime("%Y-%m-%d %H:%M:%S")


def human_size(size: int) -> str:
    """`1 Byte`, `10 Bytes`, `1.5 KiB`: what `aws s3 ls --human-readable` shows."""
    if size == 1:
        return "1 Byte"
    if size < 1024:
        return f"{size} Bytes"
    value = float(size)
    for unit in UNITS:
        value /= 1024
        if round(value * 10) < 10240 or unit == UNITS[-1]:
            break
    return f"{value:.1f} {unit}"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 object`, `2,048 objects`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _folded(text: str, stream: TextIO) -> str:
    """The text as it is; on a terminal a line with a CID is broken at a space, so that the CID can be copied whole."""
    if _CID.search(text) is None or not stream.isatty():
        return text
    with suppress(OSError, ValueError):
        columns = os.get_terminal_size(stream.fileno()).columns
        return "\n".join(fold(line, columns) for line in text.split("\n"))
    return text


def fold(line: str, columns: int) -> str:
    """Break a line that is too long for a terminal at spaces, so that no CID goes on in the next line ([CLI-158])."""
    if columns <= 0 or len(line) <= columns or _CID.search(line) is None:
        return line
    done, rest = [], line
    while len(rest) > columns:
        at = rest.rfind(" ", len(rest) - len(rest.lstrip()) + 1, columns + 1)
        if at < 0:
            at = rest.find(" ", columns)
        if at < 0:
            break
        done.append(rest[:at].rstrip())
        rest = "    " + rest[at:].lstrip()
    return "\n".join([*done, rest])


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
