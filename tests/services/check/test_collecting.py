"""Checks and repairs beside collections: what waits for an undo, what goes meanwhile, and what an undo brings back."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from racing import repeating

import mstbucket
from mstbucket import KeepPolicy, Store
from mstbucket.index import check_rows
from mstbucket.services.check import data
from mstbucket.services.upkeep.compact import Compactor, CompactReport

Sql = Callable[..., list[Any]]
ROUNDS = 3
MIB = 1 << 20


@pytest.fixture
def others(open_store: Callable[[], Store]) -> Store:
    """The same store again: nothing that the first reads is in a cache of it."""
    return open_store()


def assert_clean(report: mstbucket.StoreReport) -> None:
    assert (report.findings, report.incomplete) == ((), ())


def test_racing_collections_and_retention_give_no_finding(open_store: Callable[[], Store]) -> None:
    """[CHECK-9] [CHECK-5] [CHECK-7]: with and without an undo window, and with undos."""
    store = open_store()
    for name in ("one", "two"):
        bucket = store.create_bucket(name)
        bucket.put_retention(KeepPolicy(last=1))
        bucket.put_objects(mstbucket.PutRequest(f"{n}", b"%d" % n) for n in range(40))
        bucket.flush()

    def write(numbers: random.Random) -> None:
        bucket = writer.bucket(numbers.choice(("one", "two")))
        key = str(numbers.randrange(60))
        if numbers.random() < 0.3:
            bucket.delete_object(key)
        else:
            bucket.put_object(key, random.Random(numbers.randrange(5)).randbytes(numbers.choice((3, 70_000, 2_200_000))))
        if numbers.random() < 0.3:
            bucket.flush()

    def collect(numbers: random.Random) -> None:
        if numbers.random() < 0.2:
            collector.undo_collect()
        else:
            collector.collect(force=True, grace=numbers.choice((0, 0, 3600)))

    writer, collector = open_store(), open_store()
    with repeating(write, collect):
        reports = [store.check("proof") for _ in range(ROUNDS)]
    for report in reports:
        assert_clean(report)
    assert_clean(store.check("proof"))


def test_what_waits_for_an_undo_is_no_finding(full: Store, sql: Sql) -> None:
    """[CHECK-6] [GC-10]: nor is what came back, nor what went for good."""
    plain = full.bucket("plain")
    for item in list(plain.objects()):
        plain.delete_object(item.key)
    plain.flush()
    plain.put_retention(KeepPolicy(last=1))
    report = full.collect(force=True, grace=3600)
    assert report.freed.blocks > 0
    assert report.packs > 0
    assert sql("SELECT count(*) > 0 FROM packs WHERE state = 'doomed' AND until IS NOT NULL") == [(True,)]
    assert sql("SELECT count(*) > 0 FROM buried") == [(True,)]
    assert_clean(full.check("proof"))
    assert full.undo_collect().blocks == report.freed.blocks
    assert_clean(full.check("proof"))
    full.collect(force=True, grace=0)
    assert_clean(full.check("proof"))


def test_a_pack_that_goes_while_it_is_read_is_passed_over(
    full: Store, others: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CHECK-7]: the rows that led there go first, between two looks at them."""
    done: list[int] = []
    real = data._read

    def read(*arguments: Any) -> Any:
        if not done:
            done.append(1)
            plain = others.bucket("plain")
            for item in list(plain.objects()):
                plain.delete_object(item.key)
            plain.flush()
            plain.put_retention(KeepPolicy(last=1))
            assert others.collect(force=True, grace=0).packs > 0
        return real(*arguments)

    monkeypatch.setattr(data, "_read", read)
    assert_clean(full.check("data"))
    assert done


def test_commits_that_are_given_up_while_they_are_proved_are_proved_to_the_end(
    full: Store, others: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CHECK-9] [PAST-3]: the commit stays by a lease, once its rows were read."""
    done: list[str] = []
    real = check_rows.read_state

    def read_state(*arguments: Any) -> Any:
        found = real(*arguments)
        if len(done) < 4:
            for name in ("plain", "past"):
                bucket = others.bucket(name)
                bucket.put_object("k/001", os.urandom(10))
                bucket.flush()
                bucket.put_retention(KeepPolicy(last=1))
            others.collect(force=True, grace=0)
            done.append("")
        return found

    monkeypatch.setattr(check_rows, "read_state", read_state)
    assert_clean(full.check("proof"))
    assert len(done) > 1


def test_repair_blocks_beside_what_waits_for_an_undo(
    full: Store, sql: Sql, tmp_path: Path, open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CHECK-20] [GC-10] [GC-11]: the blob of a damaged pack stays as long as rows that led there can come back."""
    stay, go = os.urandom(2 * MIB), os.urandom(2 * MIB)
    plain = full.bucket("plain")
    plain.put_objects([mstbucket.PutRequest("go", go), mstbucket.PutRequest("stay", stay)])
    plain.flush()
    plain.export_car(tmp_path / "copy.car")
    plain.delete_object("go")
    plain.flush()
    plain.put_retention(KeepPolicy(last=1))
    with monkeypatch.context() as patch:
        # The pack stays, with what lives in it.
        patch.setattr(Compactor, "rewrite", lambda *_: CompactReport())
        full.collect(force=True, grace=3600)
    [(name,)] = sql("SELECT DISTINCT p.name FROM packs p JOIN blocks b ON b.pack = p.id JOIN buried t ON t.pack = p.id "
                    "WHERE p.state = 'ready' AND b.length = 1048576")  # fmt: skip
    path = tmp_path / "blobs" / name
    damaged = bytearray(path.read_bytes())
    damaged[-1000] ^= 1
    path.chmod(0o600)
    path.write_bytes(damaged)
    store = open_store()
    assert not store.check("data").clean
    report = store.repair_blocks(tmp_path / "copy.car")
    assert (report.repaired > 0, report.missing) == (True, ())
    assert_clean(store.check("proof"))
    assert sql("SELECT state, until IS NOT NULL FROM packs WHERE name = %s", name) == [("doomed", True)]
    assert path.exists()
    back = store.undo_collect()
    assert back.blocks > 0
    assert store.bucket("plain").get_object("stay").read() == stay
    store.bucket("plain").verify()
    assert {finding.code for finding in store.check("presence").findings} == set()
