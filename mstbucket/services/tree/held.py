"""The blocks of a store for a reader that holds a lease: each reading of them renews it ([PAST-3])."""

from __future__ import annotations

from collections.abc import Collection

from mstbucket.core.cid import CID
from mstbucket.errors import InvalidInput
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.tree.leases import Lease


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
