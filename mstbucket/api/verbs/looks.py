"""The verbs of a store on single blocks."""

from __future__ import annotations

from mstbucket.api.arguments import verbs
from mstbucket.core.cid import from_text, to_text
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree import look


@verbs
class StoreLooks:
    """The part of `Store` that shows single blocks."""

    _context: Context

    def get_block(self, cid: str) -> bytes:
        """Return the block of that CID, hashed: a chunk, a node of a body or of a tree, a manifest, or a commit.

        Raises:
            InvalidInput: it is no CID of this project's form.
            NoSuchBlock: the store has none. Nodes and manifests are there from the flush that made them.
            CorruptionError: the block is lost or damaged.
        """
        return look.block(self._context, from_text(cid))

    def list_links(self, cid: str) -> list[tuple[str, str]]:
        """Return the links of the block of that CID, in its order: their place in it, and the CID that they lead to.

        Raises:
            InvalidInput, NoSuchBlock, CorruptionError: as `get_block`.
        """
        return [(link.place, to_text(link.cid)) for link in look.links(self._context, from_text(cid))]
