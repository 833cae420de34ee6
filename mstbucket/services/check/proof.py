"""Level `proof`: manifests made anew from the rows, and the trees and the commit made anew from those ([CHECK-8])."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from mstbucket.core import commit as commits
from mstbucket.core import manifest as manifests
from mstbucket.core.cid import CID_SIZE, dag_cbor_cid, to_text
from mstbucket.core.keys import version_key
from mstbucket.core.mst.build import build
from mstbucket.core.mst.walk import walk
from mstbucket.errors import CorruptionError, FormatError, InvalidInput, NoSuchBucket, NoSuchCommit
from mstbucket.index import check_rows
from mstbucket.index.check_rows import KeptRow, Pair
from mstbucket.index.leases import Kept
from mstbucket.pg.database import Database
from mstbucket.services.blocks.context import Context
from mstbucket.services.check.found import Part
from mstbucket.services.tree.held import HeldBlocks, holding_newest
from mstbucket.spill.scratch import scratch

_PAGE: Final = 2000
_ATTEMPTS: Final = 20  # to read the rows of the commit that is held: a flush came between so often
_HEAD: Final = struct.Struct("<HB")  # length of the key in the tree; what follows
_ABSENT, _CLEAN, _DIRTY = 0, 1, 2  # no manifest, and dirty; a manifest; a manifest, and dirty


def check_proof(context: Context, number: int, bucket: str) -> Part:
    """Prove that the rows of a bucket are its manifests, and that these give its commit."""
    part = Part()
    _check_rows(context.db, part, bucket, number, check_rows.objects_page)
    _check_rows(context.db, part, bucket, number, check_rows.versions_page)
    _check_commit(context, part, number, bucket)
    return part


def _check_rows(
    db: Database, part: Part, bucket: str, number: int,
    page_of: Callable[[Database, int, tuple[str, int], int], list[KeptRow]],
) -> None:  # fmt: skip
    after = ("", 0)
    while True:
        page = page_of(db, number, after, _PAGE)
        for row in page:
            try:
                made = dag_cbor_cid(manifests.encode(row.manifest))
                said = None if made == row.cid else f"its columns give manifest {to_text(made)}"
            except InvalidInput as error:
                said = f"its columns give no manifest: {error}"
            if said is not None:
                key = f"{row.key}@{row.seq}" if row.seq else row.key
                part.add("proof.row", f"{said}, and its row names {to_text(row.cid)}", bucket=bucket, key=key, cid=row.cid)
        if len(page) < _PAGE:
            return
        after = (page[-1].key, page[-1].seq)


class _Aside:
    """The pairs of one tree, put aside in a temporary file while the snapshot is held, to be read afterwards."""

    def __init__(self) -> None:
        self._file = scratch("the rows of a tree were put aside", "the check")

    def put(self, key: bytes, pair: Pair) -> None:
        state = _ABSENT if pair.manifest is None else _DIRTY if pair.dirty else _CLEAN
        self._file.write(_HEAD.pack(len(key), state) + key + _cid_of(pair))

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None, bool]]:
        """Key, manifest, and whether it is dirty."""
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            length, state = _HEAD.unpack(head)
            key = self._file.read(length)
            yield key, None if state == _ABSENT else self._file.read(CID_SIZE), state != _CLEAN

    def close(self) -> None:
        self._file.close()


def _cid_of(pair: Pair) -> bytes:
    """The manifest in the length that all have: one of another length is told by the rules of the database."""
    return b"" if pair.manifest is None else pair.manifest[:CID_SIZE].ljust(CID_SIZE, b"\0")


def _check_commit(context: Context, part: Part, number: int, bucket: str) -> None:
    for _ in range(_ATTEMPTS):
        try:
            with holding_newest(context, bucket) as (held, blocks):
                if held.bucket != number or _prove_commit(part, context.db, held, blocks):
                    return
        except (NoSuchBucket, NoSuchCommit):  # it has gone, or has no commit yet
            return
    part.incomplete.append(f"the proof of bucket {bucket!r} came to no end: it is flushed all the time")


def _prove_commit(part: Part, db: Database, held: Kept, blocks: HeldBlocks) -> bool:
    """Prove the commit on which there is a lease; False where the rows are of another one by now."""
    bucket, head = held.name, held.cid
    objects, versions = _Aside(), _Aside()
    try:
        now = check_rows.read_state(
            db, held.bucket, lambda pair: objects.put(pair.key.encode(), pair),
            lambda pair: versions.put(version_key(pair.key.encode(), pair.seq), pair),
        )  # fmt: skip
        if now != head:
            return False
        commit = commits.decode(blocks.get(head))
        tree = _built(blocks, objects, commit.tree)
        past = _built(blocks, versions, commit.versions)
    except (CorruptionError, FormatError, InvalidInput) as error:  # what is wrong has been told
        part.incomplete.append(f"the proof of bucket {bucket!r} needs what cannot be had: {error}")
        return True
    finally:
        objects.close()
        versions.close()
    for made, is_, what in ((tree, commit.tree, "objects"), (past, commit.versions or commits.EMPTY_TREE, "versions")):
        if made != is_:
            part.add("proof.tree", f"the rows give a tree of {what} with the root {to_text(made)}, and its commit has "
                     f"{to_text(is_)}", bucket=bucket, commit=head, cid=is_)  # fmt: skip
    again = replace(commit, tree=tree, versions=None if past == commits.EMPTY_TREE else past)
    made = dag_cbor_cid(commits.encode(again))
    if made != head:
        part.add("proof.commit", f"the rows give commit {to_text(made)}, and the newest is {to_text(head)}", bucket=bucket,
                 commit=head, cid=head)  # fmt: skip
    return True


def _built(blocks: HeldBlocks, aside: _Aside, root: bytes | None) -> bytes:
    """The root of the tree of the rows; a dirty key has what the tree itself has for it, which is of the same state."""
    return build(_pairs(blocks, aside, root), lambda _cid, _block: None)


def _pairs(blocks: HeldBlocks, aside: _Aside, root: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    entries = iter(()) if root is None else walk(blocks, root)
    entry = None
    for key, manifest, dirty in aside:
        if not dirty:
            assert manifest is not None
            yield key, manifest
            continue
        while entry is None or entry[0] < key:
            entry = next(entries, None)
            if entry is None:
                break
        if entry is not None and entry[0] == key:
            yield entry
