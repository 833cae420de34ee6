"""Marking: what the roots reach, by CID, as many as the disk has room for ([GC-3]).

A marked block is not read again, so many commits cost each distinct node once. Chunks are never read, and neither are
manifests whose row says the same. Blocks are read some hundred at a time, in the order of their packs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, DAG_PB, RAW, RAW_PREFIX, codec
from mstbucket.core.closure import links_of
from mstbucket.core.compose import DIGEST
from mstbucket.core.mst.node import read_node
from mstbucket.limits import MIB
from mstbucket.spill.seen import Seen

AHEAD_BYTES: Final = 8 * MIB  # of blocks held at a time, as far as the last ones tell
AHEAD_MAX: Final = 2048  # blocks asked for at a time
AHEAD_FIRST: Final = 128  # before anything is known: 128 MiB of nodes that were made to be large


class Marks:
    """The CIDs of everything that lives: those put in, and what they reach once `follow` has returned.

    Attributes:
        unwritten: manifests that sweeps had removed, and no flush had written again: needed, and rightly without a row.
    """

    def __init__(self, seen: Seen, blocks: BlockSource, check: Callable[[], object]) -> None:
        """Of nothing yet. *check* is called before each reading of blocks, and may raise."""
        self.unwritten: set[CID] = set()
        self._check = check
        self._seen = seen
        self._blocks = blocks
        self._nodes: list[CID] = []  # marked, and not read yet
        self._others: list[CID] = []  # manifests and nodes of bodies, likewise
        self._ahead = AHEAD_FIRST

    def __contains__(self, cid: CID) -> bool:
        return cid in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    def add_alone(self, cid: CID) -> None:
        """Mark a block, and not what it reaches: the caller puts that in too, or it reaches nothing."""
        self._seen.add(cid)

    def add_chunks(self, digests: bytes) -> None:
        """Mark the chunks with these SHA-256, one after the other ([MPU-12])."""
        for at in range(0, len(digests), DIGEST):
            self._seen.add(RAW_PREFIX + digests[at : at + DIGEST])

    def follow_trees(self, roots: Iterable[CID]) -> None:
        """Mark trees, and all that they reach; a list of bounded length."""
        self._nodes.extend(root for root in roots if self._seen.add(root))
        self._follow()

    def follow_bodies(self, roots: Iterable[CID]) -> None:
        """Mark bodies, and all that they reach; a list of bounded length."""
        self._push(roots)
        self._follow()

    def _push(self, cids: Iterable[CID]) -> None:
        """Mark manifests, nodes of bodies and chunks; those that reach something are read later."""
        add, others = self._seen.add, self._others
        for cid in cids:
            if add(cid) and codec(cid) != RAW:
                others.append(cid)

    def _follow(self) -> None:
        """Read what was marked and not read yet, depth first: what is pending does not grow with the tree."""
        while self._nodes or self._others:
            # A batch of nodes leads to some manifests for each: these first, unless there are too few for a batch.
            stack = self._nodes if self._nodes and len(self._others) < self._ahead else self._others
            batch = stack[-self._ahead :]
            del stack[-self._ahead :]
            self._check()
            found = self._blocks.get_many(batch)
            size = 0
            for cid in batch:
                block = found[cid]
                size += len(block)
                if stack is self._nodes:
                    self._read_node(block)
                else:
                    self._push(link for link, _ in links_of(cid, block))
            self._ahead = max(1, min(AHEAD_MAX, AHEAD_BYTES * len(batch) // max(size, 1), 2 * self._ahead))

    def _read_node(self, block: bytes) -> None:
        _, values, links = read_node(block)
        self._push(values)
        add, nodes = self._seen.add, self._nodes
        for link in links:
            if link is not None and add(link):
                nodes.append(link)


def is_node_of_body(cid: CID) -> bool:
    """Whether a body with this root has more blocks than one."""
    return codec(cid) == DAG_PB
