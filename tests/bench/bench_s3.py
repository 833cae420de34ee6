"""The S3 verbs one by one: head and small get beside a bare SELECT, puts of one thread and of eight, and among a million.

Wall time, since the database works in another process. Each figure and its floor are taken in turns, and the middle
one of several rounds counts: what else the machine does meanwhile then meets both. BENCH_DIR names a folder on the disk
to measure; BENCH_KEYS the size of the large bucket.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rows import Row, wall_seconds

import mstbucket

MILLION = int(os.environ.get("BENCH_KEYS", "1000000"))
SMALL = 10_000
ROUNDS = 7
READS = 1500
PUTS = 400
THREADS = 8


def _in_turns(works: list[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """The middle time of each, after a round that does not count."""
    for work in works:
        work()
    times = [[wall_seconds(work) for work in works] for _ in range(rounds)]
    return [statistics.median(one) for one in zip(*times, strict=True)]


def run() -> list[Row]:
    """All figures."""
    place = os.environ.get("BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as folder:  # noqa: SIM117 too long for one line
        with mstbucket.open(folder, background=False) as store:
            return [*_reads(store), *_threads(store), *_flat(store)]


def _reads(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("reads")
    keys = [f"k/{n:06}" for n in range(READS)]
    for at in range(0, READS, 100):  # few at a time stay in the database until a flush
        bucket.put_objects(mstbucket.PutRequest(key, random.Random(key).randbytes(1024)) for key in keys[at : at + 100])
    random.Random(1).shuffle(keys)

    def bare() -> None:
        query = "SELECT * FROM objects WHERE bucket = 1 AND key = %s"
        with store._context.db.connection() as connection:
            for key in keys:
                assert connection.execute(query, (key,)).fetchone() is not None

    def heads() -> None:
        for key in keys:
            bucket.head_object(key)

    def gets() -> None:
        for key in keys:
            bucket.get_object(key).read()

    floor, head, get = _in_turns([bare, heads, gets])
    bucket.flush()
    floor_then, packed = _in_turns([bare, gets])
    return [
        _read("head_object", head, floor, 0.6),
        _read("get_object of 1 KiB, not flushed", get, floor, 0.5),
        _read("get_object of 1 KiB, from a pack", packed, floor_then, 0.5),
    ]


def _read(name: str, took: float, floor: float, wanted: float) -> Row:
    ratio = floor / took
    below = f"one bare indexed SELECT ({READS / floor:,.0f}/s)"
    return Row(name, READS / took, "/s", below, ratio, f">= {wanted}", ratio >= wanted)


def _threads(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("threads")
    body = random.Random(2).randbytes(4096)
    serial = iter(range(1 << 40))

    def puts(count: int) -> None:
        for n in [next(serial) for _ in range(count)]:
            bucket.put_object(f"k/{n:09}", n.to_bytes(8) + body[8:])

    with ThreadPoolExecutor(THREADS) as threads:
        one, many = _in_turns([lambda: puts(PUTS), lambda: list(threads.map(puts, [PUTS] * THREADS))], rounds=5)
    ratio = one * THREADS / many
    rate = PUTS * THREADS / many
    return [Row("8 threads of 4 KiB puts", rate, "/s", f"one thread ({PUTS / one:,.0f}/s)", ratio, ">= 2.5x", ratio >= 2.5)]


def _flat(store: mstbucket.Store) -> list[Row]:
    small, large = store.create_bucket("small"), store.create_bucket("large")
    for bucket, count in ((small, SMALL), (large, MILLION)):
        bucket.put_objects(mstbucket.PutRequest(f"{n * 7919 % count:09}", f"{n % 99}".encode()) for n in range(count))
        bucket.flush()
    rng = random.Random(3)

    def puts(bucket: mstbucket.Bucket, count: int) -> None:
        for _ in range(PUTS):
            bucket.put_object(f"{rng.randrange(count):09}+", rng.randbytes(4096))

    few, many = _in_turns([lambda: puts(small, SMALL), lambda: puts(large, MILLION)], rounds=5)
    ratio = few / many
    name = f"the same with {SMALL:,} keys ({PUTS / few:,.0f}/s)"
    return [Row(f"4 KiB puts with {MILLION:,} keys", PUTS / many, "/s", name, ratio, ">= 0.8, flat", ratio >= 0.8)]
