"""The care of a store: checks that say what is wrong with it, repairs that mend one kind of damage each, compaction."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mstbucket.api.arguments import verbs
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.model.examined import Examined, ScrubCoverage
    from mstbucket.model.findings import StoreReport
    from mstbucket.model.repairs import RepairReport
    from mstbucket.services.check import repair_blocks as blocks
    from mstbucket.services.check.doctor import examine
    from mstbucket.services.check.repair_index import repair_index
    from mstbucket.services.check.repair_lost import repair_lost
    from mstbucket.services.check.repair_tree import repair_tree
    from mstbucket.services.check.run import check_store
    from mstbucket.services.check.scrub import coverage_within
else:
    blocks = later("mstbucket.services.check.repair_blocks")
    examine = later("mstbucket.services.check.doctor", "examine")
    repair_index = later("mstbucket.services.check.repair_index", "repair_index")
    repair_lost = later("mstbucket.services.check.repair_lost", "repair_lost")
    repair_tree = later("mstbucket.services.check.repair_tree", "repair_tree")
    check_store = later("mstbucket.services.check.run", "check_store")
    coverage_within = later("mstbucket.services.check.scrub", "coverage_within")

SCRUB_EVERY: Final = timedelta(days=30)  # a sector that goes bad is found before its copies elsewhere do


@verbs
class StoreCare:
    """What `Store` has for its own health; not to be made by itself."""

    _context: Context

    def check(
        self,
        level: str = "presence",
        *,
        subset: str | None = None,
        executor: Executor | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> StoreReport:
        """Check the whole store, and return what is wrong with it; nothing is changed but the marks of damaged packs.

        Readers, writers, flushes and compaction may go on meanwhile: a healthy store gives no findings. No transaction
        is open while bytes are hashed. See `spec/store/28-check.md` for levels and the codes of findings.

        Args:
            level: `database`, `tree`, `presence` (the default), `data` or `proof`; each includes those before it. From
                `data` on, every byte of the store is read.
            subset: `n/t`, as in `3/10`: of the packs, read only the n-th of t equal shares at level `data`.
            executor: does the work in its threads, its processes, or its machines, which open the store for themselves: they
                have to reach the database by its connection string, and the blobs by their place. None: this thread does.
            progress: called now and then with the number of bytes hashed so far.

        Raises:
            InvalidInput: there is no such level or subset.
            Unsupported: an executor was given, and the blobs are at a place without a name.
            StorageError: the database failed at the beginning. Later failures are in the report, as `incomplete`.
        """
        return check_store(self._context, level, subset, executor, progress)

    def scrub_coverage(self, within: timedelta = SCRUB_EVERY) -> ScrubCoverage:
        """Return how much of the packs was read and hashed within a time: by the scrub, by a check, or as it was written.

        Args:
            within: until now; by default the time in which the background work reads every pack once.

        Raises:
            StorageError: the database failed. Repeat the call.
        """
        return coverage_within(self._context, within)

    def doctor(self) -> list[Examined]:
        """Look at what the store stands on: settings of the server, disk, service, clocks; say what is not as it should be.

        Nothing is changed, and no object is read; on a service two small blobs are written beside the store, and removed.

        Returns:
            One entry for each thing that was looked at, also where it is as it should be.

        Raises:
            StorageError: the database cannot be asked.
        """
        return examine(self._context)

    def repair_blocks(self, source: str | os.PathLike[str] | StoreCare) -> RepairReport:
        """Bring blocks that cannot be read from somewhere else, durably; each is proved by its hash.

        Looked for are blocks of packs that are known to be damaged or gone, and those that the store needs and does not
        have. Damage inside of packs is known once somebody has met it: run `check("data")` before. The blocks are
        written as new packs, a pack at a time: repeat the call after an interruption. Nothing is ever lost by it.

        Args:
            source: a CAR; a directory, of whose files those named `.car` are read as CARs, and all others as bodies or as
                blocks; or another store that is open. Of a store whose blobs are plain, the directory of its blobs will do.

        Returns:
            How many blocks came, and which the source does not have (`missing`).

        Raises:
            NotFound, InvalidInput: there is no such file or directory.
            StorageError: the medium or the source failed; repeat the call.
        """
        finder = blocks.OtherStore(source._context) if isinstance(source, StoreCare) else blocks.finder_at(source)
        return blocks.repair_blocks(self._context, finder)

    def repair_index(self, bucket: str, *, accept_loss: bool = False) -> RepairReport:
        """Make the rows of a bucket what the trees of its newest commit say, durably, but for keys changed since then.

        Rows that are missing, or whose columns are wrong, are made from the manifests. Rows that the tree does not have,
        or has with another manifest, are in no commit: what they say is lost by it.

        Args:
            accept_loss: do it where something is lost. Without, such a repair changes nothing, and the report says what.

        Raises:
            NoSuchBucket, NoSuchCommit: there is no such bucket, or nothing to make its index from.
            CorruptionError: a block of the trees cannot be read: repair the blocks, or the tree.
            CommitMoved: flushes came between again and again.
        """
        return repair_index(self._context, bucket, accept_loss)

    def repair_tree(self, bucket: str, *, accept_loss: bool = False) -> RepairReport:
        """Make the trees of a bucket from its rows, in a new commit, durably, without a look at the trees there were.

        For a bucket whose tree cannot be read, so that it cannot be flushed. Bodies are not looked at.

        Args:
            accept_loss: do it where the old tree, as far as it can be read, has keys that the index does not have. Without,
                such a repair changes nothing, and the report says which.

        Raises:
            NoSuchBucket: there is no such bucket.
            Untrue: the columns of a row are not those of its manifest: repair the index first.
            CommitMoved: flushes came between again and again.
        """
        return repair_tree(self._context, bucket, accept_loss)

    def repair_lost(self, bucket: str, *, accept_loss: bool = False) -> RepairReport:
        """Give up what of a bucket cannot be read any more: objects and versions without a body, and old commits.

        Try `repair_blocks` before, with all that there is. What is under object lock is given up too: its bytes are gone.
        Afterwards flush the bucket (if its newest tree cannot be read, `repair_tree` does that), and call this again: the
        commit that was the newest needs what is lost, too, and nothing is collected as long as a commit does.

        Args:
            accept_loss: do it. Without, nothing is changed, and the report says what would be lost.

        Raises:
            NoSuchBucket: there is no such bucket.
        """
        return repair_lost(self._context, bucket, accept_loss)
