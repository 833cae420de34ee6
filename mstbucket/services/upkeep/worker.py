"""The background work: a thread flushes buckets with old or many changes, compacts packs, and removes what has expired."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from mstbucket.errors import Conflict, MstBucketError, NotFound
from mstbucket.index import settings
from mstbucket.index.dirty import due_for_flush
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_all
from mstbucket.services.policy import lifecycle_pass as expiring
from mstbucket.services.tree.flush import flush
from mstbucket.services.upkeep.compact import Compactor
from mstbucket.services.uploads.uploads import expire_uploads, forget_answers

FLUSH_AGE_MS: Final = 30_000  # a change is in a commit about this long after it was acknowledged
FLUSH_DIRTY: Final = 10_000  # changed keys from which a flush does not wait: batching saves 4.3x of the bytes there
POLL_SECONDS: Final = 5.0  # between two looks; a look is one query, over FLUSH_DIRTY dirty keys of each bucket at most

log = logging.getLogger("mstbucket")


class Worker:
    """Works on a thread until it is closed. It logs what fails, and tries it again at the next look.

    It aborts uploads that have been open for `uploads_age` milliseconds; none if that is None.
    """

    def __init__(self, context: Context, uploads_age: int | None = None) -> None:
        self._context = context
        self._uploads_age = uploads_age
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mstbucket-flush", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish a flush under way, and stop. Changes that wait stay dirty, and a later flush folds them."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        compactor = Compactor(self._context)
        while not self._stop.wait(POLL_SECONDS):
            self._attempt("the look for changes", self._look)
            self._attempt("the writing of service state", publish_all, self._context)
            self._attempt("the compaction", compactor.look)
            self._attempt("the removal of old answers", forget_answers, self._context)
            self._attempt("the look for lifecycle rules", self._expire)
            if self._uploads_age is not None:
                self._attempt("the expiry of uploads", expire_uploads, self._context, self._uploads_age)

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
