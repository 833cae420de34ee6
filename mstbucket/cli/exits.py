"""Exit codes, one per group of errors, and the one line on stderr that says what happened, where, and what to do."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from mstbucket.errors import (
    Conflict,
    CorruptionError,
    FormatError,
    InvalidInput,
    MstBucketError,
    NotFound,
    StorageError,
    Unsupported,
)

OK: Final = 0
FAILED: Final = 1  # some of many objects failed, or a defect of this program
USAGE: Final = 2
NOT_FOUND: Final = 3
CONFLICT: Final = 4
UNTRUE: Final = 5  # bytes that are not what the specification allows, or that are damaged
STORAGE: Final = 6
UNSUPPORTED: Final = 7
WARNINGS: Final = 8  # nothing is lost, and somebody should look ([CLI-80])
SIGNAL: Final = 128  # plus the number of the signal: 130 for an interrupt, 141 for a closed pipe

# [CLI-3] the first entry that fits decides
_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (InvalidInput, USAGE),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (FormatError, UNTRUE),
    (CorruptionError, UNTRUE),
    (StorageError, STORAGE),
    (Unsupported, UNSUPPORTED),
    (FileNotFoundError, NOT_FOUND),
    (FileExistsError, CONFLICT),
    (OSError, STORAGE),
)


class Interrupted(BaseException):
    """A signal asked this process to end. Its handler raises this, so that half-written files are removed ([CLI-26])."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interrupted(arguments: argparse.Namespace) -> str:
    """What has become of a command that somebody ended with Ctrl-C ([CLI-115])."""
    if getattr(arguments, "recursive", False) or arguments.run == "sync:sync":
        return "interrupted: what was done stays; repeat the command for the rest"
    if getattr(arguments, "resume", False):
        return "interrupted: what was written stays; repeat the command for the rest"
    return f"interrupted{_WHEN_INTERRUPTED.get(arguments.run, '')}"


_WHEN_INTERRUPTED: Final = {
    "copying:copy": ": nothing stored",
    "transfer:import_": ": nothing stored",
    "exporting:export": ": no file was made",
    "exporting:join": ": no file was made",
    "proving:prove": ": no file was made",
    "commits:flush": ": nothing is lost; flush again",
    "forks:restore": ": it is done whole or not at all; 'log' shows which",
    "forks:merge": ": it is done whole or not at all; 'log' shows which",
    "remotes:fetch": ": the bucket has moved whole or not at all; repeat the command",
    "remotes:pull": ": the bucket has moved whole or not at all; repeat the command",
    "remotes:push": ": the bucket has moved whole or not at all; repeat the command",
    "remotes:prune": ": each bucket has gone whole or stays whole; repeat the command",
    "collecting:collect": ": nothing that is needed is gone; repeat the command",
    "maintaining:maintain": ": what was done stays",
    "store_commands:dump": ": a backup that was there stays whole; repeat the command",
    "store_commands:restore": ": no store was made",
}


def code_for(error: BaseException) -> int:
    """The exit code for an error that ended a command."""
    if isinstance(error, Interrupted):
        return SIGNAL + error.number
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def describe(error: BaseException) -> str:
    """The error as one line, without the program's name."""
    if isinstance(error, MstBucketError):
        about = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
        text = f"{about}{error} [{error.code}]"
    elif isinstance(error, OSError):
        text = os_error(error)
    else:
        text = f"this is a defect of mstbucket: {type(error).__name__}: {error} (--debug shows where; please report it)"
    return one_line(text)


def os_error(error: OSError) -> str:
    """What the operating system said, with the file concerned."""
    what = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)!r}: "
    return f"{where}{what}{_HINTS.get(error.errno or 0, '')}"


@contextmanager
def about(what: str) -> Iterator[None]:
    """Add *what* to errors from inside: a message about bytes does not know which file they are from."""
    try:
        yield
    except MstBucketError as error:
        error.add_note(what)
        raise


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters, which could forge output or drive the terminal."""
    return "".join(c if c.isprintable() else _ESCAPES.get(c) or c.encode("unicode_escape").decode() for c in text)


_ESCAPES: Final[Mapping[str, str]] = {"\n": " ", "\r": " ", "\t": " "}
_HINTS: Final[Mapping[int, str]] = {
    errno.EACCES: "; check its permissions",
    errno.EPERM: "; check its permissions",
    errno.ENOENT: "; check the name",
    errno.ENOSPC: "; free space and repeat the command",
    errno.EROFS: "; choose another place",
    errno.ENOTDIR: "; a file is in the way",
    errno.EISDIR: "; name a file",
}
