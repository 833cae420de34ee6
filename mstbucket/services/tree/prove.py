"""Make a proof: answer the question from the store, and write down every block that this takes."""

from __future__ import annotations

from typing import BinaryIO

from mstbucket.core import car, manifest, statement
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.keys import encode_key
from mstbucket.core.mst.walk import get
from mstbucket.core.s3rules.ranges import parse_range
from mstbucket.core.statement import KeyQuestion, PageQuestion, Statement
from mstbucket.errors import NoSuchKey
from mstbucket.files.whole import write_all
from mstbucket.index.leases import Kept
from mstbucket.model.looks import Proved
from mstbucket.verify.answer import accept_any, answer
from mstbucket.verify.proved import proved


def prove(blocks: BlockSource, commit: CID, question: KeyQuestion | PageQuestion, target: BinaryIO) -> Proved:
    """Write the proof of what *commit* says about *question*, and return what it proves. Memory is bounded."""
    stated = statement.encode(Statement(commit, question))
    root = dag_cbor_cid(stated)
    write_all(target, car.header(root))

    def take(cid: CID, _what: str) -> bytes:
        block = stated if cid == root else blocks.get(cid)
        write_all(target, car.section(cid, block))
        return block

    return proved(answer(root, take, lambda _data: None, accept_any))


def body_of(blocks: BlockSource, commit: Kept, key: str, range_: str | None) -> tuple[int, int]:
    """Which bytes of the object under *key* in *commit* are asked for; all of them where *range_* is None.

    Raises:
        NoSuchKey: the commit does not hold it.
        InvalidRange: it has no such bytes.
    """
    cid = get(blocks, commit.tree, encode_key(key))
    if cid is None:
        raise NoSuchKey(f"commit {commit.seq} of bucket {commit.name!r} has no object {key!r}, and so none of its bytes")
    size = manifest.decode(blocks.get(cid)).size
    assert size is not None  # the tree of objects holds no delete markers
    return (0, size) if range_ is None else parse_range(range_, size)
