"""What every service works on: one store's database, blob store, and the blocks found through both."""

from __future__ import annotations

from dataclasses import dataclass

from mstbucket.blobs.base import BlobStore
from mstbucket.pg.database import Database
from mstbucket.services.blocks import StoreBlocks


@dataclass(frozen=True, slots=True)
class Context:
    """One open store."""

    db: Database
    blobs: BlobStore
    blocks: StoreBlocks
