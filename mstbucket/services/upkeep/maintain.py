"""One round of all that the background work does, for stores that no process keeps open ([STO-22])."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from mstbucket.errors import CollectionRefused, Conflict, MstBucketError, NotFound
from mstbucket.index.dirty import due_for_flush
from mstbucket.limits import UNDO_SECONDS
from mstbucket.model.maintained import MaintainReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_all
from mstbucket.services.past.retention import expire
from mstbucket.services.policy import lifecycle_pass
from mstbucket.services.tree.flush import flush
from mstbucket.services.upkeep.collect import collect, is_due, sweep
from mstbucket.services.upkeep.compact import Compactor
from mstbucket.services.uploads.uploads import expire_uploads, forget_answers

_ANY: Final = 1  # changed keys from which a bucket is flushed
_R = TypeVar("_R")


class _Round:
    """Does one thing after the other; what fails does not keep the rest from being done."""

    def __init__(self) -> None:
        self.failures: dict[str, MstBucketError] = {}

    def do(self, what: str, work: Callable[..., _R], *arguments: object) -> _R | None:
        try:
            return work(*arguments)
        except CollectionRefused as error:  # no repetition helps, only somebody who looks
            self.failures[what] = error
        except (Conflict, NotFound):
            pass  # another process was at it, or the bucket has gone
        except MstBucketError as error:
            self.failures[what] = error
        return None


def maintain(context: Context, uploads_age: int | None, stopped: Callable[[], bool] = lambda: False) -> MaintainReport:
    """See `Store.maintain`; *uploads_age* is in milliseconds.

    The order has reasons. Rules delete before the flush, so that its commit shows it. Commits are given up before the
    collection, which removes what only they held. Compaction comes last: it need not move what was collected.
    """
    round_ = _Round()
    for name in lifecycle_pass.due(context):
        round_.do(f"lifecycle of {name}", _expire_objects, context, name, stopped)
    uploads = 0
    if uploads_age is not None:
        uploads = round_.do("uploads", expire_uploads, context, uploads_age) or 0
    round_.do("old answers", forget_answers, context)
    dirty = due_for_flush(context.db, _ANY, 0)
    flushed = [name for name in dirty if round_.do(f"flush of {name}", flush, context, name)]
    round_.do("service state", publish_all, context)
    commits = round_.do("retention", expire, context) or 0
    collected = round_.do("collection", _collect, context, stopped)
    compacted = round_.do("compaction", Compactor(context).run)
    packs = 0 if compacted is None else compacted.packs
    return MaintainReport(tuple(flushed), commits, uploads, packs, collected, round_.failures)


def _expire_objects(context: Context, name: str, stopped: Callable[[], bool]) -> None:
    while name in lifecycle_pass.due(context) and not stopped():  # a turn of the pass at a time
        lifecycle_pass.advance(context, name, stopped)


def _collect(context: Context, stopped: Callable[[], bool]) -> int | None:
    def check() -> None:
        if stopped():
            raise Conflict("the maintenance is being ended")

    if not is_due(context):
        return sweep(context, check) or None
    return collect(context, dry_run=False, force=False, grace=UNDO_SECONDS, check=check).freed.blocks
