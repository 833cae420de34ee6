"""Bring what a later commit has and an earlier one has not, and judge it, at a cost by the difference.

So it is for a pull ([RMT-4], [RMT-5]), and for a delta, all of which has come before ([DELTA-7]).

The two trees are walked level by level; a subtree that the base has is not looked into. What the walk says has changed is
then done to the base's own trees, as a flush would do it. There is one tree of given keys and values, so if that has the
root of the later commit, the later tree is good in every respect. Manifests and bodies are judged one by one. What versions
of a key have to be side by side, the switch judges by the rows that it makes (`index.following`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from mstbucket.core.batches import in_batches
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, DAG_CBOR, codec, to_text
from mstbucket.core.commit import EMPTY_TREE, Commit
from mstbucket.core.keys import check_key, split_version_key
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.diff import Change, diff
from mstbucket.core.unixfs import open_block
from mstbucket.core.unixfs_shape import body_height
from mstbucket.errors import InvalidInput, Untrue
from mstbucket.limits import CHUNK_SIZE, OBJECT_SIZE_MAX, SEQ_MAX
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.tree.fold import with_empty_tree
from mstbucket.spill.seen import SeenNumbers
from mstbucket.verify.history import last_sequence
from mstbucket.verify.manifest import Content
from mstbucket.verify.manifest import read as read_manifest

_MANIFESTS: Final = 2048  # read at a time
_SIZES: Final = OBJECT_SIZE_MAX + 1  # a body's number is its height times these, and its size


class Source(BlockSource, Protocol):
    """Where the blocks of the later state are, with those of the base. Each that it gives was hashed."""

    def bring_chunks(self, chunks: Sequence[tuple[CID, int]]) -> None:
        """Make sure of chunks of bodies, each of so many bytes.

        Raises:
            MissingBlock, HashMismatch: one is not to be had.
            Untrue: one has another length.
        """
        ...


def bring(source: Source, own: StoreBlocks, base: Commit, commit: Commit) -> None:
    """Bring and judge all of *commit* but its block and what *base*, which the own store holds, is known to have.

    Not judged here: what only the whole history of a key tells, where there are versions; `past.advance` does.

    Raises:
        MissingBlock, HashMismatch, InvalidBlock, Untrue: it is not a true later state. Nothing leads to what was brought.
        Unsupported: nothing could follow one of its versions.
    """
    objects = diff(source, base.tree, commit.tree).changes
    versions = diff(source, base.versions or EMPTY_TREE, commit.versions or EMPTY_TREE).changes
    with SeenNumbers() as seen:
        walk = _Walk(source, seen)
        for change in objects:
            _check(check_key, change)
        count, size = walk.objects(objects)
        for change in versions:
            _check(_check_version_key, change)
        walk.versions(versions)
    _compare(own, base.tree, objects, commit.tree)
    _compare(own, base.versions or EMPTY_TREE, versions, commit.versions or EMPTY_TREE)
    if (commit.objects, commit.bytes) != (base.objects + count, base.bytes + size):  # [VER-19]
        raise Untrue(
            f"the commit states {commit.objects} objects of {commit.bytes} bytes; its tree has {base.objects + count} of "
            f"{base.bytes + size}"
        )


class _Walk:
    def __init__(self, source: Source, seen: SeenNumbers) -> None:
        self._source = source
        self._seen = seen

    def objects(self, changes: list[Change]) -> tuple[int, int]:
        """By how much the objects and their bytes grow."""
        count = size = 0
        for batch in in_batches(changes, _MANIFESTS):
            read = self._read(batch)
            for _, old, new in batch:
                for cid, sign in ((old, -1), (new, 1)):
                    if cid is not None:
                        count += sign
                        size += sign * _live(cid, read[cid])
            self._bodies(batch, read)
        return count, size

    def versions(self, changes: list[Change]) -> None:
        for batch in in_batches(changes, _MANIFESTS):
            self._bodies(batch, self._read(batch))

    def _read(self, batch: list[Change]) -> dict[CID, Content]:
        """Read the manifests. The bodies of the old ones are met with that: they are in the base, whole."""
        cids = {cid for _, old, new in batch for cid in (old, new) if cid is not None}
        read = {cid: read_manifest(block) for cid, block in self._source.get_many(cids).items()}
        for content, size, _, _ in (read[old] for _, old, _ in batch if old is not None):
            if content is not None and size is not None:
                self._is_new(content, size, body_height(size))
        return read

    def _bodies(self, batch: list[Change], read: dict[CID, Content]) -> None:
        """Bring the bodies of the new manifests, level by level."""
        level: list[tuple[CID, int, int]] = []
        for _, _, new in batch:
            if new is None:
                continue
            content, size, sha256, _ = read[new]
            if content is None or size is None:
                continue
            if size <= CHUNK_SIZE and sha256 is not None and sha256 != content[4:]:  # [VER-16]
                raise Untrue(f"manifest {to_text(new)} states another sha256 than its content has").about(cid=new)
            level.append((content, size, body_height(size)))
        while level:
            due = [one for one in level if self._is_new(*one)]
            self._source.bring_chunks([(cid, size) for cid, size, height in due if height == 0])
            level = []
            for part in in_batches((one for one in due if one[2] > 0), _MANIFESTS):
                blocks = self._source.get_many([cid for cid, _, _ in part])
                for cid, size, height in part:
                    links = open_block(blocks[cid], size, height)  # [VER-17]
                    level += [(child, below, height - 1) for child, below in links]

    def _is_new(self, cid: CID, size: int, height: int) -> bool:
        """Whether a body block was not met before; where it was, it has to have been of the same size ([VER-17])."""
        number = height * _SIZES + size
        if self._seen.add(cid, number):
            return True
        if self._seen.get(cid) != number:
            raise Untrue(f"body block {to_text(cid)} is linked to with two sizes").about(cid=cid)
        return False


def _live(cid: CID, content: Content) -> int:
    if content.size is None:  # [VER-15]
        raise Untrue(f"the objects' tree has a delete marker, {to_text(cid)}, for a manifest").about(cid=cid)
    return content.size


def check_length(cid: CID, found: int, stated: int) -> None:
    """Raise `Untrue` unless a chunk has as many bytes as the link to it states ([BODY-3])."""
    if found != stated:
        raise Untrue(f"chunk {to_text(cid)} has {found} bytes where {stated} are stated").about(cid=cid)


def _check_version_key(stored: bytes) -> None:
    key, seq = split_version_key(stored)
    if seq == SEQ_MAX:  # [VER-21] [VSN-9]
        raise last_sequence(key)


def _check(check: Callable[[bytes], object], change: Change) -> None:
    key, _, new = change
    try:
        check(key)
    except InvalidInput as error:
        raise Untrue(f"the tree holds a key that cannot be: {error}") from error
    if new is not None and codec(new) != DAG_CBOR:
        raise Untrue(f"the value of key {key[:60]!r}, {to_text(new)}, is no manifest").about(cid=new)


def _compare(own: StoreBlocks, base: CID, changes: list[Change], root: CID) -> None:
    """[RMT-5] The base with these changes is the later tree, so that is what its keys and values demand."""
    made = apply(with_empty_tree(own), base, [(key, new) for key, _, new in changes]).root
    if made != root:
        raise Untrue(f"tree {to_text(root)} is not the one of its keys and values, which is {to_text(made)}").about(cid=root)
