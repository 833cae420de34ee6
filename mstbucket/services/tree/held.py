"""The blocks of a store for a reader that holds a lease: each reading of them renews it ([PAST-3])."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager

from mstbucket.core.cid import CID
from mstbucket.errors import InvalidInput
from mstbucket.index.leases import Kept
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.leases import Lease, hold_newest


class HeldBlocks:
    """A `BlockSource` that can be read until it is closed; thread-safe.

    Every call raises `LeaseLost` where the lease ran out and the commit was given up, and `InvalidInput` once it is closed.
    """

    def __init__(self, blocks: StoreBlocks, lease: Lease) -> None:
        self._blocks = blocks
        self._lease = lease
        self._closed = False

    def get(self, cid: CID) -> bytes:
        """The block of `cid`, hashed."""
        self.check()
        return self._blocks.get(cid)

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`, hashed."""
        self.check()
        return self._blocks.get_many(cids)

    def check(self) -> None:
        """Raise unless blocks can be read; renew the lease if it is time for that."""
        if self._closed:
            raise InvalidInput("the view was closed: open it again with Bucket.at")
        self._lease.renew()

    def close(self) -> None:
        """Give the lease back. Repeating it does nothing."""
        if not self._closed:
            self._closed = True
            self._lease.__exit__(None, None, None)


@contextmanager
def holding_newest(context: Context, bucket: str) -> Iterator[tuple[Kept, HeldBlocks]]:
    """The newest commit of a bucket, and blocks to read it from: all that it reaches stays meanwhile ([PAST-3]).

    Raises:
        NoSuchBucket, NoSuchCommit: there is no such bucket, or it was never flushed.
    """
    _, lease = hold_newest(context, bucket)
    with closing(HeldBlocks(context.blocks, lease)) as blocks:
        yield lease.commit, blocks
