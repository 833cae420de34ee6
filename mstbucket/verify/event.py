"""What a replay yields: one event for each block of the file, and one for each key."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from mstbucket.core.cid import CID
from mstbucket.core.manifest import Manifest, decode


class Kind(Enum):
    """What an event tells."""

    COMMIT = "commit"  # the first event
    NODE = "node"  # a tree node
    OBJECT = "object"  # a key of the tree of live objects, and its manifest
    VERSION = "version"  # a key of the versions tree, and its manifest
    BODY = "body"  # a chunk or a UnixFS node


class Event(NamedTuple):
    """A block that was checked; or, where `block` is None, a key whose manifest came before under another key.

    Attributes:
        kind: of block.
        cid: of the block, or of the manifest that came before.
        block: its bytes.
        offset: of its first byte in the file; without a block, that of the block before.
        key: of an OBJECT or VERSION, as it stands in the tree.
    """

    kind: Kind
    cid: CID
    block: bytes | None
    offset: int
    key: bytes | None

    def manifest(self) -> Manifest | None:
        """Decode the manifest of an OBJECT or VERSION; None if it came before: look up what you made of `cid`."""
        return None if self.block is None else decode(self.block)
