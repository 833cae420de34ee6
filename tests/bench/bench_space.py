"""What a small object takes in Postgres after a flush and after rounds of overwriting, and an idle store on disk, closed."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from bench_collection import retain_one
from rows import Row

import mstbucket
from mstbucket import PutRequest
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row

OBJECTS = 4000
ROUNDS = 20
GROWN = 5  # flushes of as many objects each, all new: each fills the room that the one before has left
IDLE = 10_000  # objects of the store that is closed
IDLE_ROUNDS = 2
SIZE = 200  # bytes of a body; all bodies differ
BATCH = 1000
SETTLED_MAX = 750  # bytes
CHURN_MAX = 1.5  # of that, after the rounds
DISK_MAX = 80e6
_SIZES = """
    SELECT c.relname, pg_total_relation_size(c.oid), pg_relation_size(c.oid), pg_indexes_size(c.oid) FROM pg_class c
    WHERE c.relnamespace = 'mstbucket'::regnamespace AND c.relkind = 'r' ORDER BY 2 DESC
"""


def run() -> list[Row]:
    """Every figure beside what it should be; the bytes of each table go to stderr."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        return [*_churn(place / "churn"), _collected(place / "collected"), _grown(place / "grown"), *_idle(place / "idle")]


def _churn(place: Path) -> list[Row]:
    rnd = random.Random(1)
    with mstbucket.open(place, background=False) as store, Database(store.conninfo()) as db:
        bucket = store.create_bucket("space")
        empty = sum(_sizes(db, "none, what every store has").values()) / OBJECTS  # no object's share: the same for a million
        _round(bucket, rnd, OBJECTS)
        first = _sizes(db, "one flush")
        rows_first = _blocks(db)
        for _ in range(ROUNDS):
            _round(bucket, rnd, OBJECTS)
        last = _sizes(db, f"{ROUNDS} rounds more")
        rows = _blocks(db)
        with db.connection() as connection:
            connection.execute("VACUUM FULL blocks")
        each = _sizes(db, "VACUUM FULL of blocks")["blocks"] / rows
    settled, churned = sum(first.values()) / OBJECTS - empty, sum(last.values()) / OBJECTS - empty
    # The blocks of older commits stay until a collection: their rows, as small as they can be, are no waste. All else is.
    kept = (rows - rows_first) / OBJECTS * each
    ours, wanted = (churned - kept) / settled, settled / SETTLED_MAX
    return [
        Row("Postgres per object, one flush", settled, "B", "wanted", wanted, "<= 1x", wanted <= 1),
        Row(f"after {ROUNDS} rounds of overwriting", churned, "B", "one flush", churned / settled, "-", True),
        Row("of it not for older commits", churned - kept, "B", "one flush", ours, f"<= {CHURN_MAX}x", ours <= CHURN_MAX),
    ]


def _collected(place: Path) -> Row:
    """The same where no older commit stays, and each round is followed by a collection."""
    rnd = random.Random(4)
    with mstbucket.open(place, background=False) as store, Database(store.conninfo()) as db:
        bucket = store.create_bucket("space")
        empty = sum(_sizes(db, "none, what every store has").values()) / OBJECTS
        _round(bucket, rnd, OBJECTS)
        settled = sum(_sizes(db, "one flush").values()) / OBJECTS - empty
        for _ in range(ROUNDS):
            _round(bucket, rnd, OBJECTS)
            retain_one(store)
            store.collect(force=True, grace=0)
        last = sum(_sizes(db, f"{ROUNDS} rounds more, each collected").values()) / OBJECTS - empty
    ratio = last / settled
    return Row("the same, each round collected", last, "B", "one flush", ratio, f"<= {CHURN_MAX}x", ratio <= CHURN_MAX)


def _grown(place: Path) -> Row:
    rnd = random.Random(3)
    with mstbucket.open(place, background=False) as store, Database(store.conninfo()) as db:
        bucket = store.create_bucket("space")
        empty = sum(_sizes(db, "none, what every store has").values())
        for start in range(0, GROWN * OBJECTS, OBJECTS):
            _round(bucket, rnd, OBJECTS, start)
        each = (sum(_sizes(db, f"{GROWN} flushes, all together").values()) - empty) / (GROWN * OBJECTS)
    wanted = each / SETTLED_MAX
    return Row(f"Postgres per object, {GROWN} flushes of new ones", each, "B", "wanted", wanted, "<= 1x", wanted <= 1)


def _idle(place: Path) -> list[Row]:
    rnd = random.Random(2)
    with mstbucket.open(place, background=False) as store:
        bucket = store.create_bucket("space")
        for _ in range(IDLE_ROUNDS):
            _round(bucket, rnd, IDLE)
    closed, wal = _disk(place / "postgres"), _disk(place / "postgres" / "data" / "pg_wal")
    wanted = closed / DISK_MAX
    return [
        Row("postgres/ on disk, closed", closed / 1e6, "MB", "wanted", wanted, "<= 1x", wanted <= 1),
        Row("of it WAL", wal / 1e6, "MB", "all", wal / closed, "-", True),
    ]


def _round(bucket: mstbucket.Bucket, rnd: random.Random, count: int, first: int = 0) -> None:
    for start in range(first, first + count, BATCH):
        keys = range(start, start + BATCH)
        bucket.put_objects([PutRequest(f"dir{key % 50}/file-{key:06}.txt", rnd.randbytes(SIZE)) for key in keys])
    bucket.flush()


def _sizes(db: Database, what: str) -> dict[str, int]:
    with db.reading() as connection:
        rows = connection.execute(_SIZES).fetchall()
    tables = "; ".join(
        f"{name} {all_ / OBJECTS:.0f} ({heap / OBJECTS:.0f}+{index / OBJECTS:.0f})" for name, all_, heap, index in rows[:4]
    )
    print(f"bytes an object after {what}: all (rows + indexes) {tables}", file=sys.stderr)
    return {name: all_ for name, all_, _, _ in rows}


def _blocks(db: Database) -> int:
    with db.reading() as connection:
        return int(one_row(connection, "SELECT count(*) FROM blocks")[0])


def _disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
