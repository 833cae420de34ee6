"""Repair of a tree: a new commit, made from all rows of a bucket and not from the trees of the one before ([CHECK-22]).

It is a flush that reads no node. One snapshot gives the rows, the changes and the head; then the trees are built, and all
their nodes and manifests come into packs as an import's blocks do; then one transaction moves the commit, as a flush's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from mstbucket.core import commit as commits
from mstbucket.core import commit_fields
from mstbucket.core import manifest as manifests
from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, CID_SIZE, dag_cbor_cid, to_text
from mstbucket.core.keys import split_version_key, version_key
from mstbucket.core.mst.build import build
from mstbucket.errors import CommitMoved, InvalidInput, Unsupported, Untrue
from mstbucket.index import commits as commit_rows
from mstbucket.index import dirty, repairs
from mstbucket.index.commits import Head, read_head
from mstbucket.index.tx import enter
from mstbucket.limits import COMMIT_SEQ_MAX, FINDINGS_MAX, KEY_MAX, VERSION_KEY_MAX
from mstbucket.model.repairs import Loss, RepairReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.check.found import shown_key
from mstbucket.services.check.nodes import Hole, fetch, in_order
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.sealing import seal
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.spill.scratch import scratch

_ATTEMPTS: Final = 10
_BATCH: Final = 256


class _Item(NamedTuple):
    """A row, put aside: its key in the tree, its manifest (with the bytes of it), and what marks it as changed."""

    stored: bytes
    seq: int
    generation: int | None
    cid: CID | None
    block: bytes


def repair_tree(context: Context, bucket: str, accept_loss: bool) -> RepairReport:
    """Make the trees of a bucket from its rows, in a new commit; see `Store.repair_tree`."""
    for attempt in range(_ATTEMPTS):
        try:
            report = _repair(context, bucket, accept_loss)
        except CommitMoved:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        if report.applied:
            publish_made(context, bucket, f"the tree of bucket {bucket!r} is made")
        return report
    raise AssertionError("the last attempt returns or raises")


def _repair(context: Context, bucket: str, accept_loss: bool) -> RepairReport:
    with _Aside() as objects, _Aside() as versions:
        with context.db.snapshot() as connection:
            head = read_head(connection, bucket)
            repairs.read_rows(
                connection, head.bucket, lambda row: objects.put(bucket, row, row.key.encode()),
                lambda row: versions.put(bucket, row, version_key(row.key.encode(), row.seq)),
            )  # fmt: skip
        if head.seq >= COMMIT_SEQ_MAX:  # [COM-13]
            raise Unsupported(f"bucket {bucket!r} has had commit {head.seq}, the last there can be")
        lost = _lost(context, head, head.tree, objects, KEY_MAX)
        lost += _lost(context, head, head.versions, versions, VERSION_KEY_MAX)
        if lost and not accept_loss:
            return RepairReport(False, 0, lost)
        _look_at_manifests(context, (objects, versions))
        with Staged(context) as staged:
            tree = _stage(context, staged, objects)
            past = _stage(context, staged, versions)
            commit = commits.Commit(
                bucket=head.identity, name=head.name, seq=head.seq + 1, tree=tree,
                versions=None if past == commits.EMPTY_TREE else past, prev=head.commit, time=head.now,
                objects=objects.count, bytes=objects.bytes, tags=head.tags or {},
                config=commit_fields.config(head.versioning),
            )  # fmt: skip
            commit, cid, block = seal(commit, context.signer)
            staged.add(cid, block)
            staged.seal()
            staged.record()
            _switch(context, staged, head, cid, commit, objects, versions)
        return RepairReport(True, objects.count + versions.count, lost)


class _Aside:
    """The rows of one tree in a temporary file, in the order of the tree.

    Attributes:
        count, bytes: rows with a manifest, and the sum of the sizes of their bodies.
    """

    def __init__(self) -> None:
        self._file = scratch("the rows of a tree were put aside")
        self.count = self.bytes = 0

    def __enter__(self) -> _Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, bucket: str, row: repairs.Row, stored: bytes) -> None:
        """Take a row. Raises `Untrue` where its columns do not give the manifest that it names."""
        block = b""
        if row.cid is not None and row.manifest is not None:
            try:
                block = manifests.encode(row.manifest)
            except InvalidInput as error:
                raise Untrue(f"the row of {row.key!r} is that of no manifest: repair the index first").about(
                    bucket=bucket, key=row.key
                ) from error
            if dag_cbor_cid(block) != row.cid:
                said = f"the row of {row.key!r} is not that of its manifest {to_text(row.cid)}: repair the index first"
                raise Untrue(said).about(bucket=bucket, key=row.key, cid=row.cid)
            self.count += 1
            self.bytes += row.manifest.size or 0
        head = f"{row.seq} {-1 if row.generation is None else row.generation} {len(stored)} {len(block)}\n".encode()
        self._file.write(head + stored + (row.cid or bytes(CID_SIZE)) + block)

    def __iter__(self) -> Iterator[_Item]:
        self._file.seek(0)
        while head := self._file.readline():
            seq, generation, key_size, size = map(int, head.split())
            stored = self._file.read(key_size)
            cid: CID | None = self._file.read(CID_SIZE)
            block = self._file.read(size)
            yield _Item(stored, seq, None if generation < 0 else generation, cid if block else None, block)

    def pairs(self) -> Iterator[tuple[bytes, CID]]:
        """Key and manifest of the rows that have one."""
        return ((item.stored, item.cid) for item in self if item.cid is not None)


def _lost(context: Context, head: Head, root: CID | None, aside: _Aside, key_max: int) -> tuple[Loss, ...]:
    """Keys that the tree has where it can be read, and the index does not, changed or not."""
    if root is None or head.commit is None:
        return ()
    known = iter(aside)
    item = next(known, None)
    lost: list[Loss] = []
    for entry in in_order(context.blocks, root, key_max, (None, head.commit)):
        if isinstance(entry, Hole):
            continue
        while item is not None and item.stored < entry.key:
            item = next(known, None)
        if (item is None or item.stored != entry.key) and len(lost) < FINDINGS_MAX:
            shown = shown_key(entry.key, version=key_max == VERSION_KEY_MAX)
            lost.append(Loss(head.name, shown, "the tree has the key, and the index does not: repair the index to keep it"))
    return tuple(lost)


def _look_at_manifests(context: Context, asides: tuple[_Aside, ...]) -> None:
    """Read the manifests that are in the store, so that the packs which have lost one are recorded as damaged ([PUT-13])."""
    for aside in asides:
        for batch in in_batches((cid for _, cid in aside.pairs()), _BATCH):
            fetch(context.blocks, batch)


def _stage(context: Context, staged: Staged, aside: _Aside) -> CID:
    """Write nodes, manifests, and the small bodies that the database holds; the root of the tree."""
    batch: dict[CID, CID] = {}

    def write_bodies() -> None:
        for cid, body in context.blocks.inline_bodies(set(batch.values())).items():
            staged.add(cid, body)
        batch.clear()

    for item in aside:
        if item.cid is None:
            continue
        staged.add(item.cid, item.block)
        content = manifests.decode(item.block).content
        if content is not None:
            batch[item.cid] = content
        if len(batch) >= _BATCH:
            write_bodies()
    write_bodies()
    nodes: list[tuple[CID, bytes]] = []

    def put(cid: CID, block: bytes) -> None:
        nodes.append((cid, block))
        if len(nodes) >= _BATCH:
            write_nodes()

    def write_nodes() -> None:
        fetch(context.blocks, [cid for cid, _ in nodes])  # [PUT-13] as of manifests
        for cid, block in nodes:
            staged.add(cid, block)
        nodes.clear()

    root = build(aside.pairs(), put)
    write_nodes()
    return root


def _switch(
    context: Context, staged: Staged, head: Head, cid: CID, commit: commits.Commit, objects: _Aside, versions: _Aside
) -> None:
    """Move the commit, as a flush does ([FLUSH-5] to [FLUSH-7])."""
    with context.db.transaction() as connection:
        tx = enter(connection, head.name)
        if tx.bucket != head.bucket or not commit_rows.advance(tx, head, cid, commit.seq):
            raise CommitMoved(f"somebody else flushed bucket {head.name!r} meanwhile")
        commit_rows.insert(tx, cid, commit, whole=True)
        staged.withdraw(tx)
        for aside, is_version in ((objects, False), (versions, True)):
            keys: list[str] = []
            seqs: list[int] = []
            generations: list[int] = []
            bodies: set[CID] = set()
            for item in aside:
                if item.block:
                    content = manifests.decode(item.block).content
                    if content is not None:
                        bodies.add(content)
                if item.generation is not None:
                    keys.append(_row_key(item.stored, is_version))
                    seqs.append(item.seq)
                    generations.append(item.generation)
                if len(bodies) >= 1000:
                    tx.touch(bodies)
                    bodies = set()
            if bodies:
                tx.touch(bodies)
            if keys and is_version:
                dirty.clear_versions(tx, keys, seqs, generations)
            elif keys:
                dirty.clear_objects(tx, keys, generations)


def _row_key(stored: bytes, is_version: bool) -> str:
    return split_version_key(stored)[0].decode() if is_version else stored.decode()
