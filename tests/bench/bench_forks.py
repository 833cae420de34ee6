"""A fork beside what the database needs for the rows alone, and a restore beside the puts and the flush of as many keys."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rows import Row, wall_seconds

import mstbucket
from mstbucket import PutRequest
from mstbucket.pg.database import Database

KEYS = 50_000
FLOOR_MAX = 4.0  # times the rows alone: the tree is read, sent and joined as well
FORK_MIN = 100_000  # keys/s
RESTORED = 10_000
RESTORE_MAX = 1.5  # times the puts and the flush

_ROWS = """
    INSERT INTO mstbucket.objects (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256)
    SELECT -1, key, manifest, content, size, etag, content_type, created, modified, sha256 FROM mstbucket.objects
    WHERE bucket = 1
"""


def run() -> list[Row]:
    """Wall time, for most of it is the server's."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        mstbucket.open(Path(folder) / "s", background=False) as store,
    ):
        bucket = store.create_bucket("source")
        bucket.put_objects(PutRequest(f"{n % 97:02}/{n:08}", b"%d" % n) for n in range(KEYS))
        seq = bucket.flush().seq
        with Database(store.conninfo()) as db, db.connection() as connection:
            floor = wall_seconds(lambda: connection.execute(_ROWS))
        fork = min(wall_seconds(lambda n=n: store.fork("source", f"fork-{n}", commit=seq)) for n in range(2))  # type: ignore[misc]
        changed = [PutRequest(f"{n % 97:02}/{n:08}", b"new") for n in range(RESTORED)]

        def change() -> None:
            bucket.put_objects(changed)
            bucket.flush()

        puts = wall_seconds(change)
        restore = wall_seconds(lambda: bucket.restore(seq))
        trees = {commit.seq: commit.tree for commit in bucket.log()}
        assert trees[max(trees)] == trees[seq]
    rate, ratio = KEYS / fork, restore / puts
    return [
        Row("fork", rate, "keys/s", "wanted", rate / FORK_MIN, ">= 1x", rate >= FORK_MIN),
        Row("fork", fork, "s", "its rows alone", fork / floor, f"<= {FLOOR_MAX}x", fork / floor <= FLOOR_MAX),
        Row(f"restore {RESTORED:,} keys", restore, "s", "put and flush", ratio, f"<= {RESTORE_MAX}x", ratio <= RESTORE_MAX),
    ]

