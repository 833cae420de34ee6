"""The ways of a bucket into a store, as one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.api.bucket import Bucket
from mstbucket.core.cid import CID, from_text
from mstbucket.core.keys import check_bucket_name
from mstbucket.files.whole import opened
from mstbucket.later import later
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.trust import Demand, Trust
    from mstbucket.services.past.advance import Accept, Progress
    from mstbucket.services.past.arriving import Arriving, look_at
    from mstbucket.services.past.follow import follows, import_next
    from mstbucket.services.past.follow_delta import import_delta
    from mstbucket.services.tree.import_car import import_car
else:
    Demand = later("mstbucket.api.trust", "Demand")
    look_at = later("mstbucket.services.past.arriving", "look_at")
    follows = later("mstbucket.services.past.follow", "follows")
    import_delta = later("mstbucket.services.past.follow_delta", "import_delta")
    import_next = later("mstbucket.services.past.follow", "import_next")
    import_car = later("mstbucket.services.tree.import_car", "import_car")


@verbs
class StoreImports:
    """The part of `Store` that takes files in."""

    _context: Context

    def import_car(
        self,
        source: str | os.PathLike[str] | Readable,
        name: str | None = None,
        *,
        expect: str | None = None,
        trust: Trust | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Bucket:
        """Make a bucket from a CAR that `Bucket.export_car` wrote, verified in full, and return it.

        The bucket takes over the commit, the sequence number and the identity of the export, so exporting it again
        gives the same file byte for byte. Nothing is visible until everything was read, checked and made durable.

        A delta, which `Bucket.export_delta` wrote, brings the bucket that is at its base to its commit, in one step. So does
        an export for the bucket of that name if its newest commit is the one before. Nothing that was written is ever lost:
        a bucket that has gone its own way is left as it is. Importing a delta again is harmless.

        Args:
            source: path of the file, or an open binary file that is read once from where it stands.
            name: of the new bucket, by default the one in the commit; or for a delta, of the bucket that is at its base.
            expect: CID of the commit that it has to be, as whoever published it told you on another way than the file.
            trust: who has to have signed it, and what it has to follow; checked first, remembered when the bucket is there.
            progress: called now and then with the number of bytes read so far.

        Raises:
            BucketAlreadyExists: there is a bucket of that name, and not the commit before. Give another, or import a delta.
            NoSuchCommit: no bucket is at the base of the delta, which the message names: import that before.
            Conflict: the bucket is at another commit, or was written to since: import under another name.
            Unsupported: it has object lock, and a bucket with that goes on from no file.
            FormatError, CorruptionError: the file is not a true export; the message names the offset or the block.
            WrongSignature, PinMismatch: it is not to be trusted, as `trust` has it.
            OtherCommit: it is not the commit that is expected.
            StorageError: the file cannot be read, or the store cannot be written.
            OutcomeUnknown: the bucket is there, whole, but its commit is not published in the blob store yet: flush it.
                (Or the connection died during the commit: then see whether it is there.)
        """
        expected = None if expect is None else from_text(expect)
        demand = Demand(trust)
        if name is not None:
            check_bucket_name(name)
        with opened(source) as file:
            made = self._take(look_at(file), name, progress, expected, demand.accept)
        demand.remember()
        return Bucket(self._context, made)

    def _take(
        self, file: Arriving, name: str | None, progress: Progress | None, expected: CID | None, accept: Accept
    ) -> str:
        context = self._context
        if file.delta is not None:
            return import_delta(context, file.stream, file.delta, name, progress, expected, accept)
        if file.commit is not None and follows(context, name or file.commit.name, file.commit):
            return import_next(context, file.stream, name or file.commit.name, progress, expected, accept)
        return import_car(context, file.stream, name, progress, expected, accept)
