"""A tree in the order of its keys, also where some of its nodes are lost or damaged: each of those leaves a hole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, verify_block
from mstbucket.errors import CorruptionError, FormatError, InvalidBlock, MissingBlock, StorageError, Untrue
from mstbucket.services.check.found import Trail
from mstbucket.verify.node import Node, Place, judge
from mstbucket.verify.tree import check_node_cid, subtrees

_AHEAD_NODES: Final = 8192  # read ahead at a time; hardly ever as many
_AHEAD_HEIGHT: Final = 5  # a subtree of this height has 1,100 nodes, on average
_AHEAD_BYTES: Final = 8 << 20
_CALL: Final = 256  # nodes of one question: at most 256 MiB of nodes made to be large

#: Why a block cannot be had.
Failure = CorruptionError | FormatError | StorageError


class Entry(NamedTuple):
    """A key, its manifest, and the way to the node that holds it."""

    key: bytes
    cid: CID
    trail: Trail


class Hole(NamedTuple):
    """A node that cannot be had: nothing is known of the keys above `low` and below `high` (None is no bound)."""

    low: bytes
    high: bytes | None
    cid: CID
    error: Failure
    trail: Trail


def fetch(blocks: BlockSource, cids: Collection[CID]) -> tuple[dict[CID, bytes], dict[CID, Failure]]:
    """The blocks that can be had, each hashed, and why the others cannot.

    Raises:
        StorageError: the medium or the database failed: nothing is known of any of them.
    """
    try:
        return dict(blocks.get_many(cids)), {}
    except (CorruptionError, FormatError):
        pass
    except StorageError as error:
        if error.pack is None:
            raise
    good: dict[CID, bytes] = {}
    bad: dict[CID, Failure] = {}
    for cid in cids:
        try:
            good[cid] = blocks.get(cid)
        except (CorruptionError, FormatError) as error:
            bad[cid] = error
        except StorageError as error:
            if error.pack is None:
                raise
            bad[cid] = error
    return good, bad


def in_order(
    blocks: BlockSource, root: CID, key_max: int, above: Trail | None, done: bytes = b""
) -> Iterator[Entry | Hole]:
    """The entries and the holes of the tree at `root` in the order of keys, those above the key `done`.

    Memory is bounded, whatever the tree. Raises `StorageError` as `fetch`.
    """
    check_node_cid(root)
    ahead = _Ahead(blocks, key_max, done)
    stack: list[tuple[Place, Trail] | Entry] = [((root, None, b"", None), (above, root))]
    while stack:
        top = stack.pop()
        if isinstance(top, Entry):
            yield top
            continue
        place, trail = top
        node = ahead.take(place)
        if not isinstance(node, Node):
            yield Hole(place[2], place[3], place[0], node, trail)
            continue
        if not node.height:  # most nodes; nothing is below them
            for key, value in zip(node.keys, node.values, strict=True):
                if key > done:
                    yield Entry(key, value, trail)
            continue
        below = {child[0]: child for child in subtrees(node, place)}
        todo: list[tuple[Place, Trail] | Entry] = []
        for at, link in enumerate(node.links):
            if link is not None and _reaches(below[link], done):
                todo.append((below[link], (trail, link)))
            if at < len(node.keys) and node.keys[at] > done:
                todo.append(Entry(node.keys[at], node.values[at], trail))
        stack.extend(reversed(todo))


def _reaches(place: Place, done: bytes) -> bool:
    """Whether a node at this place may hold a key above `done`."""
    high = place[3]
    return high is None or high > done


class _Ahead:
    """Judged nodes, read ahead by levels and taken in any order."""

    def __init__(self, blocks: BlockSource, key_max: int, done: bytes) -> None:
        self._blocks = blocks
        self._key_max = key_max
        self._done = done
        self._nodes: dict[CID, Node | Failure] = {}

    def take(self, place: Place) -> Node | Failure:
        cid = place[0]
        if cid not in self._nodes:
            if len(self._nodes) > 2 * _AHEAD_NODES:  # what a walk from the middle has passed over
                self._nodes.clear()
            self._load(place)
        return self._nodes.pop(cid)

    def _load(self, place: Place) -> None:
        level, count, size = [place], 0, 0
        while level and count + len(level) <= _AHEAD_NODES:
            lower: list[Place] = []
            for at in range(0, len(level), _CALL):
                if size > _AHEAD_BYTES:
                    return
                part = level[at : at + _CALL]
                good, bad = fetch(self._blocks, [one[0] for one in part])
                count += len(part)
                self._nodes.update(bad)
                for one in part:
                    block = good.get(one[0])
                    if block is None:
                        continue
                    size += len(block)
                    node = self._judge(block, one)
                    self._nodes[one[0]] = node
                    if isinstance(node, Node) and 0 < node.height <= _AHEAD_HEIGHT:
                        lower += [child for child in subtrees(node, one) if _reaches(child, self._done)]
            level = lower

    def _judge(self, block: bytes, place: Place) -> Node | Failure:
        try:
            verify_block(place[0], block)
            return judge(block, place, self._key_max)
        except (CorruptionError, FormatError) as error:
            return error


def kind_of(error: Failure) -> str:
    """`lost` where there is no block, `untrue` where the block is not what belongs there, else `damaged`."""
    if isinstance(error, MissingBlock):
        return "lost"
    if isinstance(error, (Untrue, InvalidBlock)):
        return "untrue"
    return "damaged"
