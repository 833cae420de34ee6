"""Collection: how fast it marks, what a store that is overwritten again and again takes, and what writers feel of it."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from rows import Row

import mstbucket
from mstbucket import PutRequest
from mstbucket.errors import Conflict
from mstbucket.services.collection.roots import mark

OBJECTS = 60_000  # of the store that is marked
KEYS = 10_000  # that are overwritten
ROUNDS = 20
BODY = 1000  # bytes
WRITE_SECONDS = 4.0
RATE = 150_000  # blocks a second
SPACE = 1.5  # of the live bytes


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


def writers(store: mstbucket.Store, seconds: float) -> float:
    """Puts in a second of eight threads."""
    counts = [0] * 8
    end = time.monotonic() + seconds

    def write(number: int) -> None:
        bucket = store.bucket("written")
        while time.monotonic() < end:
            bucket.put_object(f"{number}/{counts[number] % 500}", b"%d" % counts[number] * 100)
            counts[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def collect_for(directory: Path, stop: multiprocessing.synchronize.Event) -> None:
    """Collect as often as it goes, in a process of its own."""
    with mstbucket.open(directory, background=False) as store:
        while not stop.wait(0.2):
            with suppress(Conflict):
                store.collect(force=True, grace=0)


def beside(directory: Path) -> Row:
    with mstbucket.open(directory, background=False) as store:
        put_all(store.create_bucket("written"), KEYS, 0)
        store.bucket("written").flush()
        alone = writers(store, WRITE_SECONDS)
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        other = context.Process(target=collect_for, args=(directory, stop))
        other.start()
        time.sleep(1.5)
        with_it = writers(store, WRITE_SECONDS)
        stop.set()
        other.join()
        return Row(
            "8 writers beside collections without a pause", with_it, "puts/s", "alone", with_it / alone, ">= 0.9",
            with_it >= 0.9 * alone,
        )  # fmt: skip


def run() -> list[Row]:
    """Measure; takes two minutes."""
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        return [*rates(top / "rates"), space(top / "space"), beside(top / "beside")]


if __name__ == "__main__":
    for row in run():
        figure = f"{row.name:70} {row.value:12,.0f} {row.unit:12}"
        print(f"{figure} {row.ratio:6.2f} of {row.floor_name}, {row.target}: {row.met}")
