"""The database's clock, as it is known here without asking each time ([PG-26])."""

from __future__ import annotations

import time
from typing import Final

AGE_SECONDS: Final = 60  # after which the server is asked again: its clock may have been set, or another server answers
_TICKS_MS: Final = 1_000_000  # nanoseconds

# What goes on while the machine sleeps, where there is such a clock; nobody sets either.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)

ASK: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def ticks() -> int:
    """Nanoseconds since some time of no meaning, whatever the machine's clock is set to."""
    return time.monotonic_ns() if _CLOCK is None else time.clock_gettime_ns(_CLOCK)


class Clock:
    """What the server said last, and when. Thread-safe: one value is replaced."""

    def __init__(self) -> None:
        self._said: tuple[int, int] | None = None

    def told(self, ms: int) -> None:
        """Take the server's time from an answer that has just come: ours is behind it by the answer's way, not ahead."""
        self._said = (ms, ticks())

    def now_ms(self) -> int | None:
        """The server's time in milliseconds since 1970; None if it has to be asked."""
        if self._said is None:
            return None
        ms, then = self._said
        passed = ticks() - then
        return ms + passed // _TICKS_MS if 0 <= passed < AGE_SECONDS * 1_000_000_000 else None
