"""What a look at the tree of a bucket shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PathNode:
    """A node on the way to a key.

    Attributes:
        cid: of its block, as text.
        height: of the keys that it holds; 0 are the lowest.
        entries: how many keys it holds.
        size: bytes of its block.
        before, after: the keys of this node between which the way goes on, or the key stands; None at either end.
        holds: whether the key stands in this node: then it is none of `before` and `after`.
    """

    cid: str
    height: int
    entries: int
    size: int
    before: str | None
    after: str | None
    holds: bool


@dataclass(frozen=True, slots=True)
class TreePath:
    """The way from a commit to a key, or to where it would stand.

    Attributes:
        commit, seq: where it begins.
        nodes: from the root of the tree; the last one holds the key, or has no subtree where it would be.
        manifest, content, size: of the object, the last in bytes; None where the tree does not hold the key.
    """

    commit: str
    seq: int
    nodes: tuple[PathNode, ...]
    manifest: str | None
    content: str | None
    size: int | None
