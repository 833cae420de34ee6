"""Collection of what nothing needs: the verbs of a store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.errors import InvalidInput
from mstbucket.later import later
from mstbucket.limits import UNDO_SECONDS
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.model.collection import Amount, CollectReport, SpaceInfo
    from mstbucket.model.maintained import MaintainReport
    from mstbucket.services.collection.space import space
    from mstbucket.services.collection.undo import undo
    from mstbucket.services.upkeep.collect import collect
    from mstbucket.services.upkeep.maintain import maintain
else:
    space = later("mstbucket.services.collection.space", "space")
    undo = later("mstbucket.services.collection.undo", "undo")
    collect = later("mstbucket.services.upkeep.collect", "collect")
    maintain = later("mstbucket.services.upkeep.maintain", "maintain")


@verbs
class CollectionVerbs:
    """What `Store` offers about garbage."""

    _context: Context

    def collect(self, *, dry_run: bool = False, force: bool = False, grace: int = UNDO_SECONDS) -> CollectReport:
        """Remove the blocks that nothing needs any more, and give their room back; see `spec/store/26-collection.md`.

        What is needed: all that current objects, versions, open uploads, kept commits, and readers of commits reach. The
        background work collects too: bit by bit, and like this once a week or when much was written. Safe beside readers and
        writers; wherever it ends, the store is whole, and the next call begins anew.

        Args:
            dry_run: remove nothing, and say what would be removed.
            force: also where more than half of the bytes would go, or where damage is known.
            grace: seconds for which `undo_collect` can bring back what was removed; its room is given back after that.

        Raises:
            CollectionRefused: more than half of the bytes would go, or packs are damaged. Nothing was removed.
            Conflict: another process collects, or has begun to, or writers did not let it begin. Repeat the call later.
            CorruptionError, FormatError: something that is needed cannot be read. Nothing was removed.
            InvalidInput: the grace is negative, or longer than a year.
            StorageError: the database, the blob store or the temporary directory failed. Repeat the call.
        """
        return collect(self._context, dry_run, force, grace)

    def undo_collect(self) -> Amount:
        """Bring back all blocks that collections removed and whose grace has not ended; how many there were.

        It is for mistakes: nothing reaches these blocks, so write down what does, or copy it, before the next collection.
        Writers wait for it now and then. Repeatable.

        Raises:
            Conflict: writers did not let it begin. Repeat the call.
            StorageError: the database failed. Repeat the call.
        """
        return undo(self._context)

    def maintain(self, *, abort_uploads_after: timedelta | None = None) -> MaintainReport:
        """Do one round of what the background work does, for a store that no process keeps open.

        Rules delete what is due, changed buckets are flushed, commits that no rule keeps are given up, and what nothing
        needs is collected, bit by bit or when much has died. Small packs are compacted. Safe beside everything. Repeatable.

        Args:
            abort_uploads_after: abort uploads that were initiated longer ago; by default none.

        Returns:
            What was done. What failed is in `failures`, and did not keep the rest from being done.

        Raises:
            InvalidInput: the age is negative.
            StorageError: the database failed. Repeat the call.
        """
        if abort_uploads_after is not None and abort_uploads_after < timedelta(0):
            raise InvalidInput(f"abort_uploads_after={abort_uploads_after} is negative: it is an age")
        age = None if abort_uploads_after is None else abort_uploads_after // timedelta(milliseconds=1)
        return maintain(self._context, age)

    def space(self) -> SpaceInfo:
        """Return how many bytes the store holds, how many of them live by its last collection, and how many wait.

        Raises:
            StorageError: the database failed; repeat the call.
        """
        return space(self._context)
