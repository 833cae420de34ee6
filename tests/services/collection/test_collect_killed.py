"""Processes that collect are killed at any moment, and processes that write are stopped in the middle of a transaction."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from collectstate import ask, assert_nothing_dangles, give_up_commits

import mstbucket
from mstbucket.errors import Conflict, StorageError
from mstbucket.limits import MIB
from mstbucket.services.upkeep import compact as compacting

WORKER = Path(__file__).with_name("collectworker.py")
ROUNDS = 8


def test_a_collection_that_is_killed_at_any_moment_leaves_a_whole_store(
    open_store: Callable[[], mstbucket.Store],
    database_url: str,
    tmp_path: Path,
    start_child: Callable[..., subprocess.Popen[Any]],
) -> None:
    """[GC-5] [GC-8] [GC-9]: the next cycle begins anew, and frees all that is to be freed."""
    store = open_store()
    bucket = store.create_bucket("things")
    dice = random.Random(11)
    bodies = [dice.randbytes(size) for size in (10, 3000, 70_000, MIB + 70_000)]
    expected: dict[str, bytes] = {}
    environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
    for number in range(ROUNDS):
        command = [sys.executable, str(WORKER), database_url, str(tmp_path / "blobs")]
        child = start_child(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        end = time.monotonic() + dice.uniform(0.05, 0.4)
        while time.monotonic() < end:
            for _ in range(5):
                key, body = f"{dice.randrange(30)}", dice.choice(bodies) + b"%d" % dice.randrange(3)
                if dice.random() < 0.4:
                    bucket.delete_object(key)
                    expected.pop(key, None)
                else:
                    bucket.put_object(key, body)
                    expected[key] = body
            bucket.flush()
            give_up_commits(store)
        child.kill()
        child.wait()
        child.stdout.close()
        if number % 3 == 2:
            store.undo_collect()
        assert_nothing_dangles(store)
    assert {item.key: bucket.get_object(item.key).read() for item in bucket.objects()} == expected
    bucket.flush()
    give_up_commits(store)
    deadline = time.monotonic() + 60  # the last one's session may hold its lock for a moment
    while True:
        with suppress(Conflict):
            store.collect(force=True, grace=0)
            break
        assert time.monotonic() < deadline
    again = store.collect(force=True, grace=0)
    assert (again.dead.blocks, again.freed.blocks) == (0, 0)
    assert_nothing_dangles(store)


def test_a_writer_in_the_middle_of_its_transaction_is_waited_for(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-1]: it has touched a dead block in the old epoch, and no row of it can be seen yet."""
    bucket.put_object("dead", b"born again")
    bucket.delete_object("dead")
    with psycopg.connect(store.conninfo(), options="-c search_path=mstbucket") as writer:
        # What a put of a small body does, without the end of the transaction.
        writer.execute("SELECT * FROM enter('things')")
        writer.execute("SELECT touch_blocks((SELECT epoch FROM collector), ARRAY(SELECT cid FROM blocks))")
        writer.execute(
            "INSERT INTO objects (bucket, key, manifest, content, size, etag, created, modified) "
            "SELECT b.id, 'live', cid, cid, 10, '', 0, 0 FROM blocks, buckets b"
        )
        done: list[mstbucket.CollectReport] = []
        thread = threading.Thread(target=lambda: done.append(store.collect(force=True, grace=0)))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        writer.commit()
    thread.join()
    assert done[0].freed.blocks == 0
    assert bucket.get_object("live").read() == b"born again"


def test_an_undo_in_the_middle_of_a_compaction_is_not_lost(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-11]: the compaction has seen that no row leads to a block, and then one does."""
    for n in range(4):
        bucket.put_object(f"{n}", random.Random(n).randbytes(5000))
        bucket.flush()
    bucket.delete_object("0")
    bucket.flush()
    give_up_commits(store)
    assert store.collect(force=True).freed.blocks > 3
    [(buried,)] = ask(store, "SELECT count(*) FROM buried")
    real = compacting.rows_of_pack
    undone: list[int] = []

    def then_undo(db: Any, pack: int, cids: Sequence[bytes]) -> set[bytes]:
        seen = real(db, pack, cids)
        if not undone and len(seen) < len(cids) - 1:  # one is the empty block that begins each pack
            undone.append(store.undo_collect().blocks)
        return seen

    monkeypatch.setattr(compacting, "rows_of_pack", then_undo)
    store.compact()
    assert undone == [buried]
    assert_nothing_dangles(store)


def test_an_undo_between_count_and_sweep_ends_the_cycle(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-11]: what it knows of packs is not true any more."""
    from mstbucket.services.collection import cycle

    for n in range(2):
        bucket.put_object(f"{n}", random.Random(n).randbytes(MIB + 1))
    bucket.delete_object("0")
    store.collect(force=True)
    bucket.delete_object("1")
    real = cycle.find_strays

    def undo_before(context: Any) -> Any:
        store.undo_collect()
        return real(context)

    monkeypatch.setattr(cycle, "find_strays", undo_before)
    with pytest.raises(Conflict, match="undo"):
        store.collect(force=True, grace=0)
    assert_nothing_dangles(store)
    monkeypatch.undo()
    assert store.collect(force=True, grace=0).freed.blocks == 6


@pytest.mark.parametrize("step", ["remove", "begin", "end"])
def test_a_database_that_fails_during_the_sweep_leaves_a_whole_store(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """[GC-8]"""
    from mstbucket.index import collection
    from mstbucket.services.collection import cycle

    for n in range(60):
        bucket.put_object(f"{n}", random.Random(n).randbytes(300))
    bucket.flush()
    for n in range(50):
        bucket.delete_object(f"{n}")
    bucket.flush()
    give_up_commits(store)
    monkeypatch.setattr(cycle, "BATCH", 20)
    real = getattr(collection, step)
    calls: list[int] = []

    def fail_later(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == (3 if step == "remove" else 1):
            raise StorageError("the database went away")
        return real(*arguments)

    monkeypatch.setattr(collection, step, fail_later)
    with pytest.raises(StorageError, match="went away"):
        store.collect(force=True, grace=0)
    assert_nothing_dangles(store)
    monkeypatch.undo()
    store.collect(force=True, grace=0)
    assert store.collect(force=True, grace=0).dead.blocks == 0
    assert_nothing_dangles(store)
