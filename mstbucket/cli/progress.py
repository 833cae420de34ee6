"""One line of progress on stderr: only on a terminal, and only when the work takes long. spec/store/13-cli.md, [CLI-151]."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final

from mstbucket.cli.output import UNITS, count, keep_clear

AFTER: Final = 0.7  # seconds of work before a bar appears
_EVERY: Final = 0.1  # seconds between two drawings: an eye sees no more, and a terminal far away is not flooded
_WINDOW: Final = 10.0  # seconds over which the rate is taken
_SAMPLES: Final = 100
_BAR_MIN, _BAR_MAX = 10, 40  # characters
_LABEL_MIN: Final = 16
_COLUMNS: Final = 80  # where the terminal does not say


class Progress:
    """Is told what is done so far. This one shows nothing, for work that nobody watches."""

    def __call__(self, done: int) -> None:
        """So many bytes are done in all."""

    def expect(self, objects: int, size: int) -> None:
        """There will be so many objects, with so many bytes in all."""

    def expect_about(self, size: int) -> None:
        """There will be some *size* bytes in all, more or less."""

    def one(self) -> None:
        """One more object is done."""


@contextmanager
def bar(label: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Progress]:
    """Give a `Progress` to tell of the work. It shows a line once the work has taken a while, and removes it at the end.

    Args:
        label: what is being done.
        total: bytes in all, or None where nobody knows.
        quiet: never show anything.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Progress()
        return
    shown = _Line(label, total)
    keep_clear(shown.erase)
    try:
        yield shown
        shown.draw(time.monotonic())  # the last figure is shown, however short the work was behind it
    finally:
        keep_clear(None)
        shown.erase()


class _Line(Progress):
    """Any thread may call it; one of them draws."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label = label
        self._total = total
        self._about = False
        self._objects: int | None = None
        self._of: int | None = None
        self._done = 0
        self._started = self._drawn = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._started, 0)], maxlen=_SAMPLES)
        self._visible = False
        self._lock = Lock()

    def __call__(self, done: int) -> None:
        self._done = done
        self._look()

    def expect(self, objects: int, size: int) -> None:
        self._of, self._total = objects, size

    def expect_about(self, size: int) -> None:
        self._total, self._about = size, True

    def one(self) -> None:
        self._objects = 1 if self._objects is None else self._objects + 1
        self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= _EVERY:
            self.draw(now)

    def draw(self, now: float) -> None:
        """Draw the line anew, if the work has taken long enough to be worth one."""
        if now - self._started < AFTER or not self._lock.acquire(blocking=False):
            return
        try:
            self._drawn = now
            self._samples.append((now, self._done))
            while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
                self._samples.popleft()
            self._write(f"\r{self._text(now)}\x1b[K")
            self._visible = True
        finally:
            self._lock.release()

    def erase(self) -> None:
        """Take the line away, so that something else can be printed in its place."""
        with self._lock:
            if self._visible:
                self._write("\r\x1b[K")
                self._visible = False

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a terminal that has gone does not end the work
            sys.stderr.write(text)
            sys.stderr.flush()

    def _text(self, now: float) -> str:
        (before, was), rate = self._samples[0], 0.0
        if now > before:
            rate = (self._done - was) / (now - before)
        return line(self._label, self._done, self._total, self._objects, self._of, rate, _columns(), about=self._about)


def line(
    label: str,
    done: int,
    total: int | None,
    objects: int | None,
    of: int | None,
    rate: float,
    columns: int,
    *,
    about: bool = False,
) -> str:
    """The text of the line: label, bar, share, bytes, objects, rate and time left, as far as they are known and fit.

    Args:
        label: what is being done; shortened in its middle where there is no room.
        done, total: bytes, and how many there will be, or None.
        objects, of: the same of objects; None where nobody counts.
        rate: bytes a second.
        columns: of the terminal; the text is shorter, so that it never goes on in a second line.
        about: *total* is an estimate: what is made of it says so, and never that all is done.
    """
    if about and total is not None:
        total = max(total, done + 1)
    mark = "~" if about else ""
    figures = [_bytes(done, total, mark)]
    if objects is not None:
        figures.append(count(objects, "object") if of is None else f"{objects:,} of {count(of, 'object')}")
    if rate > 0:
        figures.append(f"{_bytes(int(rate))}/s")
        if total is not None and total > done:
            figures.append(f"{mark}{_clock((total - done) / rate)} left")
        elif total is None:
            figures.append("total unknown")
    room = columns - 1
    while len(figures) > 1 and len("  ".join(figures)) + _LABEL_MIN + 2 > room:
        figures.pop(1 if len(figures) > 2 and objects is not None and rate > 0 else -1)
    text = "  ".join(figures)
    if total:
        share = min(done / total, 1.0)
        text = f"{mark}{int(share * 100)} %".rjust(5) + f"  {text}"
        width = min(_BAR_MAX, room - len(text) - 4 - min(len(label), room // 3))
        if width >= _BAR_MIN:
            text = f"{_drawn(share, width)} {text}"
    space = room - len(text) - 2
    return f"{_shortened(label, space)}  {text}" if space >= _LABEL_MIN // 2 else text[:room]


def _bytes(done: int, total: int | None = None, mark: str = "") -> str:
    """`1.2 of 2.6 GiB`, in one unit: that of the larger; *mark* stands before the total."""
    size, unit = max(done, total or 0), 0
    while size >= 1024 and unit < len(UNITS):
        size, unit = size // 1024, unit + 1
    if unit == 0:
        return count(done, "byte") if total is None else f"{done:,} of {mark}{count(total, 'byte')}"
    name, scale = UNITS[unit - 1], 1024**unit
    return f"{done / scale:,.1f} {name}" if total is None else f"{done / scale:,.1f} of {mark}{total / scale:,.1f} {name}"


def _clock(seconds: float) -> str:
    """`0:42`, `1:07:30`."""
    minutes, second = divmod(int(min(seconds, 359_999)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _drawn(share: float, width: int) -> str:
    full, empty = ("█", "░") if (getattr(sys.stderr, "encoding", "") or "").lower().startswith("utf") else ("#", ".")
    done = int(share * width)
    return full * done + empty * (width - done)


def _shortened(label: str, space: int) -> str:
    label = "".join(c if c.isprintable() else "?" for c in label)
    if len(label) <= space:
        return label
    end = (space - 1) // 2
    return f"{label[: space - 1 - end]}…{label[len(label) - end :]}"


def _columns() -> int:
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    return _COLUMNS
