"""The background work collects when it is time, and is never forced ([GC-15])."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collectstate import ask

import mstbucket
from mstbucket.errors import Conflict
from mstbucket.limits import MIB
from mstbucket.services.upkeep import collect as collecting
from mstbucket.services.upkeep import worker
from mstbucket.services.upkeep.collect import is_due
from tests.waiting import until


@pytest.fixture
def working(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], mstbucket.Store]]:
    """Opens the test's store with background work that looks all the time."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(collecting, "LOOK_SECONDS", 0.02)
    opened = []

    def open_() -> mstbucket.Store:
        opened.append(mstbucket.open(database=database_url, blobs=tmp_path / "blobs"))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def test_a_cycle_is_due_after_a_week_or_when_much_was_written(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-15]"""
    context = store._context
    assert not is_due(context), "nothing is there"
    bucket.put_object("a", random.Random(1).randbytes(MIB))
    assert not is_due(context)
    ask(store, "UPDATE packs SET created = created - 168 * 3600000")
    assert is_due(context)
    store.collect()
    assert not is_due(context)
    ask(store, "UPDATE collections SET ended = ended - 168 * 3600000 + 60000")
    assert not is_due(context)
    monkeypatch.setattr(collecting, "GROWN_BYTES", MIB)
    bucket.put_object("b", random.Random(2).randbytes(MIB // 3))
    assert not is_due(context), "it has grown by a third of what lived"
    bucket.put_object("c", random.Random(3).randbytes(MIB))
    assert is_due(context)
    store.collect()
    assert not is_due(context)
    bucket.put_object("d", b"[GC-18]: something may have died")
    assert not is_due(context)
    ask(store, "UPDATE collections SET ended = ended - 168 * 3600000")
    assert is_due(context)


def test_the_background_collects_and_leaves_what_an_undo_needs(
    working: Callable[[], mstbucket.Store], bucket: mstbucket.Bucket, store: mstbucket.Store
) -> None:
    """[GC-15]"""
    for n in range(3):
        bucket.put_object(f"{n}", random.Random(n).randbytes(MIB))
    bucket.delete_object("0")
    ask(store, "UPDATE packs SET created = created - 168 * 3600000")
    working()
    until(lambda: store.space().last is not None)
    last = store.space().last
    assert last is not None
    assert last.freed.bytes == MIB
    assert store.undo_collect().bytes == MIB


def test_what_is_refused_is_logged_and_not_tried_again_at_once(
    working: Callable[[], mstbucket.Store],
    bucket: mstbucket.Bucket,
    store: mstbucket.Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """[GC-13] [GC-15]"""
    bucket.put_object("a", random.Random(1).randbytes(MIB))
    bucket.delete_object("a")
    ask(store, "UPDATE packs SET created = created - 168 * 3600000")
    said = lambda: [one for one in caplog.records if "the collection was refused" in one.getMessage()]  # noqa: E731
    with caplog.at_level(logging.WARNING, logger="mstbucket"):
        working()
        until(lambda: len(said()) > 0)
        time.sleep(0.2)
        assert len(said()) == 1
    assert store.space().last is None


def test_a_store_that_is_closed_ends_the_collection(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """It does not wait for a long mark."""
    bucket.put_object("a", b"one")
    bucket.flush()
    bucket.put_object("b", b"two")
    bucket.flush()

    def closing() -> None:
        raise Conflict("the store is being closed")

    with pytest.raises(Conflict, match="is being closed"):
        collecting.collect(store._context, dry_run=False, force=True, grace=0, check=closing)
    assert store.collect(grace=0).freed.blocks == 0


def test_what_sweeps_have_removed_hides_no_growth(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-15] [GC-16] Sweeps make room; what they never decide fills it, and a cycle is due as if there had been none."""
    monkeypatch.setattr(collecting, "GROWN_BYTES", MIB)
    bucket.put_object("stays", random.Random(1).randbytes(6 * MIB))
    bucket.put_object("goes", random.Random(2).randbytes(4 * MIB))
    store.collect()
    bucket.delete_object("goes")
    assert collecting.sweep(store._context) > 4
    space = store.space()
    assert space.live == space.stored < 7 * MIB
    upload = bucket.create_multipart_upload("aborted")
    bucket.upload_part("aborted", upload.id, 1, random.Random(3).randbytes(6 * MIB))
    bucket.abort_multipart_upload("aborted", upload.id)
    assert is_due(store._context)
    assert store.space().dead == store.space().stored - space.stored > 5 * MIB


def test_the_background_sweeps_where_no_cycle_is_due(
    working: Callable[[], mstbucket.Store], bucket: mstbucket.Bucket, store: mstbucket.Store
) -> None:
    """[GC-27]"""
    bucket.put_object("a", random.Random(1).randbytes(MIB))
    bucket.put_object("b", b"first")
    bucket.put_object("b", b"second")
    assert ask(store, "SELECT count(*) FROM died") == [(1,)]
    working()
    until(lambda: ask(store, "SELECT count(*) FROM died") == [(0,)])
    assert ask(store, "SELECT swept FROM collections") == [(True,)]
    assert store.space().last is None, "that was no cycle"
    assert bucket.get_object("b").read() == b"second"
