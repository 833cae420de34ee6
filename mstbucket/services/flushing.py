"""Flush: fold the changed keys of a bucket into its tree, exactly once, and move its commit ([FLUSH-1] to [FLUSH-9]).

    1. One snapshot gives the commit, the dirty keys with their generations, and the rows of those keys.
    2. The new tree is computed and everything new is written to one pack, durably. No transaction is open meanwhile.
    3. One short transaction moves the commit from the one read in step 1, records the blocks, and removes exactly the
       generations folded. If somebody else moved the commit, nothing has happened and the flush starts over.
    4. The commit is published as a small blob, so that the store can be found again without the database.

A crash before 3 leaves a pending pack that nothing refers to; a crash after 3 leaves a commit that the next flush
publishes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from mstbucket.core import cid as cids
from mstbucket.core import commit as commits
from mstbucket.core import manifest as manifests
from mstbucket.core.closure import links_of
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.mst.apply import Applied, apply
from mstbucket.core.mst.node import EMPTY_BLOCK, EMPTY_ROOT
from mstbucket.errors import CommitMoved, Conflict
from mstbucket.limits import MIB
from mstbucket.model import CommitInfo
from mstbucket.pg.binary import bigint_array, bytea_array, text_array
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks import StoreBlocks
from mstbucket.services.buckets import current_commit, insert_commit, no_such_bucket, now_ms
from mstbucket.services.context import Context
from mstbucket.services.packing import PackInProgress, publish_refs
from mstbucket.services.rows import MANIFEST_COLUMNS, manifest_of

FLUSH_KEYS: Final = 250_000  # folded into one commit at most; 100 MB of keys, CIDs and generations held meanwhile
FLUSH_MANIFESTS: Final = 64 * MIB  # of manifests held from the snapshot to the pack; reached first if they are large
FLUSH_ATTEMPTS: Final = 20  # a flush that loses this often has been overtaken by others that did the work
_BATCH: Final = 1000  # rows or blocks asked for at a time


@dataclass(slots=True)
class _Snapshot:
    """What one flush folds: the state it starts from and, per dirty key in order, what the key is to become."""

    bucket: int
    identity: str
    name: str
    seq: int
    commit: bytes | None
    tree: bytes
    versions: bytes | None
    objects: int
    size: int
    tags: dict[str, str]  # of the bucket
    tags_dirty: int | None  # generation of a change of them that no commit has yet
    keys: list[str] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    manifests: list[bytes | None] = field(default_factory=list)  # CID, or None where the key is gone
    # CID -> manifest block, CID of the body, its size
    blocks: dict[bytes, tuple[bytes, bytes, int]] = field(default_factory=dict)
    more: bool = False  # there were more dirty keys than one flush folds


@dataclass(frozen=True, slots=True)
class _Folded:
    """The state after the fold.

    A commit is made also where the tree came out the same: only a moved commit stops another flush, one that read an
    older generation of the same key, from folding that over this one ([FLUSH-8]).
    """

    commit: commits.Commit
    block: bytes
    applied: Applied


def flush(context: Context, bucket: str) -> CommitInfo:
    """Fold everything dirty and return the commit that holds it; see `Bucket.flush`."""
    lost = 0
    while True:
        snapshot = _take_snapshot(context, bucket)
        if not snapshot.keys and snapshot.tags_dirty is None and snapshot.commit is not None:  # [TAG-6]
            break
        try:
            _fold_once(context, snapshot)
        except Conflict:
            lost += 1
            if lost == FLUSH_ATTEMPTS:
                raise
        else:
            if not snapshot.more:
                break
    publish_refs(context, bucket)
    commit = current_commit(context.db, bucket)
    assert commit is not None  # a commit, once made, is only ever followed by another
    return commit


def _fold_once(context: Context, snapshot: _Snapshot) -> None:
    folded = _fold(context.blocks, snapshot)
    with PackInProgress(context) as pack:
        _write_pack(context, pack, snapshot, folded)
        with context.db.transaction() as connection:
            epoch = _enter(connection, snapshot)
            _advance(connection, snapshot, folded)
            _hold_contents(connection, snapshot, pack, epoch)
            pack.record(connection, epoch)
            _settle(connection, snapshot)
        pack.keep()


# --- 1. the snapshot -------------------------------------------------------------------------------------------------


def _take_snapshot(context: Context, bucket: str) -> _Snapshot:
    head = """
        SELECT b.id, b.identity, b.name, b.seq, b.commit, b.tags, b.tags_dirty, c.tree, c.versions, c.objects, c.bytes
        FROM buckets b LEFT JOIN commits c ON c.bucket = b.id AND c.seq = b.seq WHERE b.name = %s
    """
    rows = f"""
        SELECT d.key, d.generation, o.manifest, {MANIFEST_COLUMNS}
        FROM dirty d LEFT JOIN objects o ON o.bucket = d.bucket AND o.key = d.key
        WHERE d.bucket = %s ORDER BY d.key LIMIT %s
    """
    with context.db.snapshot() as connection:
        row = connection.execute(head, (bucket,), binary=True).fetchone()
        if row is None:
            raise no_such_bucket(bucket)
        number, identity, name, seq, commit, tags, tags_dirty, tree, versions, objects, size = row
        if tree is None:
            tree, objects, size = EMPTY_ROOT, 0, 0
        snapshot = _Snapshot(
            number, identity, name, seq, commit, tree, versions, objects, size, tags or {}, tags_dirty
        )
        held = 0
        with connection.cursor("folding", binary=True) as cursor:  # on the server: rows come a batch at a time
            cursor.itersize = _BATCH
            for key, generation, cid, *fields in cursor.execute(rows, (number, FLUSH_KEYS + 1)):
                if len(snapshot.keys) == FLUSH_KEYS or held >= FLUSH_MANIFESTS:
                    snapshot.more = True
                    break
                snapshot.keys.append(key)
                snapshot.generations.append(generation)
                snapshot.manifests.append(cid)
                if cid is not None:
                    block = manifests.encode(manifest_of(fields))
                    snapshot.blocks[cid] = (block, fields[0], fields[1])
                    held += len(block)
    return snapshot


# --- 2. the new tree and its pack ------------------------------------------------------------------------------------


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


def _fold(blocks: StoreBlocks, snapshot: _Snapshot) -> _Folded:
    changes = [(key.encode(), cid) for key, cid in zip(snapshot.keys, snapshot.manifests, strict=True)]
    applied = apply(_WithEmptyTree(blocks), snapshot.tree, changes)
    if snapshot.commit is None and applied.root == EMPTY_ROOT:
        applied.created[EMPTY_ROOT] = EMPTY_BLOCK
    old = applied.replaced
    new = [cid for cid in snapshot.manifests if cid is not None]
    commit = commits.Commit(
        bucket=snapshot.identity,
        name=snapshot.name,
        seq=snapshot.seq + 1,
        tree=applied.root,
        versions=snapshot.versions,
        prev=snapshot.commit,
        time=now_ms(),
        objects=snapshot.objects - len(old) + len(new),
        bytes=snapshot.size - _sizes(blocks, old) + sum(snapshot.blocks[cid][2] for cid in new),
        tags=snapshot.tags,
    )
    return _Folded(commit, commits.encode(commit), applied)


def _sizes(blocks: StoreBlocks, replaced: Sequence[bytes]) -> int:
    """The sum of the sizes in the manifests that the fold replaces: the tree's own word, not the index's."""
    total = 0
    for cid in _batches(replaced):
        found = blocks.get_many(set(cid))
        total += sum(decode_fast(found[one])["size"] for one in cid)
    return total


def _write_pack(context: Context, pack: PackInProgress, snapshot: _Snapshot, folded: _Folded) -> None:
    """Everything new in the order of an export, so that a later export reads the pack from front to back; durable."""
    pack.add(cids.dag_cbor_cid(folded.block), folded.block)
    for batch in _batches(list(_in_export_order(snapshot, folded.applied))):
        manifests_here = [snapshot.blocks[cid] for cid, _ in batch if cid in snapshot.blocks]
        bodies = context.blocks.inline_bodies({content for _, content, _ in manifests_here})
        for cid, block in batch:
            pack.add(cid, block)
            content = snapshot.blocks[cid][1] if cid in snapshot.blocks else None
            if content in bodies:
                pack.add(content, bodies[content])
    pack.seal()


def _in_export_order(snapshot: _Snapshot, applied: Applied) -> Iterator[tuple[bytes, bytes]]:
    """The new nodes with the new manifests in their places; depth first, links as they are encoded."""
    stack = [applied.root]
    while stack:
        cid = stack.pop()
        node = applied.created.get(cid)
        if node is not None:
            yield cid, node
            stack.extend(link for link, _ in reversed(links_of(cid, node)))
        elif cid in snapshot.blocks:
            yield cid, snapshot.blocks[cid][0]


# --- 3. the transaction ------------------------------------------------------------------------------------------------


def _enter(connection: Any, snapshot: _Snapshot) -> int:
    """Take the barrier ([FLUSH-4]); the epoch. A bucket made anew under the same name is not the one we read."""
    number, epoch = one_row(connection, "SELECT * FROM enter(%s)", (snapshot.name,))
    if number != snapshot.bucket:
        raise CommitMoved(f"bucket {snapshot.name!r} was deleted and made again during the flush")
    return int(epoch)


def _advance(connection: Any, snapshot: _Snapshot, folded: _Folded) -> None:
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
    insert_commit(connection, snapshot.bucket, cid, folded.commit)


def _hold_contents(connection: Any, snapshot: _Snapshot, pack: PackInProgress, epoch: int) -> None:
    """Every body that a folded manifest names must still be there, and stay ([FLUSH-6]).

    Since the snapshot a key may have been overwritten and its old body collected. Bodies in this pack are safe.
    """
    contents = sorted({content for _, content, _ in snapshot.blocks.values()} - pack.cids)
    for batch in _batches(contents):
        touch = "UPDATE blocks SET epoch = %s WHERE cid = ANY (%s) AND epoch < %s"
        connection.execute(touch, (epoch, bytea_array(batch), epoch))
        there = one_row(connection, "SELECT count(*) FROM blocks WHERE cid = ANY (%s)", (bytea_array(batch),))[0]
        if there != len(batch):
            raise CommitMoved(f"a body of bucket {snapshot.name!r} was overwritten and collected during the flush")


def _settle(connection: Any, snapshot: _Snapshot) -> None:
    """Remove exactly the dirty rows that were folded: by generation, and not those a writer holds ([FLUSH-7])."""
    clear = """
        WITH folded AS (
            SELECT d.key FROM unnest(%s, %s) AS f (key, generation)
            JOIN dirty d ON d.bucket = %s AND d.key = f.key AND d.generation = f.generation
            FOR UPDATE OF d SKIP LOCKED)
        DELETE FROM dirty d USING folded f WHERE d.bucket = %s AND d.key = f.key
    """
    pairs = (text_array(snapshot.keys), bigint_array(snapshot.generations))
    connection.execute(clear, (*pairs, snapshot.bucket, snapshot.bucket))


def _batches(items: Sequence[Any]) -> Any:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


