"""The store: puts, flush, listing, and a large body, each beside its floor in the same run.

Wall time, since the database works in another process. The floors are bare SQL on the same server, and bare hashes.
"""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rows import Row, wall_seconds

import mstbucket
from mstbucket.limits import MIB

MILLION = int(os.environ.get("BENCH_KEYS", "1000000"))


@contextmanager
def _store() -> Iterator[mstbucket.Store]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        yield store


def run() -> list[Row]:
    """All figures of the store."""
    with _store() as store:
        return [*_puts(store), *_bulk(store), *_large(store), *_million(store)]


def _puts(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("single-puts")
    bodies = [random.Random(n).randbytes(4096) for n in range(1500)]
    with store._context.db.connection() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_floor (id int PRIMARY KEY, body bytea)")
        connection.execute("ALTER TABLE bench_floor ALTER COLUMN body SET STORAGE EXTERNAL")

    def floor() -> None:
        with store._context.db.connection() as connection:
            for n, body in enumerate(bodies):
                connection.execute("INSERT INTO bench_floor VALUES (%s, %s)", (n, body))

    def puts() -> None:
        for n, body in enumerate(bodies):
            bucket.put_object(f"k/{n:06}", body)

    bare, ours = len(bodies) / wall_seconds(floor), len(bodies) / wall_seconds(puts)
    with store._context.db.connection() as connection:
        connection.execute("DROP TABLE bench_floor")
    ratio = ours / bare
    rows = [Row("single 4 KiB puts", ours, "/s", "bare one-row INSERT of the body", ratio, ">= 0.6", ratio >= 0.6)]

    def gets() -> None:
        for n in range(len(bodies)):
            bucket.get_object(f"k/{n:06}").read()

    def bare_gets() -> None:
        with store._context.db.connection() as connection:
            for n in range(len(bodies)):
                connection.execute("SELECT * FROM objects WHERE bucket = 1 AND key = %s", (f"k/{n:06}",)).fetchone()

    gets()
    ratio = wall_seconds(bare_gets) / wall_seconds(gets)
    rows.append(Row("small gets", ratio * 1, "x", "bare indexed SELECT", ratio, ">= 0.5 (stage 2)", ratio >= 0.5))
    return rows


def _bulk(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("bulk")
    body = random.Random(1).randbytes(4096)
    count = 30_000
    requests = [mstbucket.PutRequest(f"b/{n:08}", n.to_bytes(8, "big") + body[8:]) for n in range(count)]
    hashes = wall_seconds(lambda: [(hashlib.md5(r.body).digest(), hashlib.sha256(r.body).digest()) for r in requests])  # type: ignore[arg-type]
    took = wall_seconds(lambda: bucket.put_objects(requests))
    rate = count / took
    return [Row("put_objects of 4 KiB", rate, "/s", "their hashes alone", hashes / took, ">= 15k/s", rate >= 15_000)]


def _large(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("large")
    chunk = random.Random(2).randbytes(MIB)
    size = 1024 * MIB

    class Stream:
        def __init__(self) -> None:
            self.left = size

        def read(self, n: int) -> bytes:
            n = min(n, self.left, MIB)
            self.left -= n
            return self.left.to_bytes(8, "big") + chunk[8:n] if n else b""

    def work(*hashers: object) -> Callable[[], None]:
        def one() -> None:
            for _ in range(size // MIB):
                for hasher in hashers:
                    hasher.update(chunk)  # type: ignore[attr-defined]

        return one

    def floor() -> None:  # the three hashes on as many threads as the put uses
        threads = [threading.Thread(target=work(h)) for h in (hashlib.md5(), hashlib.sha256(), hashlib.sha256())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    bare = wall_seconds(floor)
    took = wall_seconds(lambda: bucket.put_object("1 GiB", Stream()))  # type: ignore[arg-type]
    read = wall_seconds(lambda: sum(len(c) for c in bucket.get_object("1 GiB")))
    sha = wall_seconds(work(hashlib.sha256()))
    return [
        Row("1 GiB put", 1024 / took, "MiB/s", "MD5, 2x SHA-256, threaded", bare / took, ">= 0.7", bare / took >= 0.7),
        Row("1 GiB get", 1024 / read, "MiB/s", "SHA-256 once", sha / read, ">= 0.5", sha / read >= 0.5),
    ]


def _million(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("million")
    bucket.put_objects(mstbucket.PutRequest(f"{n % 1000:03}/{n:09}", f"{n}".encode()) for n in range(MILLION))
    first = wall_seconds(bucket.flush)
    rng = random.Random(3)
    count = 20_000
    changed = rng.sample(range(MILLION), count)
    bucket.put_objects(mstbucket.PutRequest(f"{n % 1000:03}/{n:09}", f"new {n}".encode()) for n in changed)
    again = wall_seconds(bucket.flush)
    rows = [
        Row(f"first flush of {MILLION} keys", MILLION / first, "keys/s", "-", 0, "-", True),
        Row("flush of 20k changed keys", count / again, "keys/s", "-", 0, ">= 20k/s", count / again >= 20_000),
    ]
    bare = "SELECT key, size, etag, modified FROM objects WHERE bucket = %s AND key > %s ORDER BY key LIMIT 1001"
    with store._context.db.connection() as connection:
        number = connection.execute("SELECT id FROM buckets WHERE name = 'million'").fetchone()[0]
        starts = [f"{rng.randrange(1000):03}/" for _ in range(100)]
        floor = wall_seconds(lambda: [connection.execute(bare, (number, s), binary=True).fetchall() for s in starts])
    page = wall_seconds(lambda: [bucket.list_objects(start_after=s) for s in starts])
    folders = wall_seconds(lambda: [bucket.list_objects(delimiter="/") for _ in range(20)])
    rows.append(Row("page of 1,000 keys", page * 10, "ms", "bare SQL", page / floor, "<= 2x", page / floor <= 2))
    rows.append(Row("1,000 common prefixes", folders * 50, "ms", "-", 0, "<= 12 ms (stage 2)", folders * 50 <= 12))
    return rows
