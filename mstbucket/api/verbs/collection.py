"""Collection of what nothing needs: the verbs of a store."""

from __future__ import annotations

from mstbucket.api.arguments import verbs
from mstbucket.limits import UNDO_SECONDS
from mstbucket.model.collection import Amount, CollectReport, SpaceInfo
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection.space import space
from mstbucket.services.collection.undo import undo
from mstbucket.services.upkeep.collect import collect


@verbs
class CollectionVerbs:
    """What `Store` offers about garbage."""

    _context: Context

    def collect(self, *, dry_run: bool = False, force: bool = False, grace: int = UNDO_SECONDS) -> CollectReport:
        """Remove the blocks that nothing needs any more, and give their room back; see `spec/store/26-collection.md`.

        What is needed: all that current objects, versions, open uploads, kept commits, and readers of commits reach. The
        background work collects too, once a day or when much has died. Safe beside readers and writers; wherever it ends,
        the store is whole, and the next call begins anew.

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

    def space(self) -> SpaceInfo:
        """Return how many bytes the store holds, how many of them live by its last collection, and how many wait.

        Raises:
            StorageError: the database failed; repeat the call.
        """
        return space(self._context)
