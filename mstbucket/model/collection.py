"""What a collection found and did, and what the store holds by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Amount:
    """So many blocks, and the sum of their sizes."""

    blocks: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.blocks + other.blocks, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class CollectReport:
    """What a collection found and did.

    Attributes:
        dry_run: nothing was removed.
        live: blocks that something reaches.
        spared: blocks that nothing reaches, and that a writer may be about to need. A later cycle removes them.
        dead: blocks that nothing reaches and nobody is about to need: what is removed, or would be.
        kinds: of these how many were `chunks` (of bodies), `body nodes`, and `nodes` (of trees, manifests and commits).
        freed: what was removed. What somebody touched or moved meanwhile was left.
        packs: how many packs became empty, or would. Their blobs go when the undo window ends.
        packs_bytes: the bytes of their blobs.
        thin: how many packs are less than half alive.
        rewritten: how many of them were written again.
        strays: blobs that no row of the index names; the first 1,000 of them.
        strays_removed: how many of them were removed, having been there for long enough.
        undo_until: until when `Store.undo_collect` brings back what this collection removed; None if it removed nothing, or
            without a grace.
        damaged: thin packs that cannot be read, by name, and why. They were left alone.
    """

    dry_run: bool
    live: Amount = Amount()
    spared: Amount = Amount()
    dead: Amount = Amount()
    kinds: Mapping[str, Amount] = field(default_factory=dict)
    freed: Amount = Amount()
    packs: int = 0
    packs_bytes: int = 0
    thin: int = 0
    rewritten: int = 0
    strays: tuple[str, ...] = ()
    strays_removed: int = 0
    undo_until: datetime | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CycleInfo:
    """The last collection that came to its end, with what it found: live blocks, and dead ones that it left."""

    started: datetime
    ended: datetime
    live: Amount
    dead: Amount
    freed: Amount
    packs: int


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """What the store holds, in bytes of blobs.

    Attributes:
        stored: in packs that are in use, dead blocks in them included.
        live: of them, what the last collection found alive; None before the first. What has died since counts here, until a
            sweep removes it.
        dead: of them, all the rest: what came since counts here. None before the first collection.
        waiting: in packs that wait for the end of their undo window.
        last: the last collection.
    """

    stored: int
    live: int | None
    dead: int | None
    waiting: int
    last: CycleInfo | None
