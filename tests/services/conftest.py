"""What the tests of the services share: a clock that tests move, and programs that are killed at a point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mstbucket
from mstbucket.blobs.base import BlobWriter
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.pg.database import Database

if TYPE_CHECKING:
    from worlds import Field

DAY_MS = 24 * 3600 * 1000


class Clock:
    """The time at which whatever is written is written, in ms since 1970; moved by tests, so that months pass at once."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms

    def pass_days(self, days: float) -> None:
        self.ms += round(days * DAY_MS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands at the last midnight UTC, and that every writer of this process goes by."""
    clock = Clock(time.time_ns() // 1_000_000 // DAY_MS * DAY_MS)
    monkeypatch.setattr(Database, "now_ms", lambda _: clock())
    return clock


@pytest.fixture
def before_next_pack(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done once, when the next pack is begun: a flush has read its snapshot by then, and folded it."""

    def arrange(work: Callable[[], object]) -> None:
        open_write = LocalBlobs.open_write

        def interrupted(blobs: LocalBlobs, name: str) -> BlobWriter:
            if name.startswith("packs/"):
                monkeypatch.setattr(LocalBlobs, "open_write", open_write)
                work()
            return open_write(blobs, name)

        monkeypatch.setattr(LocalBlobs, "open_write", interrupted)

    return arrange


KILLED = """
import os, sys, mstbucket
program, point, database, blobs = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
places = (
    "blobs/media/local.py", "pg/database.py", "services/blocks/registered.py", "services/blocks/pack_in_progress.py",
    "services/tree/publish.py", "services/tree/refs.py",
)
count, times = 0, {}
def watch(frame, event, argument):
    global count
    if event in ("call", "return") and frame.f_code.co_filename.endswith(places):
        times[event, frame.f_code] = times.get((event, frame.f_code), 0) + 1
        count += times[event, frame.f_code] <= 4  # what goes over all blocks must not crowd out the rest
        if count == point != 0:
            os.kill(os.getpid(), 9)
store = mstbucket.open(database=database, blobs=blobs, background=False)
sys.setprofile(watch)
exec(program)
sys.setprofile(None)
store.close()
print(count)
"""


@pytest.fixture
def run_killed() -> Callable[..., int]:
    """Runs a line of Python on a `store` in a process of its own, which kills itself at the n-th event.

    Events are calls of what works on the media, and returns from it; a point of 0 is none. Returns how many there were,
    or 0 if it was killed.
    """

    def run(program: str, point: int, database: str, blobs: str) -> int:
        environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
        command = [sys.executable, "-c", KILLED, program, str(point), database, blobs]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == -signal.SIGKILL:
            return 0
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    return run


@pytest.fixture(scope="module")
def field(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Stores that are all alike, for tests of deeds that are disturbed."""
    from worlds import Field

    return Field(databases, template, tmp_path_factory.mktemp("worlds"))
