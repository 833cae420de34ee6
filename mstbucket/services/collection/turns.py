"""One collects at a time, and who is asked for it comes before the background ([GC-17]).

All of this saves work. Nothing of it is needed for safety: of two cycles at once, the later one stops the other ([GC-11]).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from mstbucket.errors import Conflict
from mstbucket.pg.database import PATIENCE
from mstbucket.services.blocks.context import Context

Turn = Callable[[Context], AbstractContextManager[bool]]
LockTurn = Callable[[Context, int], AbstractContextManager[bool]]

GIVE_WAY_SECONDS: Final = 60.0  # for which the background's cycle is waited for; a step between two sleeps takes less
LOOK_SECONDS: Final = 1.0  # between two looks whether somebody waits

_POLL_SECONDS: Final = 0.1
_LOCK: Final = 0x6D7374_67_63  # "mstgc": of the one-number advisory locks
_BACKGROUND: Final = 0x6D7374_67_62  # "mstgb": held beside it by the background's cycle
_WAITING: Final = 0x6D7374_67_77  # "mstgw": held by who waits for that cycle


@contextmanager
def in_background(context: Context) -> Iterator[bool]:
    """The turn of a cycle that nobody asked for: False where anybody else collects."""
    with context.db.holding(_LOCK, patience=PATIENCE, mark=_BACKGROUND) as alone:
        yield alone


@contextmanager
def asked_for(context: Context) -> Iterator[bool]:
    """The turn of a cycle that somebody asked for: the background's gives way, and False where another one goes on."""
    with context.db.holding(_LOCK, patience=PATIENCE) as alone:
        if alone or not context.db.is_held(_BACKGROUND):
            yield alone
            return
    with after_others(context, _LOCK) as alone:
        yield alone


@contextmanager
def at_once(context: Context, lock: int) -> Iterator[bool]:
    """Hold an advisory lock of one number: False where anybody else holds it."""
    with context.db.holding(lock, patience=PATIENCE) as alone:
        yield alone


@contextmanager
def after_others(context: Context, lock: int) -> Iterator[bool]:
    """As `at_once`, but who holds it is waited for, and gives way if that is the background; False after a while."""
    with context.db.holding(lock, patience=PATIENCE) as alone:
        if alone:
            yield True
            return
    end = time.monotonic() + GIVE_WAY_SECONDS
    with context.db.holding(_WAITING, patience=PATIENCE) as first:
        while first and context.db.is_held(lock) and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
    with context.db.holding(lock, patience=PATIENCE) as alone:
        yield alone


class GivingWay:
    """Sleeps for a cycle of the background, and ends it when somebody waits for its turn."""

    def __init__(self, context: Context, wait: Callable[[float], object]) -> None:
        """*wait* sleeps for some seconds."""
        self._context = context
        self._wait = wait
        self._looked = time.monotonic()

    def __call__(self, seconds: float) -> None:
        """Sleep.

        Raises:
            Conflict: somebody else asked for a collection.
        """
        end = time.monotonic() + seconds
        while True:
            self._look()
            left = end - time.monotonic()
            if left <= 0:
                return
            self._wait(min(left, LOOK_SECONDS))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._context.db.is_held(_WAITING):
            raise Conflict("somebody asked for a collection: the one of the background has given way")
