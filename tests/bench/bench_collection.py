"""Collection: how fast it marks, what a store that is overwritten again and again takes, and what writers feel of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import beside
from rows import Row

import mstbucket
from mstbucket import PutRequest
from mstbucket.limits import COLLECT_PERCENT
from mstbucket.services.collection.roots import mark
from mstbucket.services.collection.sweep import sweep
from mstbucket.services.collection.turns import asked_for
from mstbucket.services.upkeep.collect import Pace, collect

OBJECTS = 60_000  # of the store that is marked
KEYS = 10_000  # that are overwritten
ROUNDS = 20
BODY = 1000  # bytes
WRITE_SECONDS = 2.0  # of a window
TURNS = 4
RATE = 150_000  # blocks a second
SPACE = 1.5  # of the live bytes
_NUMBERS = count(1)


def put_all(bucket: mstbucket.Bucket, keys: int, number: int) -> None:
    body = lambda key: (b"%d %d " % (key, number)).ljust(BODY, b".")  # noqa: E731
    bucket.put_objects(PutRequest(f"{key % 100}/{key}", body(key)) for key in range(keys))


def retain_one(store: mstbucket.Store) -> None:
    """As a retention that keeps the newest commit alone."""
    with store._context.db.connection() as connection:
        connection.execute("DELETE FROM commits c WHERE seq < (SELECT max(n.seq) FROM commits n WHERE n.bucket = c.bucket)")


def mark_rate(store: mstbucket.Store) -> float:
    """Blocks marked in a second of this process's CPU time; what the server takes comes on top."""
    with ExitStack() as stack:
        start = time.process_time()
        _, marks, _ = mark(store._context, lambda: None, stack)
        return len(marks) / (time.process_time() - start)


def rates(directory: Path) -> Iterator[Row]:
    with mstbucket.open(directory, background=False) as store:
        bucket = store.create_bucket("marked")
        put_all(bucket, OBJECTS, 0)
        bucket.flush()
        rate = max(mark_rate(store) for _ in range(3))
        yield Row("marking, objects with rows", rate, "blocks/CPU s", "the goal", rate / RATE, ">= 1", rate >= RATE)
        with store._context.db.connection() as connection:
            connection.execute("TRUNCATE objects, dirty")  # so that all is read from the trees, as of an old commit
        rate = max(mark_rate(store) for _ in range(3))
        yield Row("marking, of the past alone", rate, "blocks/CPU s", "the goal", rate / RATE, ">= 1", rate >= RATE)


def space(directory: Path) -> Row:
    with mstbucket.open(directory, background=False) as store:
        bucket = store.create_bucket("overwritten")
        for number in range(ROUNDS):
            put_all(bucket, KEYS, number)
            bucket.flush()
            retain_one(store)
            store.collect(force=True, grace=0)
        bodies = KEYS * BODY
        size = sum(path.stat().st_size for path in (directory / "blobs").rglob("*") if path.is_file())
        live = store.space().live
        assert live is not None
        what = f"blobs after {ROUNDS} rounds of {KEYS:,} keys, {size / bodies:.2f} of the bodies"
        return Row(what, size / 1e6, "MB", "live bytes", size / live, f"<= {SPACE}", size <= SPACE * live)


def without_pause(store: mstbucket.Store) -> None:
    """A cycle as somebody asks for it."""
    store.collect(force=True, grace=0)


def as_background(store: mstbucket.Store) -> None:
    """A cycle as the background work does it."""
    collect(store._context, dry_run=False, force=True, grace=0, check=Pace(time.sleep))


def besides(directory: Path) -> Iterator[Row]:
    with mstbucket.open(directory, background=False) as store:
        for name in ("kept-1", "kept-2", "written"):
            put_all(store.create_bucket(name), KEYS, 0)
            store.bucket(name).flush()
        beside.write(store, 1.0)
        for how, work in (("the background's", as_background), ("back-to-back", without_pause)):
            yield from rows_beside(how, store, directory / "blobs", work)


def rows_beside(how: str, store: mstbucket.Store, blobs: Path, work: Callable[[mstbucket.Store], None]) -> Iterator[Row]:
    """Eight writers beside one cycle after the other, in turn with eight writers alone."""
    other = beside.Other(store, blobs, work)
    alone, with_it, cycles = beside.in_turn(store, other, TURNS, WRITE_SECONDS)
    other.close()
    paced = work is as_background
    rate, floor = (beside.middle(windows, lambda one: one.rate) for windows in (with_it, alone))
    target = ">= 0.9" if paced else "none"
    met = not paced or rate >= 0.9 * floor
    yield Row(f"8 writers beside {how} cycles", rate, "puts/s", "alone", rate / floor, target, met)
    cpu, floor = (beside.middle(windows, lambda one: one.cpu) for windows in (with_it, alone))
    yield Row(f"CPU of a put beside {how} cycles", cpu, "us", "alone", cpu / floor, "<= 1.1", cpu <= 1.1 * floor)
    longest, floor = (1e3 * max(one.longest for one in windows) for windows in (with_it, alone))
    yield Row(f"the longest put beside {how} cycles", longest, "ms", "alone", longest / floor, "none", True)
    share = 100 * cycles.cpu / cycles.seconds
    target = f"<= {COLLECT_PERCENT}" if paced else "none"
    met = not paced or share <= COLLECT_PERCENT
    yield Row(f"{how} cycles, {cycles.count} ended: their CPU", share, "% of a core", "a core", share / 100, target, met)


def sweep_us(store: mstbucket.Store, bucket: mstbucket.Bucket, overwritten: int) -> float:
    """The time that a sweep takes for each block that died, after so many keys were overwritten; the least of three."""
    best = float("inf")
    for _ in range(3):
        put_all(bucket, overwritten, next(_NUMBERS))
        bucket.flush()
        with store._context.db.connection() as connection:
            connection.execute("UPDATE commits SET published = true")
            give_up = "SELECT give_up_commits(b.id, ARRAY(SELECT seq FROM commits WHERE bucket = b.id)) FROM buckets b"
            connection.execute(give_up)
        start = time.perf_counter()
        freed = sweep(store._context, 0, lambda: None, asked_for)[0]
        assert freed.blocks > overwritten
        best = min(best, 1e6 * (time.perf_counter() - start) / freed.blocks)
    return best


def sweeps(directory: Path) -> Iterator[Row]:
    """A sweep costs what died, and not what lives."""
    took: dict[int, dict[int, float]] = {}
    for objects in (OBJECTS // 6, OBJECTS):
        with mstbucket.open(directory / f"{objects}", background=False) as store:
            bucket = store.create_bucket("swept")
            put_all(bucket, objects, 0)
            bucket.flush()
            took[objects] = {overwritten: sweep_us(store, bucket, overwritten) for overwritten in (500, 2000)}
    small, large = took.values()
    ratio = large[500] / small[500]
    name = f"a sweep after 500 overwrites among {OBJECTS:,} objects"
    yield Row(name, large[500], "us a block", f"among {OBJECTS // 6:,}", ratio, "<= 2", ratio <= 2)
    ratio = large[2000] / large[500]
    yield Row("a sweep after 2,000 overwrites there", large[2000], "us a block", "after 500", ratio, "<= 1.5", ratio <= 1.5)


def run() -> list[Row]:
    """Measure; takes three minutes."""
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        return [*rates(top / "rates"), *sweeps(top / "sweeps"), space(top / "space"), *besides(top / "beside")]


if __name__ == "__main__":
    for row in run():
        figure = f"{row.name:70} {row.value:12,.0f} {row.unit:12}"
        print(f"{figure} {row.ratio:6.2f} of {row.floor_name}, {row.target}: {row.met}")
