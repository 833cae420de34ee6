"""What every service works on: one store's database, blob store, and the blocks found through both."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from mstbucket.blobs.base import BlobStore
from mstbucket.limits import INLINE_MAX
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.data_keys import KeySource
from mstbucket.pg.database import Database
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.groups import Groups
from mstbucket.signing.keys import Signer


class Waiting:
    """A sum of bytes; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def add(self, size: int) -> None:
        """Add to it; a negative size takes away."""
        with self._lock:
            self.bytes += size


@dataclass(frozen=True, slots=True)
class Origin:
    """What a store was opened by, so that another process can open it too; never shown, for it may hold a secret.

    Attributes:
        blobs: the place of the blobs; None where it has no name.
        encryption: as it was given to `mstbucket.open`.
    """

    blobs: str | None = field(repr=False)
    encryption: KeySource | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    """One open store.

    Attributes:
        encoding: how new packs are written, and the key of encrypted ones.
        identity: tells this store from every other.
        inline_max: bytes of a body that waits for its flush in the database, at most.
        signer: the key with which this process signs the commits that it makes; None signs none.
        origin: what the store was opened by.
        versioning: the state of versioning that this process last saw, by name of the bucket. It may be out of date.
        groups: the calls of several threads that leave together.
        waiting: what all calls hold of blocks until the store is asked about them.
    """

    db: Database
    blobs: BlobStore
    blocks: StoreBlocks
    encoding: Encoding
    identity: str
    inline_max: int = INLINE_MAX
    signer: Signer | None = None
    origin: Origin = field(default=Origin(None, None), repr=False)
    versioning: dict[str, str | None] = field(default_factory=dict)
    groups: Groups[Any] = field(default_factory=Groups)
    waiting: Waiting = field(default_factory=Waiting, repr=False)
