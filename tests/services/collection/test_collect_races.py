"""Writers of a few hot contents beside collections without a pause: what was acknowledged is there, and nothing dangles."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from collectstate import ask, assert_nothing_dangles, give_up_commits

import mstbucket
from mstbucket.errors import Conflict, NoSuchKey, NotFound
from mstbucket.limits import MIB, PART_SIZE_MIN
from mstbucket.services.upkeep.compact import Compactor

_DATA = random.Random(7)
#: Small ones wait in the database, the others share chunks.
BODIES = [b"", b"hot", _DATA.randbytes(5000), _DATA.randbytes(70_000), _DATA.randbytes(MIB + 9)]
BODIES += [BODIES[4][:MIB] + BODIES[3], _DATA.randbytes(PART_SIZE_MIN) + BODIES[4]]

Open = Callable[[], mstbucket.Store]


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

    def run(self, seconds: float) -> None:
        """Let all of them run for a while."""
        for thread in self._threads:
            thread.start()
        self.stop.wait(seconds)
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
        body = dice.choice(BODIES)
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


def undo(store: mstbucket.Store) -> None:
    store.undo_collect()
    time.sleep(0.3)


def race(open_store: Open, seconds: float) -> int:
    """Four writers, a flusher, a collector, compaction, retention and undos; how many operations were acknowledged."""
    store = open_store()
    bucket = store.create_bucket("hot")
    running = Race()
    writers = [Writer(open_store(), number) for number in range(4)]
    for writer in writers:
        running.add(writer)
    one, other, third = open_store(), open_store(), open_store()
    graces = iter(int(n % 3 == 0) * 3600 for n in range(1_000_000))
    running.add(lambda: collect(one, next(graces)))
    running.add(lambda: Compactor(other._context).run(least=2))
    running.add(lambda: retain_one(third))
    running.add(lambda: undo(third))
    running.run(seconds)
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
    assert race(open_store, 4) > 100


@pytest.mark.slow
def test_the_same_for_minutes(open_store: Open) -> None:
    """[GC-7]"""
    race(open_store, 120)
