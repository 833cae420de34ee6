"""Carrying a plan out: threads move, this thread plans, puts the batches, deletes, and tells what happened."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from mstbucket.api.bucket import Bucket
from mstbucket.errors import Conflict, MstBucketError, NoSuchBucket, StorageError
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.objects import PutRequest, PutResult
from mstbucket.sync.ahead import Ahead
from mstbucket.sync.entry import Clash, Compare, Copy, Delete, Entry, Same, Step
from mstbucket.sync.mover import WHOLE, Alone, Failed, Moved, Mover, Outcome, Ready

BATCH_SECONDS: Final = 5.0  # of work that a kill may cost: a batch is closed after that, full or not
_TICK: Final = 0.2  # seconds between two looks at the progress


@dataclass(frozen=True, slots=True)
class Removed:
    """The target does not have it any more; or it could not be removed, and the reason."""

    target: Entry
    error: Exception | None


Event = Moved | Failed | Removed
_Group = list[Copy | Compare]
_NONE: Final = (None,)  # nothing has ended for a tick


@dataclass(slots=True)
class Summary:
    """What a sync did: objects copied and their bytes, deleted, found equal, and failed."""

    copied: int = 0
    bytes: int = 0
    deleted: int = 0
    same: int = 0
    failed: int = 0


class Engine:
    """One run of a plan. Use it once."""

    def __init__(
        self,
        mover: Mover,
        tell: Callable[[Event], None],
        tick: Callable[[int], None],
        workers: int,
        expect: Callable[[int, int], None] = lambda _objects, _bytes: None,
    ) -> None:
        """Prepare to move with *workers* threads.

        Args:
            mover: of the direction.
            tell: called in this thread with everything that was done, once it is durable, and what could not be.
            tick: called in this thread now and then with the bytes moved or compared so far.
            workers: threads.
            expect: called in this thread once it is known how many objects are copied or compared, with their bytes.
        """
        self.summary = Summary()
        self._mover = mover
        self._tell = tell
        self._tick = tick
        self._workers = workers
        self._expect = expect
        self._ahead = Ahead((), self._found_same, expect)  # of the run
        self._batched: dict[str, Copy] = {}  # of the batch under way, by key
        self._doomed: list[Entry] = []

    def run(self, steps: Iterable[Step], into: Bucket | None) -> Summary:
        """Carry out *steps*; what is `Ready` is put *into* that bucket.

        Raises:
            StorageError: a medium failed. What was told is done, the rest is not.
        """
        with closing(self._outcomes(steps, self._mover.move, self._delete)) as outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Ready):
                    assert into is not None
                    # [SYNC-13] one call a batch, so that what was read does not wait for a batch to be full
                    into.put_objects(self._batch(outcome, outcomes), stored=self._stored)
                elif outcome is not None:
                    self._note(outcome)
        self._delete_doomed()
        return self.summary

    def rehearse(self, steps: Iterable[Step]) -> Summary:
        """Tell what `run` would do, and change nothing ([SYNC-11])."""

        def spare(target: Entry) -> None:
            self._removed(target, None)

        with closing(self._outcomes(steps, self._mover.probe, spare)) as outcomes:
            for outcome in outcomes:
                assert not isinstance(outcome, Ready)
                if outcome is not None:
                    self._note(outcome)
        return self.summary

    # --- moving, on threads ---

    def _outcomes(
        self, steps: Iterable[Step], work: Callable[[Copy | Compare], Outcome], delete: Callable[[Entry], None]
    ) -> Generator[Outcome | None, None, None]:
        """The outcomes as they come, and None now and then, so that the caller can do something else."""
        done: queue.SimpleQueue[Future[list[Outcome]]] = queue.SimpleQueue()
        pool = ThreadPoolExecutor(self._workers, "mstbucket-sync")
        under_way = 0
        self._ahead = Ahead(steps, self._found_same, self._expect)
        try:
            for group in self._groups(self._ahead, delete):
                if group:
                    pool.submit(_work, work, group).add_done_callback(done.put)
                    under_way += 1
                else:
                    yield None
                while under_way >= 2 * self._workers or not done.empty():
                    outcomes = self._take(done)
                    under_way -= outcomes is not _NONE
                    yield from outcomes
            while under_way:
                outcomes = self._take(done)
                under_way -= outcomes is not _NONE
                yield from outcomes
        finally:
            self._mover.meter.stop()
            pool.shutdown(cancel_futures=True)
            self._mover.close()

    def _take(self, done: queue.SimpleQueue[Future[list[Outcome]]]) -> Sequence[Outcome | None]:
        self._tick(self._mover.meter.bytes)
        end = time.monotonic() + _TICK
        while done.empty() and time.monotonic() < end and self._ahead.look():  # [SYNC-18] the threads are at work meanwhile
            pass
        try:
            return done.get(timeout=max(end - time.monotonic(), 0.001)).result()
        except queue.Empty:
            return _NONE

    def _groups(self, steps: Iterable[Step], delete: Callable[[Entry], None]) -> Iterator[_Group]:
        """What is given to a thread at a time, or nothing now and then; the rest is done here."""
        group: _Group = []
        size = 0
        for step in steps:
            if isinstance(step, Same):
                self._found_same()
                if self.summary.same % LIST_KEYS_MAX == 0:  # a long way without anything to do
                    yield group
                    group, size = [], 0
            elif isinstance(step, Delete):
                delete(step.target)
            elif isinstance(step, Clash):
                self._note(Failed(Copy(step.entries[0], None, "new"), _clash(step)))
            else:
                group.append(step)
                size += step.source.size
                if len(group) >= self._mover.together or size >= WHOLE:
                    yield group
                    group, size = [], 0
        if group:
            yield group

    def _found_same(self) -> None:
        self.summary.same += 1

    # --- putting ---

    def _batch(self, first: Ready, outcomes: Iterator[Outcome | None]) -> Iterator[PutRequest]:
        """The requests of one call of `put_objects`; everything else is noted on the way."""
        end = time.monotonic() + BATCH_SECONDS
        outcome: Outcome | None = first
        while True:
            if isinstance(outcome, Ready):
                try:
                    outcome.check()
                except (Conflict, OSError) as error:
                    self._note(Failed(outcome.step, error))
                else:
                    self._batched[outcome.request.key] = outcome.step
                    yield outcome.request
            elif outcome is not None:
                self._note(outcome)
            if time.monotonic() >= end:
                return
            try:
                outcome = next(outcomes)
            except StopIteration:
                return

    def _stored(self, put: PutResult) -> None:
        self._note(Moved(self._batched.pop(put.key), put))

    # --- deleting ---

    def _delete(self, target: Entry) -> None:
        self._doomed.append(target)
        if len(self._doomed) >= self._mover.deleted_together:
            self._delete_doomed()

    def _delete_doomed(self) -> None:
        for target, error in self._mover.delete(self._doomed):
            self._removed(target, error)
        self._doomed = []

    # --- telling ---

    def _removed(self, target: Entry, error: Exception | None) -> None:
        if error is None:
            self.summary.deleted += 1
        else:
            self.summary.failed += 1
        self._tell(Removed(target, error))

    def _note(self, outcome: Moved | Failed | Same) -> None:
        if isinstance(outcome, Same):
            self._found_same()
            self._ahead.fewer()
            return
        if isinstance(outcome, Moved):
            self.summary.copied += 1
            self.summary.bytes += outcome.step.source.size
        else:
            self.summary.failed += 1
        self._tell(outcome)


def _clash(step: Clash) -> Conflict:
    """[SYNC-16]"""
    paths = ", ".join(repr(os.fsdecode(entry.path or b"")) for entry in step.entries)
    return Conflict(f"these files stand for one key, and none is touched: {paths}: rename or remove all but one")


def _work(work: Callable[[Copy | Compare], Outcome], group: _Group) -> list[Outcome]:
    """One thread's turn: every step of the group, those that fail by themselves noted."""
    outcomes: list[Outcome] = []
    for step in group:
        try:
            outcomes.append(work(step))
        except (StorageError, NoSuchBucket):  # [CLI-5] where going on cannot help
            raise
        except (MstBucketError, OSError) as error:
            outcomes.append(Failed(step, error))
        except Alone as error:
            outcomes.append(Failed(step, error.error))
    return outcomes
