"""What every service works on: one store's database, blob store, and the blocks found through both."""

from __future__ import annotations

from dataclasses import dataclass, field

from mstbucket.blobs.base import BlobStore
from mstbucket.packs.frames.codec import Encoding
from mstbucket.pg.database import Database
from mstbucket.services.blocks.blocks import StoreBlocks


@dataclass(frozen=True, slots=True)
class Context:
    """One open store.

    Attributes:
        encoding: what is done to new packs, and the key of those that are encrypted.
        identity: which store it is.
        versioning: what this process last knew of each bucket's versioning; `services.versions` reads and corrects it.
    """

    db: Database
    blobs: BlobStore
    blocks: StoreBlocks
    encoding: Encoding
    identity: str
    versioning: dict[str, str | None] = field(default_factory=dict)
