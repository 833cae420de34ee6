"""The background work: a thread flushes buckets with old or many changes, compacts packs, and removes what has expired."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from mstbucket.errors import CollectionRefused, Conflict, MstBucketError, NotFound
from mstbucket.index import settings
from mstbucket.index.dirty import due_for_flush
from mstbucket.limits import MIB
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_all
from mstbucket.services.check.scrub import scrub
from mstbucket.services.past.retention import expire
from mstbucket.services.policy import lifecycle_pass as expiring
from mstbucket.services.tree.flush import flush
from mstbucket.services.upkeep.collect import Collector
from mstbucket.services.upkeep.compact import Compactor
from mstbucket.services.uploads.uploads import expire_uploads, forget_answers

FLUSH_AGE_MS: Final = 30_000  # a change is in a commit about this long after it was acknowledged
FLUSH_DIRTY: Final = 10_000  # changed keys from which a flush does not wait: batching saves 4.3x of the bytes there
RETENTION_SECONDS: Final = 600.0  # between two looks for commits that no rule keeps: a look reads all of them
SCRUB_SECONDS: Final = 60.0  # between two looks for packs to read again
SCRUB_RATE: Final = 20 * MIB  # bytes of packs read again in a second, on average: 50 TB in 30 days, a tenth of a slow disk
POLL_SECONDS: Final = 5.0  # between two looks; a look is one query, over FLUSH_DIRTY dirty keys of each bucket at most

log = logging.getLogger("mstbucket")


class Worker:
    """Works on a thread until it is closed. It logs what fails, and tries it again at the next look.

    It aborts uploads that have been open for `uploads_age` milliseconds; none if that is None. On another thread it reads
    packs that have not been read for `scrub_age` milliseconds; none if that is None.
    """

    def __init__(self, context: Context, uploads_age: int | None = None, scrub_age: int | None = None) -> None:
        self._context = context
        self._uploads_age = uploads_age
        self._scrub_age = scrub_age
        self._scrubbed = 0  # bytes, in the last look
        self._stop = threading.Event()
        # A collection or a scrub may take long, and no flush should wait for it.
        work = {"mstbucket-flush": self._run, "mstbucket-collect": self._collect}
        if scrub_age is not None:
            work["mstbucket-scrub"] = self._scrub
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in work.items()]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Finish a flush under way, give up a collection, and stop. Changes that wait stay dirty for a later flush."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        compactor = Compactor(self._context)
        next_retention = 0.0
        while not self._stop.wait(POLL_SECONDS):
            self._attempt("the look for changes", self._look)
            self._attempt("the writing of service state", publish_all, self._context)
            self._attempt("the compaction", compactor.look)
            self._attempt("the removal of old answers", forget_answers, self._context)
            self._attempt("the look for lifecycle rules", self._expire)
            if time.monotonic() >= next_retention:
                self._attempt("the retention of commits", expire, self._context)
                next_retention = time.monotonic() + RETENTION_SECONDS
            if self._uploads_age is not None:
                self._attempt("the expiry of uploads", expire_uploads, self._context, self._uploads_age)

    def _scrub(self) -> None:
        pause = SCRUB_SECONDS
        while not self._stop.wait(pause):
            self._scrubbed = 0
            self._attempt("the scrub", self._scrub_once, self._scrub_age)
            pause = self._scrubbed / SCRUB_RATE if self._scrubbed else SCRUB_SECONDS

    def _scrub_once(self, age: int) -> None:
        self._scrubbed = scrub(self._context, age, self._stop.is_set)

    def _collect(self) -> None:
        collector = Collector(self._context, self._pause)
        while not self._stop.wait(POLL_SECONDS):
            self._attempt("the collection", collector.look)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Conflict("the store is being closed")

    def _look(self) -> None:
        for name in due(self._context):
            # One bucket that cannot be folded must not keep the others waiting.
            self._attempt(f"the background flush of {name!r}", flush, self._context, name)

    def _expire(self) -> None:
        for name in expiring.due(self._context):
            self._attempt(f"the lifecycle of {name!r}", expiring.advance, self._context, name, self._stop.is_set)

    @staticmethod
    def _attempt(what: str, work: Callable[..., object], *arguments: object) -> None:
        try:
            work(*arguments)
        except CollectionRefused as error:  # no repetition helps, only somebody who looks
            log.warning("%s was refused: %s", what, error)
        except (Conflict, NotFound) as error:
            log.debug("%s was overtaken: %s", what, error)
        except MstBucketError as error:
            log.warning("%s failed and will be repeated: %s", what, error)
        except Exception:
            log.exception("%s failed by a defect of mstbucket, please report it; it will be repeated", what)


def due(context: Context) -> list[str]:
    """The buckets to flush now: their changes are old or many. Changes of tags and of versioning count too."""
    wanted = settings.read(context.db)
    keys = FLUSH_DIRTY if wanted.flush_keys is None else wanted.flush_keys
    return due_for_flush(context.db, keys, FLUSH_AGE_MS if wanted.flush_age is None else wanted.flush_age * 1000)
