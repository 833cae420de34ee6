"""Lifecycle and locks: a pass over a large bucket beside a bare scan of its index, expiring beside deleting, heads.

Wall time, since the database works in another process. BENCH_KEYS gives the size of the large bucket.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rows import Row, wall_seconds

import mstbucket
from mstbucket import LifecycleRule
from mstbucket.core.times import DAY_MS
from mstbucket.services.policy import lifecycle_pass as expiring

MILLION = int(os.environ.get("BENCH_KEYS", "1000000"))
DUE = min(20_000, MILLION // 10)  # versions of one key


@contextmanager
def _store() -> Iterator[mstbucket.Store]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        yield store


def _vacuum(store: mstbucket.Store) -> None:
    """What autovacuum does within a minute; a pass comes once a day."""
    with store._context.db.connection() as connection:
        for table in ("objects", "versions", "locks"):
            connection.execute(f"VACUUM ANALYZE {table}")


def run() -> list[Row]:
    """All figures of rules and locks."""
    with _store() as store:
        return [*_pass(store), *_versions(store), *_locks(store)]


def _pass(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("million")
    bucket.put_objects(
        mstbucket.PutRequest(f"{n % 1000:03}/{n:09}", b"body", tags={"kind": "tmp"} if n % 1000 == 0 else {})
        for n in range(MILLION)
    )
    month = time.time_ns() // 1_000_000 + 30 * DAY_MS
    context = store._context
    _vacuum(store)
    with context.db.connection() as connection:
        number = connection.execute("SELECT id FROM buckets WHERE name = 'million'").fetchone()[0]
        scan = "SELECT count(modified) FROM (SELECT modified FROM objects WHERE bucket = %s ORDER BY key OFFSET 0) AS o"
        floor = wall_seconds(lambda: connection.execute(scan, (number,)).fetchone())
    rows = []
    for name, rule, target in (
        ("nothing is old enough", LifecycleRule(expiration_days=90), 6.0),
        ("all is old, no tag fits", LifecycleRule(expiration_days=1, tags={"no": "such"}), 30.0),
    ):
        bucket.put_bucket_lifecycle_configuration([rule])
        took = wall_seconds(lambda: expiring.run(context, "million", month))
        label, ratio = f"pass over {MILLION} keys, {name}", took / floor
        rows.append(Row(label, took, "s", "bare scan in key order", ratio, f"<= {target:.0f}x", ratio <= target))
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1, prefix="000/")])
    took = wall_seconds(lambda: expiring.run(context, "million", month))
    page = [f"001/{n:09}" for n in range(1, MILLION, 1000)]
    bare = wall_seconds(lambda: [bucket.delete_objects(page[at : at + 1000]) for at in range(0, len(page), 1000)])
    count = MILLION // 1000
    rows.append(
        Row("objects expired of one prefix", count / took, "/s", "delete_objects", bare / took, ">= 0.2", bare / took >= 0.2)
    )
    return rows


def _versions(store: mstbucket.Store) -> list[Row]:
    bucket = store.create_bucket("versions")
    bucket.put_bucket_versioning("Enabled")
    month = time.time_ns() // 1_000_000 + 30 * DAY_MS
    rows = []
    rate = {}
    for label, versions, keys in (("2 versions", 2, DUE // 2), (f"{DUE} versions", DUE, 1)):
        requests = (mstbucket.PutRequest(f"{label}/{key}", b"body") for _ in range(versions + 1) for key in range(keys))
        bucket.put_objects(requests)
        bucket.put_bucket_lifecycle_configuration(
            [LifecycleRule(prefix=label, noncurrent_days=1, newer_noncurrent_versions=1)]
        )
        _vacuum(store)
        took = wall_seconds(lambda: expiring.run(store._context, "versions", month))
        rate[label] = keys * (versions - 1) / took
        ratio = rate[label] / rate["2 versions"]
        rows.append(
            Row(f"versions removed of keys with {label}", rate[label], "/s", "2 versions", ratio, ">= 0.3", ratio >= 0.3)
        )
    return rows


def _locks(store: mstbucket.Store) -> list[Row]:
    far = datetime(2100, 1, 1, tzinfo=UTC)
    plain, locked = store.create_bucket("without"), store.create_bucket("with", object_lock=True)
    count = 2000
    for n in range(count):
        plain.put_object(f"{n}", b"body")
    locked.put_objects(
        mstbucket.PutRequest(f"{n}", b"body", object_lock_mode="GOVERNANCE", object_lock_retain_until=far)
        for n in range(count)
    )

    def heads(bucket: mstbucket.Bucket) -> float:
        return wall_seconds(lambda: [bucket.head_object(f"{n}") for n in range(count)])

    _vacuum(store)
    times = [(heads(plain), heads(locked)) for _ in range(5)][1:]
    ratio = min(without for without, _ in times) / min(with_ for _, with_ in times)
    return [Row("heads in a bucket with object lock", ratio, "x", "in one without", ratio, ">= 0.7", ratio >= 0.7)]
