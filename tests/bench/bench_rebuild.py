"""A lost database made again: objects a second, beside the insertion of the same rows with nothing else done."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from psycopg.conninfo import make_conninfo
from rows import Row

import mstbucket
from mstbucket import PutRequest, Store
from mstbucket.pg.database import Database

OBJECTS = 40_000
LARGE = 40  # bodies of 4 MiB, which are stepped over
WANTED = 20_000  # objects a second


def run() -> list[Row]:
    """Fill a store, lose its database, make it again; takes half a minute."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source = random.Random(1)
        old = Path(folder) / "old"
        with mstbucket.open(old, background=False) as store:
            bucket = store.create_bucket("things")
            bucket.put_objects(PutRequest(f"{n % 97}/{n}", b"body %d" % n) for n in range(OBJECTS))
            for n in range(LARGE):
                bucket.put_object(f"large/{n}", source.randbytes(4 << 20))
            commit = bucket.flush()
            conninfo = store.conninfo()
            with Database(conninfo) as db, db.connection() as connection:  # on a server that runs: its start is not measured
                for name in ("again", "hashed"):
                    connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            again, hashing = (make_conninfo(conninfo, dbname=name) for name in ("again", "hashed"))
            start, used = time.perf_counter(), time.process_time()
            report = Store.rebuild(database=again, blobs=old / "blobs")
            seconds, used = time.perf_counter() - start, time.process_time() - used
            assert report.buckets[0].commit == commit.cid
            start = time.perf_counter()
            Store.rebuild(database=hashing, blobs=old / "blobs", hash_all=True)
            hashed = time.perf_counter() - start
            floor = _insert_again(again)
    count = OBJECTS + LARGE
    print(f"rebuild {seconds:.2f} s, {used:.2f} of them this process", file=sys.stderr)
    print(f"with every byte hashed {hashed:.2f} s; the rows alone {floor:.2f} s", file=sys.stderr)
    rate = count / seconds
    beside = "rows copied in the database"
    return [
        Row("rebuild", rate, "objects/s", beside, seconds / floor, f">= {WANTED}", rate >= WANTED),
        Row("rebuild, by the CPU time of its process", count / used, "objects/s", beside, used / floor, "-", True),
        Row("rebuild, every byte hashed", count / hashed, "objects/s", beside, hashed / floor, "-", True),
    ]


def _insert_again(conninfo: str) -> float:
    """Seconds in which the database copies the rows of objects and blocks into tables with the same indexes."""
    with Database(conninfo) as db, db.connection() as connection:
        start = time.perf_counter()
        for table in ("objects", "blocks"):
            connection.execute(f"CREATE TABLE {table}_again (LIKE {table} INCLUDING ALL)")
            connection.execute(f"INSERT INTO {table}_again SELECT * FROM {table}")
        return time.perf_counter() - start


if __name__ == "__main__":
    for row in run():
        print(row)
