"""What a flush starts from: in one snapshot the commit, the dirty keys, generations and rows ([FLUSH-2])."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core import manifest as manifests
from mstbucket.core.keys import TOP
from mstbucket.core.mst.node import EMPTY_ROOT
from mstbucket.index import dirty
from mstbucket.index.commits import Head, read_head
from mstbucket.limits import MIB
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

# Of each of the two trees:
FLUSH_KEYS: Final = 50_000  # folded into one commit at most; 1.3 KB held for each meanwhile, and more is not faster
FLUSH_MANIFESTS: Final = 64 * MIB  # of manifests held from the snapshot to the pack; reached first if they are large


@dataclass(slots=True)
class Changes:
    """The changes of one tree, as columns: an entry for every dirty row, in order.

    Attributes:
        root: of the tree that they change.
        held: bytes of the manifests that came with them.
        seqs: the numbers of versions; 0 for objects.
        manifests: the new CIDs; None if the object or the version is gone.
    """

    root: bytes
    held: int = 0
    keys: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    manifests: list[bytes | None] = field(default_factory=list)

    def cut(self, size: int) -> None:
        """Forget all changes but the first *size*."""
        for column in (self.keys, self.seqs, self.generations, self.manifests):
            del column[size:]


class ManifestBlock(NamedTuple):
    """A manifest as a block, with the CID and the size of its body; a delete marker has none."""

    block: bytes
    content: bytes | None
    size: int | None


@dataclass(slots=True)
class Snapshot:
    """What one flush folds: the state it starts from, and the changes of the two trees.

    Attributes:
        blocks: the new manifests by their CIDs.
        more: there were more dirty rows than one flush folds.
    """

    head: Head
    objects: Changes
    versions: Changes
    blocks: dict[bytes, ManifestBlock] = field(default_factory=dict)
    more: bool = False

    @property
    def changes(self) -> int:
        """How many rows it folds."""
        return len(self.objects.keys) + len(self.versions.keys)

    def add(self, changes: Changes, change: dirty.Change) -> None:
        """Take one dirty row."""
        key, seq, generation, cid, manifest = change
        changes.keys.append(key)
        changes.seqs.append(seq)
        changes.generations.append(generation)
        changes.manifests.append(cid)
        if cid is not None and manifest is not None and cid not in self.blocks:
            block = manifests.encode(manifest)
            self.blocks[cid] = ManifestBlock(block, manifest.content, manifest.size)
            changes.held += len(block)


def take_snapshot(context: Context, bucket: str) -> Snapshot:
    """Read the newest commit, and as many dirty rows as one flush folds.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    with context.db.snapshot() as connection:
        return read_changes(connection, read_head(connection, bucket), FLUSH_KEYS, FLUSH_MANIFESTS)


def read_changes(connection: Connection, head: Head, keys: int, held: int) -> Snapshot:
    """As `take_snapshot`, of a bucket that nobody changes: at most so many *keys*, and *held* bytes of manifests."""
    objects, versions = Changes(head.tree or EMPTY_ROOT), Changes(head.versions or EMPTY_ROOT)
    snapshot = Snapshot(head, objects, versions)
    # If not all fits, the cut is between two keys: then no commit lacks an object that became a version.
    last = TOP
    with dirty.changed_versions(connection, head.bucket, last, keys + 1) as changed:
        all_versions = _take(snapshot, versions, changed, keys, held)
    if not all_versions:
        _drop_last_key(versions)
        last = versions.keys[-1]
    with dirty.changed_objects(connection, head.bucket, last, keys + 1) as changed:
        all_objects = _take(snapshot, objects, changed, keys, held)
    if not all_objects:
        versions.cut(bisect_right(versions.keys, objects.keys[-1]))
    snapshot.more = not (all_versions and all_objects)
    return snapshot


def _take(snapshot: Snapshot, changes: Changes, changed: Iterator[dirty.Change], keys: int, held: int) -> bool:
    """Take as many dirty rows as fit. Whether that is all of them."""
    for change in changed:
        if len(changes.keys) >= keys or changes.held >= held:
            return False
        snapshot.add(changes, change)
    return True


def _drop_last_key(changes: Changes) -> None:
    """Forget the last key unless it is the only one: not all of its changes may have been read."""
    first = bisect_left(changes.keys, changes.keys[-1])
    if first:
        changes.cut(first)
