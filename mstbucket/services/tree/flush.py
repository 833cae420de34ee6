"""Flush: fold the changed keys of a bucket into its trees, exactly once, and move its commit ([FLUSH-1] to [FLUSH-9]).

    1. One snapshot gives the commit, the dirty keys and versions with their generations, and their rows.
    2. The new trees, of objects and of versions, are computed, and everything new is written to one pack, durably. No
       transaction is open meanwhile.
    3. One short transaction moves the commit from the one read in step 1, records the blocks, and removes exactly the
       generations folded. If somebody else moved the commit, nothing has happened and the flush starts over.
    4. The commit is published as a small blob, so that the store can be found again without the database.

A crash before 3 leaves a pending pack that nothing refers to; a crash after 3 leaves a commit that the next flush
publishes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from mstbucket.core import cid as cids
from mstbucket.core import commit as commits
from mstbucket.core.closure import links_of
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.keys import version_key
from mstbucket.core.mst.apply import Applied, apply
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT
from mstbucket.errors import CommitMoved, Conflict, Unsupported
from mstbucket.index import space
from mstbucket.index.buckets import current_commit, insert_commit
from mstbucket.limits import COMMIT_SEQ_MAX
from mstbucket.model.objects import CommitInfo
from mstbucket.pg.binary import bigint_array, bytea_array, text_array
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.write import PackInProgress, publish_refs
from mstbucket.services.tree import turns
from mstbucket.services.tree.damage import naming
from mstbucket.services.tree.snapshot import Snapshot, take_snapshot

FLUSH_ATTEMPTS: Final = 20  # a flush that loses this often has been overtaken by others that did the work
_PAUSE_MAX: Final = 0.1  # seconds between two looks whether it is our turn
_BATCH: Final = 1000  # blocks asked for at a time


@dataclass(frozen=True, slots=True)
class _Folded:
    """The state after the fold.

    A commit is made also where the tree came out the same: only a moved commit stops another flush, one that read an
    older generation of the same key, from folding that over this one ([FLUSH-8]).
    """

    commit: commits.Commit
    block: bytes
    live: Applied
    versions: Applied


def flush(context: Context, bucket: str) -> CommitInfo:
    """Fold everything dirty and return the commit that holds it; see `Bucket.flush`."""
    number, seq = turns.before(context, bucket)
    turn = time.monotonic() + turns.WAIT_SECONDS
    pause, lost, done = 0.005, 0, False
    while not done:
        with context.db.holding(turns.LOCK, number) as mine:  # [FLUSH-11]
            if mine or time.monotonic() >= turn:
                try:
                    _fold_rest(context, bucket)
                    done = True
                except Conflict:
                    lost += 1
                    if lost == FLUSH_ATTEMPTS:
                        raise
        done = done or turns.is_joined(context, number, seq)
        if not done:
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(_PAUSE_MAX, pause * 2)
    with naming(context, bucket):
        publish_refs(context, bucket)
    space.give_back(context.db)
    commit = current_commit(context.db, bucket)
    assert commit is not None  # a commit, once made, is only ever followed by another
    return commit


def _fold_rest(context: Context, bucket: str) -> None:
    """Fold until everything that was dirty at the call is folded, in one commit or in several."""
    while True:
        snapshot = take_snapshot(context, bucket)
        if not snapshot.changes and snapshot.tags_dirty is None and snapshot.commit is not None:  # [TAG-6]
            return
        with naming(context, bucket):
            _fold_once(context, snapshot)
        if not snapshot.more:
            return


def _fold_once(context: Context, snapshot: Snapshot) -> None:
    if snapshot.seq >= COMMIT_SEQ_MAX:  # [COM-13]
        raise Unsupported(
            f"bucket {snapshot.name!r} has had commit {snapshot.seq}, the last there can be; what was written since is "
            "durable, and in no commit: copy the objects to a new bucket"
        )
    folded = _fold(context.blocks, snapshot)
    with PackInProgress(context) as pack:
        _write_pack(context, pack, snapshot, folded)
        with context.db.transaction() as connection:
            epoch = _enter(connection, snapshot)
            _advance(connection, snapshot, folded)
            _hold_contents(connection, snapshot, pack, epoch)
            pack.record(connection, epoch)
            _settle(connection, snapshot)
            space.count_dead(connection)
        pack.keep()


# --- the new tree and its pack ------------------------------------------------------------------------------------


class _WithEmptyTree:
    """The store's blocks and the node of the empty tree, which a bucket's first flush starts from."""

    def __init__(self, blocks: StoreBlocks) -> None:
        self._blocks = blocks

    def get(self, cid: bytes) -> bytes:
        return EMPTY_BLOCK if cid == EMPTY_ROOT else self._blocks.get(cid)

    def get_many(self, wanted: Any) -> Any:
        if EMPTY_ROOT in wanted:
            return {**self._blocks.get_many([cid for cid in wanted if cid != EMPTY_ROOT]), EMPTY_ROOT: EMPTY_BLOCK}
        return self._blocks.get_many(wanted)


def _fold(blocks: StoreBlocks, snapshot: Snapshot) -> _Folded:
    source = _WithEmptyTree(blocks)
    live, past = snapshot.live, snapshot.versions
    applied = apply(source, live.root, [(key.encode(), cid) for key, cid in zip(live.keys, live.manifests, strict=True)])
    keys = (version_key(key.encode(), seq) for key, seq in zip(past.keys, past.seqs, strict=True))
    versions = apply(source, past.root, list(zip(keys, past.manifests, strict=True)))
    if snapshot.commit is None and applied.root == EMPTY_ROOT:
        applied.created[EMPTY_ROOT] = EMPTY_BLOCK
    old = applied.replaced
    new = [snapshot.blocks[cid][2] or 0 for cid in live.manifests if cid is not None]
    commit = commits.Commit(
        bucket=snapshot.identity,
        name=snapshot.name,
        seq=snapshot.seq + 1,
        tree=applied.root,
        versions=None if versions.root == EMPTY_ROOT else versions.root,  # [COM-7]
        prev=snapshot.commit,
        time=snapshot.time,
        objects=snapshot.objects - len(old) + len(new),
        bytes=snapshot.size - _sizes(blocks, old) + sum(new),
        tags=snapshot.tags,
        config=commits.config(snapshot.versioning),
    )
    return _Folded(commit, commits.encode(commit), applied, versions)


def _sizes(blocks: StoreBlocks, replaced: Sequence[bytes]) -> int:
    """The sum of the sizes in the manifests that the fold replaces: the tree's own word, not the index's."""
    total = 0
    for cid in _batches(replaced):
        found = blocks.get_many(set(cid))
        total += sum(decode_fast(found[one])["size"] for one in cid)
    return total


def _write_pack(context: Context, pack: PackInProgress, snapshot: Snapshot, folded: _Folded) -> None:
    """Everything new in the order of an export, so that a later export reads the pack from front to back; durable."""
    pack.add(cids.dag_cbor_cid(folded.block), folded.block)
    # What moves from one tree to the other has its blocks in the store already.
    known = {*folded.live.replaced, *folded.versions.replaced}
    new = [*_in_export_order(snapshot, folded.live, known), *_in_export_order(snapshot, folded.versions, known)]
    for batch in _batches(new):
        manifests_here = [snapshot.blocks[cid] for cid, _ in batch if cid in snapshot.blocks]
        bodies = context.blocks.inline_bodies({content for _, content, _ in manifests_here if content is not None})
        for cid, block in batch:
            pack.add(cid, block)
            content = snapshot.blocks[cid][1] if cid in snapshot.blocks else None
            if content is not None and content in bodies:
                pack.add(content, bodies[content])
    pack.seal()


def _in_export_order(snapshot: Snapshot, applied: Applied, known: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The new nodes with the new manifests, but for those *known*, in their places; depth first, links as encoded."""
    stack = [applied.root]
    while stack:
        cid = stack.pop()
        node = applied.created.get(cid)
        if node is not None:
            yield cid, node
            stack.extend(link for link, _ in reversed(links_of(cid, node)))
        elif cid in snapshot.blocks and cid not in known:
            yield cid, snapshot.blocks[cid][0]


# --- the transaction ------------------------------------------------------------------------------------------------


def _enter(connection: Any, snapshot: Snapshot) -> int:
    """Take the barrier ([FLUSH-4]); the epoch. A bucket made anew under the same name is not the one we read."""
    number, epoch, _ = one_row(connection, "SELECT * FROM enter(%s)", (snapshot.name,))
    if number != snapshot.bucket:
        raise CommitMoved(f"bucket {snapshot.name!r} was deleted and made again during the flush")
    return int(epoch)


def _advance(connection: Any, snapshot: Snapshot, folded: _Folded) -> None:
    cid = cids.dag_cbor_cid(folded.block)
    # [TAG-6] The mark goes only if it is still the one that was read, as with the dirty rows of keys ([FLUSH-7]).
    move = """
        UPDATE buckets SET commit = %(cid)s, seq = seq + 1,
            tags_since = CASE WHEN tags_dirty = %(mark)s THEN NULL ELSE tags_since END,
            tags_dirty = CASE WHEN tags_dirty = %(mark)s THEN NULL ELSE tags_dirty END
        WHERE id = %(bucket)s AND seq = %(seq)s AND commit IS NOT DISTINCT FROM %(old)s
    """
    was = {"bucket": snapshot.bucket, "seq": snapshot.seq, "old": snapshot.commit, "mark": snapshot.tags_dirty}
    moved = connection.execute(move, was | {"cid": cid}).rowcount
    if moved != 1:  # [FLUSH-5] exactly one row, or nothing has happened
        raise CommitMoved(f"somebody else flushed bucket {snapshot.name!r} meanwhile")
    insert_commit(connection, snapshot.bucket, cid, folded.commit, whole=not snapshot.more)


def _hold_contents(connection: Any, snapshot: Snapshot, pack: PackInProgress, epoch: int) -> None:
    """Every body that a folded manifest names must still be there, and stay ([FLUSH-6]).

    Since the snapshot a key may have been overwritten and its old body collected. Bodies in this pack are safe.
    """
    named = {content for _, content, _ in snapshot.blocks.values() if content is not None}
    contents = sorted(named - pack.cids)
    for batch in _batches(contents):
        touch = "UPDATE blocks SET epoch = %s WHERE cid = ANY (%s) AND epoch < %s"
        connection.execute(touch, (epoch, bytea_array(batch), epoch))
        there = one_row(connection, "SELECT count(*) FROM blocks WHERE cid = ANY (%s)", (bytea_array(batch),))[0]
        if there != len(batch):
            raise CommitMoved(f"a body of bucket {snapshot.name!r} was overwritten and collected during the flush")


def _settle(connection: Any, snapshot: Snapshot) -> None:
    """Remove exactly the dirty rows that were folded: by generation, and not those a writer holds ([FLUSH-7])."""
    live, past = snapshot.live, snapshot.versions
    if live.keys:
        pairs = (text_array(live.keys), bigint_array(live.generations))
        connection.execute(_CLEAR_LIVE, (*pairs, snapshot.bucket, snapshot.bucket))
    if past.keys:
        triples = (text_array(past.keys), bigint_array(past.seqs), bigint_array(past.generations))
        connection.execute(_CLEAR_VERSIONS, (*triples, snapshot.bucket, snapshot.bucket))


_CLEAR_LIVE: Final = """
    WITH folded AS (
        SELECT d.key FROM unnest(%s, %s) AS f (key, generation)
        JOIN dirty d ON d.bucket = %s AND d.key = f.key AND d.generation = f.generation
        FOR UPDATE OF d SKIP LOCKED)
    DELETE FROM dirty d USING folded f WHERE d.bucket = %s AND d.key = f.key
"""
_CLEAR_VERSIONS: Final = """
    WITH folded AS (
        SELECT d.key, d.seq FROM unnest(%s, %s, %s) AS f (key, seq, generation)
        JOIN dirty_versions d ON d.bucket = %s AND d.key = f.key AND d.seq = f.seq AND d.generation = f.generation
        FOR UPDATE OF d SKIP LOCKED)
    DELETE FROM dirty_versions d USING folded f WHERE d.bucket = %s AND d.key = f.key AND d.seq = f.seq
"""


def _batches(items: Sequence[Any]) -> Any:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


