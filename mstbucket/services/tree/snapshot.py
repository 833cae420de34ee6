"""What a flush starts from: in one snapshot the commit, the dirty keys, generations and rows ([FLUSH-2])."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.keys import TOP
from mstbucket.core.mst.node import EMPTY_ROOT
from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.rows import MANIFEST_COLUMNS, manifest_of
from mstbucket.limits import MIB
from mstbucket.pg.queries import server_cursor
from mstbucket.services.blocks.context import Context

# Of each of the two trees:
FLUSH_KEYS: Final = 50_000  # folded into one commit at most; 1.3 KB held for each meanwhile, and more is not faster
FLUSH_MANIFESTS: Final = 64 * MIB  # of manifests held from the snapshot to the pack; reached first if they are large
_BATCH: Final = 1000  # rows asked for at a time


@dataclass(slots=True)
class Changes:
    """What one tree is to become: its root, and of every dirty row in order the key, the generation, the new manifest.

    `seqs` are those of versions; for objects they are not used. `held` is the size of the manifests it brought along.
    """

    root: bytes
    held: int = 0
    keys: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    manifests: list[bytes | None] = field(default_factory=list)  # CID, or None where the row is gone

    def cut(self, size: int) -> None:
        """Forget all changes but the first *size*."""
        for column in (self.keys, self.seqs, self.generations, self.manifests):
            del column[size:]


@dataclass(slots=True)
class Snapshot:
    """What one flush folds: the state it starts from, and what its two trees are to become."""

    bucket: int
    identity: str
    name: str
    seq: int
    commit: bytes | None
    live: Changes
    versions: Changes
    objects: int
    size: int
    tags: dict[str, str]  # of the bucket
    tags_dirty: int | None  # generation of a change of them, or of the versioning, that no commit has yet
    versioning: str | None
    time: int  # by the database's clock
    # CID -> manifest block, CID of the body, its size; the last two None for a delete marker
    blocks: dict[bytes, tuple[bytes, bytes | None, int | None]] = field(default_factory=dict)
    more: bool = False  # there were more dirty rows than one flush folds

    @property
    def changes(self) -> int:
        """How many rows it folds."""
        return len(self.live.keys) + len(self.versions.keys)

    def add(self, changes: Changes, key: str, seq: int, generation: int, cid: bytes | None, row: Sequence[Any]) -> None:
        """Take one dirty row; *row* has the columns of its manifest, where there is one."""
        changes.keys.append(key)
        changes.seqs.append(seq)
        changes.generations.append(generation)
        changes.manifests.append(cid)
        if cid is not None and cid not in self.blocks:
            block = manifests.encode(manifest_of(row))
            self.blocks[cid] = (block, row[0], row[1])
            changes.held += len(block)


_HEAD: Final = """
    SELECT b.id, b.identity, b.name, b.seq, b.commit, b.tags, b.tags_dirty, b.versioning, now_ms(),
           c.tree, c.versions, c.objects, c.bytes
    FROM buckets b LEFT JOIN commits c ON c.bucket = b.id AND c.seq = b.seq WHERE b.name = %s
"""
_LIVE: Final = f"""
    SELECT d.key, 0::bigint, d.generation, o.manifest, {MANIFEST_COLUMNS}
    FROM dirty d LEFT JOIN objects o ON o.bucket = d.bucket AND o.key = d.key
    WHERE d.bucket = %s AND d.key <= %s ORDER BY d.key LIMIT %s
"""
_VERSIONS: Final = f"""
    SELECT d.key, d.seq, d.generation, v.manifest, {MANIFEST_COLUMNS}
    FROM dirty_versions d LEFT JOIN versions v ON v.bucket = d.bucket AND v.key = d.key AND v.seq = d.seq
    WHERE d.bucket = %s AND d.key <= %s ORDER BY d.key, d.seq DESC LIMIT %s
"""


def take_snapshot(context: Context, bucket: str) -> Snapshot:
    with context.db.snapshot() as connection:
        row = connection.execute(_HEAD, (bucket,), binary=True).fetchone()
        if row is None:
            raise no_such_bucket(bucket)
        number, identity, name, seq, commit, tags, tags_dirty, versioning, time, tree, versions, objects, size = row
        live, past = Changes(tree or EMPTY_ROOT), Changes(versions or EMPTY_ROOT)
        snapshot = Snapshot(
            number, identity, name, seq, commit, live, past, objects or 0, size or 0,
            tags or {}, tags_dirty, versioning, time,
        )  # fmt: skip
        # Where not all fits, the cut is between two keys: in no commit does an object miss that became a version.
        _read(connection, _VERSIONS, snapshot, past, TOP)
        last = TOP
        if snapshot.more:
            _drop_last_key(past)
            last = past.keys[-1]
        full = snapshot.more
        snapshot.more = False
        _read(connection, _LIVE, snapshot, live, last)
        if snapshot.more:
            past.cut(bisect_right(past.keys, live.keys[-1]))
        snapshot.more |= full
    return snapshot


def _read(connection: Any, query: str, snapshot: Snapshot, changes: Changes, last: str) -> None:
    """Take the dirty rows up to the key *last*, as many as fit."""
    with server_cursor(connection, "folding", _BATCH) as cursor:
        for key, seq, generation, cid, *row in cursor.execute(query, (snapshot.bucket, last, FLUSH_KEYS + 1)):
            if len(changes.keys) >= FLUSH_KEYS or changes.held >= FLUSH_MANIFESTS:
                snapshot.more = True
                break
            snapshot.add(changes, key, seq, generation, cid, row)


def _drop_last_key(changes: Changes) -> None:
    """Forget the last key, which may have more changes than were read; not if it is the only one."""
    first = bisect_left(changes.keys, changes.keys[-1])
    if first:
        changes.cut(first)
