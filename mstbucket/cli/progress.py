"""Progress bars on stderr: only on a terminal, only when the work takes long, and only then is `rich` imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

AFTER: Final = 0.7  # seconds of work before a bar appears


@contextmanager
def bar(label: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the bytes done so far; it shows a bar once the work has taken a while.

    Args:
        label: what is being done.
        total: bytes in all, or None where nobody knows.
        quiet: never show anything.
    """
    if quiet or not sys.stderr.isatty():
        yield _nothing
        return
    shown = _Bar(label, total)
    try:
        yield shown.update
    finally:
        shown.close()


def _nothing(_done: int) -> None:
    pass


class _Bar:
    def __init__(self, label: str, total: int | None) -> None:
        self._label = label
        self._total = total
        self._started = time.monotonic()
        self._stop: Callable[[], None] | None = None
        self._show: Callable[[int], None] = self._wait

    def update(self, done: int) -> None:
        self._show(done)

    def close(self) -> None:
        if self._stop is not None:
            self._stop()

    def _wait(self, done: int) -> None:
        if time.monotonic() - self._started >= AFTER:
            self._start()
            self._show(done)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        progress = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(),
            console=Console(stderr=True), transient=True,
            redirect_stdout=sys.stdout.isatty(),  # results that go elsewhere must not be drawn into
        )  # fmt: skip
        task = progress.add_task(self._label, total=self._total)
        self._show = lambda done: progress.update(task, completed=done)

        def stop() -> None:
            progress.refresh()  # the last figure is shown, however short the work was behind it
            progress.stop()

        self._stop = stop
        progress.start()
