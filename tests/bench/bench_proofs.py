"""Change proofs: a hundred changes, made, checked and counted. CPU time in memory, beside hashing the blocks of the proof.

MSTBUCKET_BENCH_KEYS sets the number of keys; the figures that are wanted are those of a million.
"""

from __future__ import annotations

import io
import os

from bench_tree import hash_all, make_changes, make_pairs
from rows import Row, cpu_seconds

from mstbucket.core import commit as commits
from mstbucket.core import commit_fields
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.commit import Commit
from mstbucket.core.mst.apply import apply
from mstbucket.core.mst.build import build
from mstbucket.services.tree.prove import prove_changes
from mstbucket.verify.answer import accept_any
from mstbucket.verify.proof import check_proof

KEYS = int(os.environ.get("MSTBUCKET_BENCH_KEYS", "100000"))
CHANGED = 100
SECONDS_MAX = 0.050
COVERING_MAX = 1.05  # nodes of the proof for each that the changes made: no proof can do with fewer


def run() -> list[Row]:
    """Updates, inserts and deletes, at random."""
    blocks = MemoryBlocks()
    pairs = make_pairs(KEYS)
    first = build(pairs, blocks.put)
    since = _commit(blocks, Commit(commit_fields.bucket_id(bytes(16)), "bench", 1, first, 1, KEYS, 0))
    rows = []
    for kind in ("update", "mixed"):
        applied = apply(blocks, first, make_changes(pairs, CHANGED, kind))
        blocks.blocks |= applied.created
        after = Commit(commit_fields.bucket_id(bytes(16)), "bench", 2, applied.root, 2, KEYS, 0, prev=since)
        rows += _rows(kind, blocks, since, _commit(blocks, after), len(applied.created))
    return rows


def _rows(kind: str, blocks: MemoryBlocks, since: bytes, commit: bytes, created: int) -> list[Row]:
    file = io.BytesIO()
    prove_changes(blocks, since, blocks, commit, file)
    sections = [block for _, block, _ in CarReader(io.BytesIO(file.getvalue()))]
    nodes = len(sections) - 3  # beside the statement and the commits
    floor = cpu_seconds(lambda: hash_all(sections))
    made = cpu_seconds(lambda: prove_changes(blocks, since, blocks, commit, io.BytesIO()))
    checked = cpu_seconds(lambda: check_proof(io.BytesIO(file.getvalue()), commit, since, accept_any, len))
    each, size = nodes / CHANGED, len(file.getvalue())
    of = f"{kind}: {CHANGED} of {KEYS:,}"
    return [
        Row(f"make, {of}", made * 1e3, "ms", "hashing", made / floor, f"<= {SECONDS_MAX * 1e3:.0f} ms", made <= SECONDS_MAX),
        Row(f"check, {of}", checked * 1e3, "ms", "hashing", checked / floor, f"<= {SECONDS_MAX * 1e3:.0f} ms",
            checked <= SECONDS_MAX),
        Row(f"nodes per change, {of}", each, "", "created", nodes / created, f"<= {COVERING_MAX}x",
            nodes <= COVERING_MAX * created),
        Row(f"file, {of}", size, "bytes", "its nodes", size / sum(map(len, sections[3:])), "", True),
    ]  # fmt: skip


def _commit(blocks: MemoryBlocks, commit: Commit) -> bytes:
    block = commits.encode(commit)
    blocks.put(dag_cbor_cid(block), block)
    return dag_cbor_cid(block)
