"""An import stages, and then switches: nobody waits for it, what is there is not written, and a kill loses nothing."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

import mstbucket
from mstbucket.core import cid as cids
from mstbucket.core import commit as commits
from mstbucket.core.car import header, section
from mstbucket.core.car_reader import CarReader
from mstbucket.errors import BucketAlreadyExists, CorruptionError, FormatError, OutcomeUnknown, StorageError, Untrue
from mstbucket.index import staging
from mstbucket.index.tx import Tx
from mstbucket.limits import KIB, MIB
from mstbucket.services.tree import staged_blocks
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.services.upkeep.compact import DOOMED_AGE_MS, PENDING_AGE_MS, remove_leftovers

BODY: Final = random.Random(1).randbytes(5 * MIB)
COUNT: Final = 300


@pytest.fixture
def car(bucket: mstbucket.Bucket) -> bytes:
    """An export of a few hundred small objects, some with the same body, and a large one; some keys have versions."""
    bucket.put_bucket_versioning("Enabled")
    bucket.put_objects(mstbucket.PutRequest(f"{n:04}", b"%d" % (n // 2) * 50) for n in range(COUNT))
    bucket.put_objects(mstbucket.PutRequest(f"{n:04}", b"%d" % n * 90) for n in range(0, COUNT, 7))
    bucket.delete_object("0005")
    bucket.put_object("large", BODY)
    bucket.flush()
    out = io.BytesIO()
    bucket.export_car(out)
    return out.getvalue()


def held(store: mstbucket.Store) -> int:
    return sum(info.size for info in store._context.blobs.list("packs/"))


def export(bucket: mstbucket.Bucket) -> bytes:
    out = io.BytesIO()
    bucket.export_car(out)
    return out.getvalue()


def ask(store: mstbucket.Store, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    with store._context.db.connection() as connection:
        return list(connection.execute(query, arguments).fetchall())


def miscounted(car: bytes) -> bytes:
    """The same export, whose commit speaks of an object more than there is: known when all of it was read."""
    (root, block, _), *_ = CarReader(io.BytesIO(car))
    commit = commits.decode(bytes(block))
    wrong = commits.encode(replace(commit, objects=commit.objects + 1))
    made = cids.dag_cbor_cid(wrong)
    return header(made) + section(made, wrong) + car[len(header(root) + section(root, block)) :]


class Pausing(io.BytesIO):
    """A file that does something when about half of it was read."""

    def __init__(self, data: bytes, then: Callable[[], object]) -> None:
        super().__init__(data)
        self._then: Callable[[], object] | None = then
        self._half = len(data) // 2

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._half and self._then is not None:
            then, self._then = self._then, None
            then()
        return super().read(size)


def barrier_is_free(url: str) -> bool:
    """Whether somebody who wants the store for himself gets it at once."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_try_advisory_xact_lock(7172980, 0)").fetchone()
        assert row is not None
        return bool(row[0])


def test_nobody_waits_for_an_import_while_its_file_comes_nor_while_its_rows_are_taken(
    second_store: mstbucket.Store, second_database_url: str, car: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[IMP-5] [IMP-3]: the barrier is free at every stage, and nothing of the bucket is visible."""
    seen: list[tuple[str, bool, int]] = []

    def look(stage: str) -> None:
        seen.append((stage, barrier_is_free(second_database_url), len(second_store.list_buckets())))

    record, withdraw = Staged.record, Staged.withdraw

    def recording(self: Staged) -> None:
        look("rows of objects are taken")
        record(self)
        look("blocks have rows")

    def withdrawing(self: Staged, tx: Tx) -> None:
        withdraw(self, tx)
        look("the switch")

    monkeypatch.setattr(Staged, "record", recording)
    monkeypatch.setattr(Staged, "withdraw", withdrawing)
    bucket = second_store.import_car(Pausing(car, lambda: look("half of the file")))
    assert seen == [
        ("half of the file", True, 0),
        ("rows of objects are taken", True, 0),
        ("blocks have rows", True, 0),
        ("the switch", False, 0),  # this is what the lock looks like when it is held
    ]
    assert export(bucket) == car


def test_a_second_import_writes_nothing_and_one_of_a_changed_bucket_only_what_changed(
    second_store: mstbucket.Store, car: bytes, bucket: mstbucket.Bucket
) -> None:
    """[PUT-10] [IMP-2]"""
    second_store.import_car(io.BytesIO(car))
    before = held(second_store)
    assert export(second_store.import_car(io.BytesIO(car), "again")) == car
    assert held(second_store) == before
    bucket.put_object("0100", b"another body")
    bucket.flush()
    changed = export(bucket)
    assert export(second_store.import_car(io.BytesIO(changed), "changed")) == changed
    assert 0 < held(second_store) - before < 32 * KIB  # nodes on the way down, a manifest, a body, a commit
    assert second_store.bucket("changed").verify().objects == second_store.bucket("again").verify().objects


def test_an_import_into_the_store_it_comes_from_writes_nothing(store: mstbucket.Store, car: bytes) -> None:
    """[PUT-10]"""
    before = held(store)
    assert export(store.import_car(io.BytesIO(car), "again")) == car
    assert held(store) == before


@pytest.mark.parametrize("size", [1, 7, 100])
def test_as_many_packs_as_it_takes(
    size: int, second_store: mstbucket.Store, car: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[IMP-5]: of up to so many blocks each, whose places wait in a file."""
    if size == 1:
        monkeypatch.setattr(staged_blocks, "_SPOOL", 1)
    monkeypatch.setattr(staged_blocks, "STAGED_BLOCKS", size * 20)
    bucket = second_store.import_car(io.BytesIO(car))
    assert export(bucket) == car
    assert bucket.verify().objects == COUNT
    counts = ask(second_store, "SELECT count(*) FROM blocks GROUP BY pack")
    assert len(counts) == -(-sum(n for (n,) in counts) // (size * 20))
    assert ask(second_store, "SELECT DISTINCT state FROM packs") == [("ready",)]


@pytest.mark.parametrize("failing", ["rows", "blocks"])
def test_whichever_of_rows_and_blocks_fails_no_bucket_is_made_and_the_next_import_is_whole(
    failing: str, store: mstbucket.Store, second_store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[IMP-3] [IMP-5] of a bucket without versions, both are taken at once, by several threads"""
    bucket = store.create_bucket("plain")
    bucket.put_objects(mstbucket.PutRequest(f"{n:04}", b"%d" % n * 50) for n in range(COUNT))
    bucket.flush()
    data = export(bucket)
    monkeypatch.setattr(staged_blocks, "STAGED_BLOCKS", 20)
    before = set(threading.enumerate())
    asked = 0

    def refused(*_: Any) -> None:
        nonlocal asked
        asked += 1
        if failing == "rows" or asked == 7:
            raise StorageError("no room")
        return record(*_)

    record = staged_blocks._record
    with monkeypatch.context() as patch:
        if failing == "rows":
            patch.setattr(staging, "add_objects", refused)
        else:
            patch.setattr(staged_blocks, "_record", refused)
        with pytest.raises(StorageError, match="no room"):
            second_store.import_car(io.BytesIO(data))
    assert {thread for thread in threading.enumerate() if thread.name.startswith("mstbucket-record")} <= before
    assert second_store.list_buckets() == []
    assert ask(second_store, "SELECT 1 FROM packs WHERE state = 'pending'") == []
    assert ask(second_store, "SELECT 1 FROM objects") == []
    assert export(second_store.import_car(io.BytesIO(data))) == data
    assert second_store.check("data").findings == ()


@pytest.mark.parametrize(
    "kind",
    ["damaged", "untrue", "it breaks before the blocks are recorded", "the name is taken meanwhile", "the source breaks"],
)
def test_an_import_that_fails_leaves_nothing(
    kind: str, second_store: mstbucket.Store, car: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[IMP-1] [IMP-3]: whatever was staged, in many packs."""
    monkeypatch.setattr(staged_blocks, "STAGED_BLOCKS", 20)

    def fail() -> None:
        raise RuntimeError("it broke")

    if kind == "damaged":
        with pytest.raises((CorruptionError, FormatError)):
            second_store.import_car(io.BytesIO(car[:-9] + bytes([car[-9] ^ 1]) + car[-8:]))
    elif kind == "it breaks before the blocks are recorded":
        with monkeypatch.context() as patch:
            patch.setattr(Staged, "record", lambda _: fail())
            with pytest.raises(RuntimeError, match="broke"):
                second_store.import_car(io.BytesIO(car))
    elif kind == "untrue":
        with pytest.raises(Untrue, match="objects"):
            second_store.import_car(io.BytesIO(miscounted(car)))
    elif kind == "the source breaks":
        with pytest.raises(RuntimeError, match="broke"):
            second_store.import_car(Pausing(car, fail))
    else:
        with pytest.raises(BucketAlreadyExists):
            second_store.import_car(Pausing(car, lambda: second_store.create_bucket("things")))
        second_store.delete_bucket("things")
    for table in ("buckets", "objects", "versions", "blocks", "packs", "commits"):
        assert ask(second_store, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert held(second_store) == 0
    assert export(second_store.import_car(io.BytesIO(car))) == car


KILLED: Final = """
import os, signal, sys, mstbucket
from mstbucket.services.blocks.incoming import Incoming
from mstbucket.services.tree import staged_blocks
stage, database, blobs, file = sys.argv[1:]
staged_blocks.STAGED_BLOCKS = 50
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if stage == "sealed":
    staged_blocks.Staged.record = die
elif stage == "half recorded":
    count = iter(range(3))
    record = Incoming.record
    Incoming.record = lambda *arguments: die() if next(count) == 2 else record(*arguments)
else:
    staged_blocks.Staged.withdraw = die
with mstbucket.open(database=database, blobs=blobs, background=False) as store:
    store.import_car(file)
"""


@pytest.mark.parametrize("stage", ["sealed", "half recorded", "recorded"])
def test_a_killed_import_leaves_what_the_next_one_counts_on_or_what_is_removed(
    stage: str, second_store: mstbucket.Store, second_database_url: str, car: bytes, tmp_path: Path
) -> None:
    """[IMP-3] [STO-9]"""
    (tmp_path / "x.car").write_bytes(car)
    command = [sys.executable, "-c", KILLED, stage, second_database_url, str(tmp_path / "blobs-2"), str(tmp_path / "x.car")]
    assert subprocess.run(command, check=False).returncode == -9
    assert second_store.list_buckets() == []
    for table in ("objects", "versions", "commits"):
        assert ask(second_store, f"SELECT count(*) FROM {table}") == [(0,)], table
    led = "SELECT count(*) FROM blocks b LEFT JOIN packs p ON p.id = b.pack AND p.state = 'ready' WHERE p.id IS NULL"
    assert ask(second_store, led) == [(0,)]
    ready = "SELECT count(*) FROM packs WHERE state = 'ready'"
    assert ask(second_store, ready)[0][0] > 0 or stage == "sealed"
    ask(second_store, "UPDATE packs SET created = created - %s, alive = NULL RETURNING 1", PENDING_AGE_MS + DOOMED_AGE_MS)
    remove_leftovers(second_store._context)
    assert ask(second_store, "SELECT count(*) FROM packs WHERE state <> 'ready'") == [(0,)]
    before = held(second_store)
    bucket = second_store.import_car(io.BytesIO(car))
    assert export(bucket) == car
    assert bucket.verify().objects == COUNT
    assert (held(second_store) == before) == (stage == "recorded")


def test_an_import_that_was_given_up_after_a_day_of_silence_is_told_so(second_store: mstbucket.Store, car: bytes) -> None:
    """[STO-9] [PUT-11]"""

    def meanwhile() -> None:
        age = "UPDATE packs SET created = created - %s, alive = NULL RETURNING 1"
        ask(second_store, age, PENDING_AGE_MS + DOOMED_AGE_MS)
        remove_leftovers(second_store._context)

    with pytest.raises(StorageError, match="took so long"):
        second_store.import_car(Pausing(car, meanwhile))
    assert second_store.list_buckets() == []
    assert ask(second_store, "SELECT count(*) FROM objects") == [(0,)]


def test_nothing_of_an_import_is_collected_before_it_has_ended(
    second_store: mstbucket.Store, car: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-11]: not what it found, nor what it recorded and nothing leads to yet, by a collection at the worst moments."""
    monkeypatch.setattr(staged_blocks, "STAGED_BLOCKS", 50)
    second_store.import_car(io.BytesIO(car), "first")
    context = second_store._context

    def collect() -> None:
        """What nothing leads to: here everything, as if the first bucket were gone."""
        with context.db.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(7172980, 0)")
            connection.execute("UPDATE collector SET epoch = epoch + 1")
        with context.db.snapshot() as connection:
            [(before,)] = connection.execute("SELECT collected_before()").fetchall()
        ask(second_store, "DELETE FROM blocks WHERE epoch < %s RETURNING 1", before)

    collect()  # the rows of the first import are gone; those below are the second one's
    assert ask(second_store, "SELECT count(*) FROM blocks") == [(0,)]
    record = Staged.record

    def recording(self: Staged) -> None:
        collect()
        record(self)
        collect()
        collect()

    monkeypatch.setattr(Staged, "record", recording)
    again = second_store.import_car(Pausing(car, collect), "second")
    assert export(again) == car
    assert again.verify().objects == COUNT


@pytest.mark.parametrize("was_done", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("stage", ["recording", "switch"])
def test_an_import_whose_commit_was_not_answered_is_told_and_keeps_its_packs_only_if_they_are_recorded(
    stage: str, was_done: bool, second_store: mstbucket.Store, car: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-8] [IMP-3]: of the recording it is known that there is no bucket; of the switch nobody can say."""
    database = type(second_store._context.db)
    follow_up, record, settle = database._commit, staged_blocks._record, Staged.withdraw
    losing: list[Any] = []

    def lost(self: Any, connection: Any) -> None:
        if connection not in losing:
            follow_up(self, connection)
            return
        if was_done:
            follow_up(self, connection)
        else:
            connection.execute("ROLLBACK")
        raise OutcomeUnknown("nobody can say")

    def recording(one: Any, connection: Any) -> None:
        record(one, connection)
        losing.append(connection)

    def settling(self: Staged, tx: Any) -> None:
        settle(self, tx)
        losing.append(tx.connection)

    with monkeypatch.context() as patch:
        patch.setattr(database, "_commit", lost)
        if stage == "recording":
            patch.setattr(staged_blocks, "_record", recording)
        else:
            patch.setattr(Staged, "withdraw", settling)
        with pytest.raises(StorageError) as caught:
            second_store.import_car(io.BytesIO(car))
    assert isinstance(caught.value, OutcomeUnknown) == (stage == "switch")
    there = stage == "switch" and was_done
    assert [info.name for info in second_store.list_buckets()] == ["things"] * there
    assert ask(second_store, "SELECT count(*) FROM packs WHERE state <> 'ready'") == [(0,)]
    assert (held(second_store) > 0) == (stage == "switch" or was_done)
    if there:
        second_store.bucket("things").flush()
    else:
        second_store.import_car(io.BytesIO(car))
    assert second_store.bucket("things").verify().objects == COUNT
