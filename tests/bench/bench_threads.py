"""Small puts: one thread, sixteen, sixty-four, and many at once, each beside a floor or a peer measured in turn with it.

Wall time, since the database works in another process, and the median of the ratios of several rounds, since other processes
disturb it.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

from rows import Row

import mstbucket

PUTS = int(os.environ.get("BENCH_PUTS", "500"))
ROUNDS = 5
MANY = 10  # times as many puts by `put_objects`


def run() -> list[Row]:
    """The rate of each way, and its ratio."""
    bodies = [random.Random(n).randbytes(4080) for n in range(PUTS)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        bucket, db = store.create_bucket("threads"), store._context.db
        with db.connection() as connection:
            connection.execute("CREATE TABLE bench_floor (id bytea PRIMARY KEY, body bytea)")
            connection.execute("ALTER TABLE bench_floor ALTER COLUMN body SET STORAGE EXTERNAL")

        def floor(round_: int) -> None:
            with db.connection() as connection:
                for n, body in enumerate(bodies):
                    stamp = _stamp(round_, n)
                    connection.execute("INSERT INTO bench_floor VALUES (%s, %s)", (stamp, body + stamp))

        def puts(threads: int, round_: int) -> None:
            def work(me: int) -> None:
                for n in range(me, PUTS, threads):
                    bucket.put_object(f"{threads}/{round_}/{n:06}", bodies[n] + _stamp(round_ << 8 | threads, n))

            started = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()

        def many(round_: int) -> None:
            bucket.put_objects(
                mstbucket.PutRequest(f"m/{round_}/{n:06}", bodies[n % PUTS] + _stamp(round_ << 8, n))
                for n in range(MANY * PUTS)
            )

        rounds = [
            [
                _seconds(floor, n),
                _seconds(lambda n: puts(1, n), n),
                _seconds(lambda n: puts(16, n), n),
                _seconds(lambda n: puts(64, n), n),
                _seconds(many, n) / MANY,
            ]
            for n in range(ROUNDS)
        ]

    def row(name: str, at: int, beside: int, floor_name: str, least: float) -> Row:
        ratio = statistics.median(took[beside] / took[at] for took in rounds)
        rate = PUTS / statistics.median(took[at] for took in rounds)
        return Row(name, rate, "/s", floor_name, ratio, f">= {least:g}", ratio >= least)

    return [
        row("4 KiB puts, 1 thread", 1, 0, "bare one-row INSERT of the body", 0.65),
        row("4 KiB puts, 16 threads", 2, 1, "1 thread", 3),
        row("4 KiB puts, 64 threads", 3, 1, "1 thread", 4),
        row("4 KiB by put_objects", 4, 1, "1 thread", 8),
    ]


def _stamp(round_: int, n: int) -> bytes:
    return round_.to_bytes(8, "big") + n.to_bytes(8, "big")


def _seconds(work: Callable[[int], None], round_: int) -> float:
    start = time.perf_counter()
    work(round_)
    return time.perf_counter() - start
