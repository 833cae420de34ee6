"""Writers of a few hot contents beside collections without a pause: what was acknowledged is there, and nothing dangles."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
from collectstate import ask, assert_nothing_dangles
from sweepstate import retain_one as give_up_commits

import mstbucket
from mstbucket import PutRequest
from mstbucket.errors import Conflict, NoSuchCommit, NoSuchKey, NotFound
from mstbucket.limits import MIB, PART_SIZE_MIN
from mstbucket.services.collection.sweep import sweep as sweep_once
from mstbucket.services.collection.turns import asked_for
from mstbucket.services.upkeep.compact import Compactor

_DATA = random.Random(7)
#: Small ones wait in the database, the others share chunks.
BODIES = [b"", b"hot", _DATA.randbytes(5000), _DATA.randbytes(70_000), _DATA.randbytes(MIB + 9)]
BODIES += [BODIES[4][:MIB] + BODIES[3], _DATA.randbytes(PART_SIZE_MIN) + BODIES[4]]

_LONGEST = 60.0  # seconds that a slow machine gets

Open = Callable[[], mstbucket.Store]
Remove = Callable[[mstbucket.Store, int], object]


class Race:
    """Threads that work until they are stopped, or until one fails."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.failed: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[[], object]) -> None:
        """Do *work* again and again."""

        def run() -> None:
            try:
                while not self.stop.is_set():
                    work()
            except BaseException as error:
                self.failed.append(error)
                self.stop.set()

        self._threads.append(threading.Thread(target=run))

    def run(self, seconds: float, enough: Callable[[], bool] = lambda: True) -> None:
        """Let all of them run for a while, and on a slow machine longer, until that is enough."""
        for thread in self._threads:
            thread.start()
        self.stop.wait(seconds)
        end = time.monotonic() + _LONGEST
        while not enough() and time.monotonic() < end and not self.stop.wait(0.1):
            pass
        self.stop.set()
        for thread in self._threads:
            thread.join()
        if self.failed:
            raise self.failed[0]


class Writer:
    """Writes, copies, completes, deletes and reads under keys of its own, with contents that others have too."""

    def __init__(self, store: mstbucket.Store, number: int) -> None:
        self._bucket = store.bucket("hot")
        self._dice = random.Random(number)
        self._number = number
        self.expected: dict[str, bytes | None] = {}
        self.done = 0

    def __call__(self) -> None:
        dice = self._dice
        key = f"{self._number}/{dice.randrange(4)}"
        body = dice.choice(BODIES) + (dice.randbytes(4) if dice.randrange(2) else b"")
        what = dice.randrange(10)
        if what < 3:
            self._bucket.delete_object(key)
            self.expected[key] = None
        elif what == 3:
            self._copy(key)
        elif what == 4 and len(body) >= PART_SIZE_MIN:
            upload = self._bucket.create_multipart_upload(key)
            part = self._bucket.upload_part(key, upload.id, 1, body)
            self._bucket.complete_multipart_upload(key, upload.id, [(1, part.etag)])
            self.expected[key] = body
        elif what == 5:
            with suppress(Conflict):
                self._bucket.flush()
        else:
            self._bucket.put_object(key, body)
            self.expected[key] = body
        known = self.expected.get(key)
        if known is not None:
            assert self._bucket.get_object(key).read() == known
        self.done += 1

    def _copy(self, key: str) -> None:
        """Of whatever somebody else has just now: it may go in the same moment."""
        source = f"{self._dice.randrange(4)}/{self._dice.randrange(4)}"
        with suppress(NoSuchKey):
            self._bucket.copy_object(source, key) if source != key else None
            if source != key:
                self.expected[key] = self._bucket.get_object(key).read()


def retain_one(store: mstbucket.Store) -> None:
    give_up_commits(store)
    time.sleep(0.05)


def collect(store: mstbucket.Store, grace: int) -> None:
    """One cycle, unless an undo came between."""
    with suppress(Conflict):
        store.collect(force=True, grace=grace)


class Sweeper:
    """Sweeps, but for when an undo or a cycle comes between."""

    def __init__(self) -> None:
        self.freed = 0

    def __call__(self, store: mstbucket.Store, grace: int) -> None:
        with suppress(Conflict):
            self.freed += sweep_once(store._context, grace * 1000, lambda: None, asked_for)[0].blocks


def fork(store: mstbucket.Store, numbers: Iterator[int]) -> None:
    """A bucket that has some of the contents is forked; the fork is read and removed. A forked one is left to the cycles."""
    number = next(numbers)
    names = f"cold-{number}", f"fork-{number}"
    cold = store.create_bucket(names[0])
    cold.put_objects(PutRequest(str(n), body) for n, body in enumerate(BODIES[:5]))
    for key in ("0/0", "1/1"):
        with suppress(NoSuchKey):
            cold.copy_object(key, key, source_bucket="hot")
    cold.flush()
    store.fork(*names)
    for name in names:
        bucket = store.bucket(name)
        for item in list(bucket.objects()):
            bucket.get_object(item.key).read()
            bucket.delete_object(item.key)
        store.delete_bucket(name)
    time.sleep(0.2)


def restore(store: mstbucket.Store) -> None:
    """A key that nobody writes goes back and forth between two commits."""
    bucket = store.bucket("hot")
    with suppress(Conflict, NoSuchCommit):
        bucket.put_object("back", BODIES[3])
        then = bucket.flush().cid
        bucket.put_object("back", BODIES[2])
        bucket.flush()
        bucket.restore(then, key="back")
        assert bucket.get_object("back").read() == BODIES[3]
    time.sleep(0.2)


def undo(store: mstbucket.Store) -> None:
    store.undo_collect()
    time.sleep(0.3)


def race(
    open_store: Open,
    seconds: float,
    remove: Remove,
    others: Sequence[Callable[[mstbucket.Store], object]] = (),
    enough: Callable[[], bool] = lambda: True,
) -> int:
    """Four writers, flushes, what removes, compaction, retention, undos, others; how many operations were acknowledged."""
    store = open_store()
    bucket = store.create_bucket("hot")
    running = Race()
    writers = [Writer(open_store(), number) for number in range(4)]
    for writer in writers:
        running.add(writer)
    one, other, third = open_store(), open_store(), open_store()
    graces = iter(int(n % 3 == 0) * 3600 for n in range(1_000_000))
    running.add(lambda: remove(one, next(graces)))
    running.add(lambda: Compactor(other._context).run(least=2))
    running.add(lambda: retain_one(third))
    running.add(lambda: undo(third))
    for work in others:
        running.add(partial(work, open_store()))
    running.run(seconds, lambda: enough() and sum(writer.done for writer in writers) > 100)
    for writer in writers:
        for key, body in writer.expected.items():
            if body is None:
                with pytest.raises(NotFound):
                    bucket.head_object(key)
            else:
                assert bucket.get_object(key).read() == body
    assert_nothing_dangles(store)
    done = sum(writer.done for writer in writers)
    for item in list(bucket.objects()):
        bucket.delete_object(item.key)
    bucket.flush()
    store.delete_bucket("hot")
    store.collect(force=True, grace=0)
    store.collect(force=True, grace=0)
    assert ask(store, "SELECT count(*) FROM blocks") == [(0,)]
    assert ask(store, "SELECT count(*) FROM packs WHERE state = 'ready'") == [(0,)]
    return done


def test_writers_of_hot_contents_lose_nothing_beside_collections_without_a_pause(open_store: Open) -> None:
    """[GC-1] [GC-7] [GC-8] [GC-9] [GC-10] [GC-11]"""
    assert race(open_store, 4, collect) > 100


def test_and_beside_sweeps_forks_and_restores(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GC-21] [GC-22] [GC-23] [GC-24] [GC-25]"""
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)
    sweep = Sweeper()
    race(open_store, 4, sweep, (partial(fork, numbers=count()), restore), lambda: sweep.freed > 30)
    assert sweep.freed > 30


@pytest.mark.slow
def test_the_same_for_minutes(open_store: Open) -> None:
    """[GC-7]"""
    race(open_store, 120, collect)


@pytest.mark.slow
def test_the_same_for_minutes_beside_sweeps(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GC-24]"""
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)
    race(open_store, 120, Sweeper(), (partial(fork, numbers=count()), restore))
