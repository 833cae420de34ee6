"""How a plan is carried out: batches that end in time, and threads that end with the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import StorageError
from mstbucket.sync import engine
from mstbucket.sync.directory import Directory
from mstbucket.sync.engine import Engine, Event
from mstbucket.sync.entry import Copy, Entry, Same, Step
from mstbucket.sync.filters import Filters
from mstbucket.sync.inward import Inward
from mstbucket.sync.mover import Meter
from mstbucket.sync.objects import Objects

Write = Callable[..., None]


def transactions(bucket: mstbucket.Bucket) -> int:
    """In how many transactions the objects came."""
    with bucket._context.db.reading() as connection:
        row = connection.execute("SELECT count(DISTINCT xmin::text) FROM objects").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(("seconds", "batches"), [(60.0, 1), (0.0, 200)], ids=["one batch of 1,000", "none waits"])
def test_small_files_enter_by_batches_that_end_in_time(
    bucket: mstbucket.Bucket, tree: Path, run: Any, write: Write, monkeypatch: pytest.MonkeyPatch, seconds: float,
    batches: int,
) -> None:  # fmt: skip
    """[SYNC-13]"""
    monkeypatch.setattr(engine, "BATCH_SECONDS", seconds)
    write(tree, {f"{number:03}": b"" for number in range(200)})
    run(tree, bucket)
    assert transactions(bucket) == batches


def test_a_batch_ends_in_time_while_the_plan_finds_nothing_to_do(
    bucket: mstbucket.Bucket, tree: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[SYNC-13] what was read must not wait for the end of a long listing."""
    monkeypatch.setattr(engine, "BATCH_SECONDS", 0.05)
    write(tree, {"f": b"1"})
    (entry,) = Directory(str(tree), Filters(), lambda *_: None, follow=True).entries()
    told: list[Event] = []
    end = time.monotonic() + 60

    def steps() -> Iterator[Step]:
        yield Copy(entry, None, "new")
        while not told:
            assert time.monotonic() < end, "the batch waits for the plan"
            yield Same(entry)

    class Slow(Meter):
        def add(self, count: int) -> None:
            time.sleep(0.2)  # the plan has gone far ahead when the file has been read
            super().add(count)

    mover = Inward(Objects(bucket, "", Filters()), Slow())
    summary = Engine(mover, told.append, lambda _: None, 2).run(steps(), bucket)
    assert (summary.copied, len(told)) == (1, 1)


def test_no_thread_outlives_a_run_that_fails(bucket: mstbucket.Bucket, tree: Path, write: Write) -> None:
    write(tree, {f"{number:02}": bytes(2_000_000) for number in range(40)})
    source = Directory(str(tree), Filters(), lambda *_: None, follow=True)

    def steps() -> Iterator[Step]:
        for number, entry in enumerate(source.entries()):
            if number == 20:
                raise StorageError("the listing broke off")
            yield Copy(entry, None, "new")

    mover = Inward(Objects(bucket, "", Filters()), Meter())
    with pytest.raises(StorageError, match="broke off"):
        Engine(mover, lambda _: None, lambda _: None, 4).run(steps(), bucket)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mstbucket-sync")] == []
    assert len(list(bucket.objects())) <= 20


def test_what_is_told_as_copied_is_there(bucket: mstbucket.Bucket, tree: Path, write: Write) -> None:
    """[SYNC-13] at the moment it is told."""
    write(tree, {f"{number:03}": b"%d" % number for number in range(60)} | {"large": bytes(3_000_000)})
    source = Directory(str(tree), Filters(), lambda *_: None, follow=True)
    steps = [Copy(entry, None, "new") for entry in source.entries()]

    def tell(event: Event) -> None:
        entry: Entry = event.step.source  # type: ignore[union-attr]
        assert bucket.head_object(entry.key).size == entry.size

    summary = Engine(Inward(Objects(bucket, "", Filters()), Meter()), tell, lambda _: None, 4).run(steps, bucket)
    assert (summary.copied, summary.failed) == (61, 0)
