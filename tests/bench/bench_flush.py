"""A flush of many changes in a large bucket: keys scattered over the tree, and keys beside each other; where the time goes.

Wall time beside the rows alone: the same CIDs inserted into an empty table with the same index, in one statement. The steps
go to stderr: wall time, processor time of this process, and of the server. `MSTBUCKET_BENCH_KEYS=1000000` is the size that
the targets were set for; it takes minutes to fill.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from rows import Row

import mstbucket
from mstbucket import PutRequest
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row
from mstbucket.services.tree import flush as flushing

KEYS = int(os.environ.get("MSTBUCKET_BENCH_KEYS", "100000"))
CHANGES = min(20_000, KEYS // 5)
BATCH = 5_000
RANDOM_MIN = 9_600  # keys/s
CLUSTERED_MIN = 20_000
_STEPS = ("take_snapshot", "fold", "write_pack", "record_flush", "publish_refs")
_ROWS = """
    CREATE TABLE bench_rows (LIKE mstbucket.blocks INCLUDING ALL);
    INSERT INTO bench_rows SELECT * FROM mstbucket.blocks b WHERE b.pack = (SELECT max(id) FROM mstbucket.packs)
"""


def run() -> list[Row]:
    """Both kinds of changes."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        mstbucket.open(Path(folder) / "s", background=False) as store,
        Database(store.conninfo()) as db,
    ):
        bucket = store.create_bucket("large")
        keys = [f"dir{n % 50}/file-{n:07}.txt" for n in range(KEYS)]
        rnd = random.Random(1)
        _put(bucket, keys, rnd)
        bucket.flush()
        start = rnd.randrange(KEYS - CHANGES)
        kinds = {"scattered": sorted(rnd.sample(keys, CHANGES)), "clustered": sorted(keys)[start : start + CHANGES]}
        rows = []
        for kind, least in (("scattered", RANDOM_MIN), ("clustered", CLUSTERED_MIN)):
            _put(bucket, kinds[kind], rnd)
            took = _flush(bucket, db, kind)
            floor = _floor(db)
            rate = CHANGES / took
            name = f"flush of {CHANGES:,} {kind} in {KEYS:,}"
            rows.append(Row(name, rate, "keys/s", "its rows alone", floor / took, f">= {least:,}/s", rate >= least))
    return rows


def _put(bucket: mstbucket.Bucket, keys: list[str], rnd: random.Random) -> None:
    for start in range(0, len(keys), BATCH):
        bucket.put_objects([PutRequest(key, rnd.randbytes(64)) for key in keys[start : start + BATCH]])


def _flush(bucket: mstbucket.Bucket, db: Database, kind: str) -> float:
    """Wall seconds of a flush; its steps are printed."""
    spent: dict[str, list[float]] = {}
    server = _Server(db)

    def watched(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            with _step(spent, name, server):
                return work(*args, **given)

        return call

    with ExitStack() as patches:
        for name in _STEPS:
            patches.enter_context(mock.patch.object(flushing, name, watched(name, getattr(flushing, name))))
        with _step(spent, "all", server):
            bucket.flush()
    steps = [f"{name} {1000 * wall:.0f} ({1000 * own:.0f}+{1000 * its:.0f})" for name, (wall, own, its) in spent.items()]
    print(f"{kind}, ms: wall (processor here + server): {'; '.join(steps)}", file=sys.stderr)
    return spent["all"][0]


@contextmanager
def _step(spent: dict[str, list[float]], name: str, server: _Server) -> Iterator[None]:
    begun = [time.perf_counter(), time.process_time(), server.seconds()]
    yield
    ended = [time.perf_counter(), time.process_time(), server.seconds()]
    before = spent.get(name, [0.0, 0.0, 0.0])
    spent[name] = [sum_ + after - at for sum_, after, at in zip(before, ended, begun, strict=True)]


class _Server:
    """The processor time of the server's sessions; 0 where the system does not tell."""

    def __init__(self, db: Database) -> None:
        with db.reading() as connection:
            folder = str(one_row(connection, "SELECT current_setting('data_directory')")[0])
        self._parent = (Path(folder) / "postmaster.pid").read_text().split("\n", 1)[0]

    def seconds(self) -> float:
        ticks = 0
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = place.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == self._parent:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def _floor(db: Database) -> float:
    with db.connection() as connection:
        begun = time.perf_counter()
        connection.execute(_ROWS, prepare=False)
        took = time.perf_counter() - begun
        connection.execute("DROP TABLE bench_rows", prepare=False)
    return took
