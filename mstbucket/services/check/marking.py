"""What commits and changed rows reach, block by block, in no particular order; what cannot be had is told ([CHECK-5]).

A collection marks too (`collection.mark`). It trusts what it reads, since a wrong block would only keep too much or end it.
Here every block is judged at its place, and each that is wrong is told with the way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

from mstbucket.core.cid import CID, RAW, codec, to_text
from mstbucket.core.unixfs import open_block
from mstbucket.core.unixfs_shape import body_height
from mstbucket.errors import CorruptionError, FormatError, InvalidBlock
from mstbucket.index import check_rows
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.services.blocks.context import Context
from mstbucket.services.check.found import Part, Trail, shown_key
from mstbucket.services.check.nodes import Failure, fetch, kind_of
from mstbucket.services.check.trees import read_commit
from mstbucket.spill.seen import Seen
from mstbucket.verify.manifest import read as read_manifest
from mstbucket.verify.node import Place, judge
from mstbucket.verify.tree import check_node_cid, steps

_BATCH: Final = 512  # blocks asked for at once
_PENDING_MAX: Final = 1 << 16  # above it one by one, so that hostile nodes of 8,192 links cannot pile up


class Reached(NamedTuple):
    """A block to look at, and how it is reached.

    Attributes:
        cid: of the block.
        place: of a node of a tree; None for a manifest or a body.
        size, height: of a body; None for a node or a manifest.
        key: as findings show it; None for a node.
        trail: the way to the block, itself included.
        versions: whether the tree is that of versions.
    """

    cid: CID
    place: Place | None
    size: int | None
    height: int | None
    key: str | None
    trail: Trail
    versions: bool


class Marker:
    """Walks what the roots of one bucket reach, each block once. A context manager.

    Args:
        part: what cannot be had goes there.
        targets: blocks whose way is wanted; then nothing is told but that, to `found`.
    """

    def __init__(
        self,
        context: Context,
        part: Part,
        bucket: str,
        targets: frozenset[CID] = frozenset(),
        found: Callable[[Reached, CID | None], object] | None = None,
    ) -> None:
        self._context = context
        self._part = part
        self._bucket = bucket
        self._seen = Seen()
        self._targets = targets
        self._found = found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._seen.close()

    def tree(self, commit: CID, root: CID, versions: bool, is_kept: Callable[[], bool]) -> None:
        """Walk one of the two trees of a commit. Stops without a word where the commit is given up meanwhile."""
        check_node_cid(root)
        if not is_kept():
            return
        start = Reached(root, (root, None, b"", None), None, None, None, ((None, commit), root), versions)
        self._walk(start, commit, is_kept)

    def body(self, cid: CID, size: int, key: str, is_kept: Callable[[], bool]) -> None:
        """Walk a body that no commit has yet."""
        self._walk(Reached(cid, None, size, body_height(size), key, (None, cid), False), None, is_kept)

    def _walk(self, start: Reached, commit: CID | None, is_kept: Callable[[], bool]) -> None:
        if not self._walk_all(start, commit, is_kept):
            # Some blocks were seen, and what they reach was not. Another commit may reach it too.
            self._seen.close()
            self._seen = Seen()

    def _walk_all(self, start: Reached, commit: CID | None, is_kept: Callable[[], bool]) -> bool:
        """Walk to the end; False where the root was given up meanwhile."""
        pending = [start]
        while pending:
            batch = pending[-_BATCH:] if len(pending) < _PENDING_MAX else pending[-1:]
            del pending[-len(batch) :]
            fresh = [one for one in batch if self._seen.add(one.cid + _role(one))]
            self._part.counts["blocks"] += len(fresh)
            if self._found is not None:
                for one in fresh:
                    if one.cid in self._targets:
                        self._found(one, commit)
            chunks = [one for one in fresh if codec(one.cid) == RAW]
            if not self._chunks(chunks, commit, is_kept):
                return False
            inner = [one for one in fresh if codec(one.cid) != RAW]
            good, bad = fetch(self._context.blocks, [one.cid for one in inner])
            for one in inner:
                error: Failure | None = bad.get(one.cid)
                if error is None:
                    try:
                        pending += self._below(one, good[one.cid])
                    except (CorruptionError, FormatError) as wrong:
                        error = wrong
                if error is not None:
                    if not is_kept():
                        return False
                    self._lost(one, commit, error)
        return True

    def _below(self, one: Reached, block: bytes) -> Iterator[Reached]:
        """What a block links to, which is right at its place; the block is read whole before the first is given."""
        if one.place is not None:
            node = judge(block, one.place, VERSION_KEY_MAX if one.versions else KEY_MAX)
            for step in steps(node, one.place):
                if len(step) == 4:
                    yield Reached(step[0], step, None, None, None, (one.trail, step[0]), one.versions)
                else:
                    key, cid = step
                    shown = shown_key(key, version=one.versions)
                    yield Reached(cid, None, None, None, shown, (one.trail, cid), one.versions)
        elif one.size is None:
            content = read_manifest(block)
            if content.root is not None and content.size is not None:
                height = body_height(content.size)
                yield Reached(content.root, None, content.size, height, one.key, (one.trail, content.root), one.versions)
        else:
            assert one.height is not None
            if one.height == 0:
                raise InvalidBlock(f"{to_text(one.cid)} is a file node where a chunk belongs").about(cid=one.cid)
            for cid, size in open_block(block, one.size, one.height):
                yield Reached(cid, None, size, one.height - 1, one.key, (one.trail, cid), one.versions)

    def _chunks(self, chunks: list[Reached], commit: CID | None, is_kept: Callable[[], bool]) -> bool:
        """Look for the rows of chunks, whose bytes are not read; False where their root was given up."""
        if not chunks or self._found is not None:
            return True
        lengths = check_rows.lengths(self._context.db, [one.cid for one in chunks])
        for one in chunks:
            length = lengths.get(one.cid)
            if length == one.size and one.height == 0:
                continue
            if not is_kept():
                return False
            if length is None:
                self._tell("presence.block-unknown", "it is reached, and the index of blocks does not have it", one, commit)
            else:
                said = f"the index has {length} bytes for it, and at its place in the body it has {one.size}"
                self._tell("presence.block-size", said, one, commit)
        return True

    def _lost(self, one: Reached, commit: CID | None, error: Failure) -> None:
        if self._found is not None:
            return
        kind = kind_of(error)
        if kind == "lost" and one.cid not in check_rows.lengths(self._context.db, [one.cid]):
            kind = "unknown"
        self._tell(f"presence.block-{kind}", str(error), one, commit)

    def _tell(self, code: str, message: str, one: Reached, commit: CID | None) -> None:
        self._part.add(code, message, bucket=self._bucket, commit=commit, key=one.key, trail=one.trail, cid=one.cid)


def _role(one: Reached) -> bytes:
    """What a block is looked at as: one that is right as a manifest may stand where a node belongs."""
    if one.place is not None:
        return b"node"
    return b"manifest" if one.height is None else b"body%d" % one.height


def mark_bucket(context: Context, number: int, bucket: str) -> Part:
    """Look at everything that the kept commits and the changed rows of a bucket reach."""
    part = Part()
    with Marker(context, part, bucket) as marker:
        walk_bucket(context, number, marker, part, bucket)
    return part


def walk_bucket(context: Context, number: int, marker: Marker, part: Part | None, bucket: str) -> None:
    """Give every root of a bucket to a marker: the kept commits, newest first, then the changed bodies."""
    db = context.db
    for kept in check_rows.kept_commits(db, number):
        def is_kept(cid: CID = kept.cid) -> bool:
            return check_rows.is_kept(db, number, cid)

        if part is not None:
            part.counts["commits"] += 1
            read_commit(context, part, "presence", number, bucket, None, kept)
        marker.tree(kept.cid, kept.tree, False, is_kept)
        if kept.versions is not None:
            marker.tree(kept.cid, kept.versions, True, is_kept)
    for body in check_rows.changed_bodies(db, number):
        def has_body(body: check_rows.Body = body) -> bool:
            return check_rows.has_body(db, number, body)

        key = f"{body.key}@{body.seq}" if body.seq else body.key
        marker.body(body.content, body.size, key, has_body)


def trace(context: Context, targets: frozenset[CID]) -> dict[CID, tuple[str, CID | None, str | None, Trail]]:
    """How blocks are reached: bucket, commit, key, way. One that nothing leads to is not in it."""
    ways: dict[CID, tuple[str, CID | None, str | None, Trail]] = {}
    for number, bucket in check_rows.buckets(context.db):
        if len(ways) == len(targets):
            break

        def found(one: Reached, commit: CID | None, bucket: str = bucket) -> None:
            ways.setdefault(one.cid, (bucket, commit, one.key, one.trail))

        with Marker(context, Part(), bucket, targets, found) as marker:
            walk_bucket(context, number, marker, None, bucket)
            for kept in check_rows.kept_commits(context.db, number):
                if kept.cid in targets:
                    ways.setdefault(kept.cid, (bucket, kept.cid, None, (None, kept.cid)))
    return ways


