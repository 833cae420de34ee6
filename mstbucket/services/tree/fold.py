"""The new trees of a flush, their commit, and the pack that holds what is new in them ([FLUSH-2], [FLUSH-3])."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mstbucket.core import commit as commits
from mstbucket.core import commit_fields
from mstbucket.core.batches import in_batches
from mstbucket.core.blocks import BlockSource, BlocksOver
from mstbucket.core.closure import links_of
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.keys import version_key
from mstbucket.core.mst.apply import Applied, apply
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT
from mstbucket.errors import Unsupported
from mstbucket.index.commits import Head
from mstbucket.index.leases import Kept
from mstbucket.limits import BUCKET_BYTES_MAX
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.tree.sealing import seal
from mstbucket.services.tree.snapshot import Snapshot
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.signing.keys import Signer

ASKED: Final = 1000  # blocks or rows asked for by one question


@dataclass(frozen=True, slots=True)
class Folded:
    """The state after the fold.

    There is a new commit even if the tree came out the same ([FLUSH-8]). Another flush may have read an older generation
    of the same key. Only a moved commit stops it from folding that over this one.
    """

    commit: commits.Commit
    cid: bytes
    block: bytes
    objects: Applied
    versions: Applied


def fold(
    blocks: BlockSource, snapshot: Snapshot, signer: Signer | None, message: str | None, merged: Kept | None = None
) -> Folded:
    """Compute the trees and the commit after the changes of the snapshot, signed by *signer*. Nothing is written.

    With *merged* the changes come from that commit, of another bucket ([COM-22]), or of this one in another store: then the
    new commit is a later one than that, too ([RMT-8]).
    """
    source = with_empty_tree(blocks)
    head, live, past = snapshot.head, snapshot.objects, snapshot.versions
    objects = apply(source, live.root, [(key.encode(), cid) for key, cid in zip(live.keys, live.manifests, strict=True)])
    keys = (version_key(key.encode(), seq) for key, seq in zip(past.keys, past.seqs, strict=True))
    versions = apply(source, past.root, list(zip(keys, past.manifests, strict=True)))
    if head.commit is None and objects.root == EMPTY_ROOT:
        objects.created[EMPTY_ROOT] = EMPTY_BLOCK
    new = [snapshot.blocks[cid].size or 0 for cid in live.manifests if cid is not None]
    before = head.seq if merged is None or merged.identity != head.identity else max(head.seq, merged.seq)
    size = (head.size or 0) - _sizes(blocks, objects.replaced) + sum(new)
    if size > BUCKET_BYTES_MAX:  # [COM-25]
        raise Unsupported(
            f"the objects of bucket {head.name!r} have {size} bytes, and a commit can state {BUCKET_BYTES_MAX}; "
            "what was written since is durable, and in no commit: delete objects, or copy some to another bucket and "
            "delete them here, then flush again"
        )
    commit = commits.Commit(
        bucket=head.identity,
        name=head.name,
        seq=before + 1,
        tree=objects.root,
        versions=None if versions.root == EMPTY_ROOT else versions.root,  # [COM-7]
        prev=head.commit,
        time=head.now,
        objects=(head.objects or 0) - len(objects.replaced) + len(new),
        bytes=size,
        tags=head.tags or {},
        config=commit_fields.config(head.versioning),
        merged=None if merged is None else merged.cid,
        message=message,
    )
    commit, cid, block = seal(commit, signer)
    return Folded(commit, cid, block, objects, versions)


def with_empty_tree(blocks: BlockSource) -> BlocksOver:
    """The blocks, and the node of the empty tree. A bucket's first flush starts from that."""
    return BlocksOver({EMPTY_ROOT: EMPTY_BLOCK}, blocks)


def go_on(blocks: StoreBlocks, snapshot: Snapshot, folded: Folded) -> tuple[Head, BlocksOver]:
    """Where a second fold goes on from one whose commit was never made.

    Returns:
        The bucket as it was, with the trees of the first fold; and the blocks of the store and of that fold.
    """
    new = {**folded.objects.created, **folded.versions.created}
    new.update((cid, one.block) for cid, one in snapshot.blocks.items())
    commit = folded.commit
    head = snapshot.head._replace(tree=commit.tree, versions=commit.versions, objects=commit.objects, size=commit.bytes)
    return head, BlocksOver(new, blocks)


def _sizes(blocks: BlockSource, replaced: Sequence[bytes]) -> int:
    """The sum of the sizes in the manifests that the fold replaces, as the tree says, not the index."""
    total = 0
    for batch in in_batches(replaced, ASKED):
        found = blocks.get_many(set(batch))
        total += sum(decode_fast(found[cid])["size"] for cid in batch)
    return total


# --- the pack -----------------------------------------------------------------------------------------------------


def write_pack(blocks: StoreBlocks, pack: PackInProgress | Staged, snapshot: Snapshot, folded: Folded) -> None:
    """Write everything new, durably, in the order of an export: a later export reads the pack from front to back."""
    pack.add(folded.cid, folded.block)
    # A manifest that moves from one tree to the other is in the store already.
    known = {*folded.objects.replaced, *folded.versions.replaced}
    new = [*_in_export_order(snapshot, folded.objects, known), *_in_export_order(snapshot, folded.versions, known)]
    for batch in in_batches(new, ASKED):
        manifests_here = [snapshot.blocks[cid] for cid, _ in batch if cid in snapshot.blocks]
        bodies = blocks.inline_bodies({content for _, content, _ in manifests_here if content is not None})
        together: dict[bytes, bytes] = {}
        for cid, block in batch:
            together.setdefault(cid, block)
            content = snapshot.blocks[cid].content if cid in snapshot.blocks else None
            if content is not None and content in bodies:
                together.setdefault(content, bodies[content])
        pack.add_all(together)
    pack.seal()


def _in_export_order(snapshot: Snapshot, applied: Applied, known: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The new nodes, with the new manifests in their places but for the *known* ones. Depth first, links as encoded."""
    stack = [applied.root]
    while stack:
        cid = stack.pop()
        node = applied.created.get(cid)
        if node is not None:
            yield cid, node
            stack.extend(link for link, _ in reversed(links_of(cid, node)))
        elif cid in snapshot.blocks and cid not in known:
            yield cid, snapshot.blocks[cid].block
