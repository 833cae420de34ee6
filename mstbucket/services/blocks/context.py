"""What every service works on: one store's database, blob store, and the blocks found through both."""

from __future__ import annotations

from dataclasses import dataclass, field

from mstbucket.blobs.base import BlobStore
from mstbucket.packs.frames.codec import Encoding
from mstbucket.pg.database import Database
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.signing.keys import Signer


@dataclass(frozen=True, slots=True)
class Context:
    """One open store.

    Attributes:
        encoding: how new packs are written, and the key of encrypted ones.
        identity: tells this store from every other.
        signer: the key with which this process signs the commits that it makes; None signs none.
        versioning: the state of versioning that this process last saw, by name of the bucket. It may be out of date.
    """

    db: Database
    blobs: BlobStore
    blocks: StoreBlocks
    encoding: Encoding
    identity: str
    signer: Signer | None = None
    versioning: dict[str, str | None] = field(default_factory=dict)
