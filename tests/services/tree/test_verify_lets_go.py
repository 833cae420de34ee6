"""A verification holds nothing while it reads: no snapshot of the database, and no lock."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.services.tree import check as checking


def fill(bucket: mstbucket.Bucket, count: int) -> None:
    bucket.put_objects(mstbucket.PutRequest(f"{n:05}", b"%d" % n) for n in range(count))
    bucket.flush()


def test_no_transaction_is_open_while_a_verification_reads(
    bucket: mstbucket.Bucket, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CHK-1] Looked at from outside: whenever progress is told, and whenever the tree is read for the comparison."""
    fill(bucket, 5000)
    held: list[Any] = []
    looks = 0
    with psycopg.connect(database_url, autocommit=True) as outside:
        query = """
            SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND backend_type = 'client backend' AND (state LIKE 'idle in transaction%' OR backend_xmin IS NOT NULL)
        """
        locks = """
            SELECT pid, locktype FROM pg_locks
            WHERE pid <> pg_backend_pid() AND granted AND locktype IN ('relation', 'advisory')
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """

        def look(_: object) -> None:
            nonlocal looks
            looks += 1
            held.extend(outside.execute(query).fetchall() + outside.execute(locks).fetchall())

        walk = checking.walk

        def watched(*arguments: Any) -> Any:
            for pair in walk(*arguments):
                if pair[0].endswith(b"50"):
                    look(None)
                yield pair

        monkeypatch.setattr(checking, "walk", watched)
        assert bucket.verify(progress=look).objects == 5000
    assert looks > 50
    assert held == []


@pytest.mark.parametrize("page", [2, 7])
def test_a_healthy_bucket_is_healthy_whatever_happens_meanwhile(
    store: mstbucket.Store,
    open_store: Callable[[], mstbucket.Store],
    monkeypatch: pytest.MonkeyPatch,
    page: int,
) -> None:
    """[CHK-2] Writers, removers, flushes, compactions and changes of tags, beside verifications in small pages."""
    monkeypatch.setattr(checking, "_PAGE", page)
    bucket = store.create_bucket("things")
    bucket.put_bucket_versioning("Enabled")
    fill(bucket, 40)
    stop = threading.Event()

    def write(seed: int) -> None:
        mine, rng = open_store().bucket("things"), random.Random(seed)
        while not stop.is_set():
            key = f"{rng.randrange(60):05}"
            verb = rng.randrange(8)
            if verb < 4:
                mine.put_object(key, rng.randbytes(rng.choice([3, 70_000])))
            elif verb < 6:
                mine.delete_object(key)
            elif verb == 6:
                versions = mine.list_object_versions(key, max_keys=5).versions
                mine.delete_objects([(one.key, one.version_id) for one in versions if one.key == key and rng.random() < 0.5])
            else:
                mine.put_bucket_tagging({"n": str(rng.random())})

    def flush() -> None:
        mine = open_store()
        while not stop.is_set():
            mine.bucket("things").flush()
            mine.compact()

    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(write, 1), pool.submit(write, 2), pool.submit(flush)]
        try:
            for _ in range(4):
                bucket.verify()
        finally:
            stop.set()
        for other in others:
            other.result(60)
    bucket.flush()
    assert bucket.verify().dirty == 0


DAMAGES = {
    "a key that only the tree has": ("DELETE FROM objects WHERE key = %s", "the index does not"),
    "a key with another manifest": ("UPDATE objects SET manifest = content WHERE key = %s", "the tree holds"),
    "a key that only the index has": ("UPDATE objects SET key = key || 'x' WHERE key = %s", "the"),
    "a version that only the tree has": ("DELETE FROM versions WHERE key = %s", "the index does not"),
    "a version of another sequence": ("UPDATE versions SET seq = seq + 7 WHERE key = %s", "the"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("page", [1, 2, 3, 2000])
def test_one_wrong_key_is_found_wherever_the_pages_end(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, page: int, damage: str, said: str
) -> None:
    """[CHK-2] At each of all keys: first and last ones, beside dirty rows, and on both sides of the end of a page."""
    monkeypatch.setattr(checking, "_PAGE", page)
    bucket.put_bucket_versioning("Enabled")
    keys = ["a", "b", "bé", "c"]
    for key in [*keys, *keys]:
        bucket.put_object(key, key.encode())
    bucket.flush()
    bucket.put_object("aa", b"dirty")
    bucket.delete_object("gone")
    assert bucket.verify().dirty == 2  # one in each tree
    for key in keys:
        with store._context.db.connection() as connection:
            connection.execute("CREATE TABLE o AS TABLE objects")
            connection.execute("CREATE TABLE v AS TABLE versions")
            connection.execute(damage, (key,))
        with pytest.raises(errors.Untrue, match=said):
            bucket.verify()
        with store._context.db.connection() as connection:
            connection.execute("TRUNCATE objects, versions")
            connection.execute("INSERT INTO objects TABLE o")
            connection.execute("INSERT INTO versions TABLE v")
            connection.execute("DROP TABLE o, v")
    assert bucket.verify().dirty == 2


def test_a_bucket_that_goes_during_its_verification_is_told(
    store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    bucket.put_object("k", b"1")
    bucket.flush()
    bucket.delete_object("k")
    bucket.flush()
    with pytest.raises(errors.NoSuchBucket):
        bucket.verify(progress=lambda _: store.delete_bucket("things"))
