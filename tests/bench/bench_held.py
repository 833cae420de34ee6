"""How long a restore holds its bucket alone, and the barrier: others wait for that long. Wall time.

The floor is the least that can be done to the same rows: out of the table and into it, by two statements. As many keys as
MSTBUCKET_BENCH_CHANGED says, with a comma between numbers; 50,000 is what a restore changes at most.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from rows import Row

import mstbucket
from mstbucket import PutRequest
from mstbucket.pg.pool import Connection
from mstbucket.services.past import change_keys

CHANGED = [int(n) for n in os.environ.get("MSTBUCKET_BENCH_CHANGED", "2000,8000").split(",")]
REPEAT = 3


def run() -> list[Row]:
    """All figures of what is held."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        return [_held(store, keys, versioned) for keys in CHANGED for versioned in (False, True)]


def _held(store: mstbucket.Store, keys: int, versioned: bool) -> Row:
    bucket = store.create_bucket(f"held-{keys}-{versioned}".lower())
    if versioned:
        bucket.put_bucket_versioning("Enabled")
    names = [f"{n // 1000:04}/{n % 1000:03}" for n in range(keys)]
    bucket.put_objects(PutRequest(name, b"old") for name in names)
    old = bucket.flush().seq
    bucket.put_objects(PutRequest(name, b"new") for name in names)
    new = bucket.flush().seq
    held: list[float] = []
    for n in range(REPEAT):
        with _watched(held):
            bucket.restore((old, new)[n % 2])
    floor = min(_floor(store.conninfo(), bucket.name) for _ in range(REPEAT))
    name = f"restore {keys:,} keys{', versions' if versioned else ''}: held"
    return Row(name, 1000 * min(held), "ms", "the bare rows", min(held) / floor, "<= 6", min(held) <= 6 * floor)


@contextmanager
def _watched(held: list[float]) -> Iterator[None]:
    """Note the time from being alone to the end of the COMMIT."""
    begun: list[float] = []
    enter, execute = change_keys.enter_alone, Connection.execute

    def entering(*given: Any) -> Any:
        tx = enter(*given)
        begun.append(time.perf_counter())
        return tx

    def executing(self: Any, query: Any, *given: Any, **named: Any) -> Any:
        done = execute(self, query, *given, **named)
        if query == "COMMIT" and begun:
            held.append(time.perf_counter() - begun.pop())
        return done

    change_keys.enter_alone = entering  # type: ignore[assignment]
    Connection.execute = executing  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        change_keys.enter_alone = enter
        Connection.execute = execute  # type: ignore[method-assign]


def _floor(conninfo: str, bucket: str) -> float:
    with psycopg.connect(conninfo, options="-c search_path=mstbucket") as connection:
        of = "bucket = (SELECT id FROM buckets WHERE name = %s)"
        connection.execute(f"CREATE TEMPORARY TABLE bare AS SELECT * FROM objects WHERE {of}".encode(), (bucket,))
        begun = time.perf_counter()
        connection.execute(f"DELETE FROM objects WHERE {of}".encode(), (bucket,))
        connection.execute("INSERT INTO objects SELECT * FROM bare")
        connection.execute("DROP TABLE bare")
        connection.commit()
        return time.perf_counter() - begun
