"""Export of a part of a bucket: the keys with a prefix, as a proof that they are all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from mstbucket.core import statement
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.statement import PartQuestion, Statement
from mstbucket.files.car_file import CarFile
from mstbucket.model.exports import ExportReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.verify.answer import accept_any, answer


def export_part(
    context: Context, bucket: str, commit: CID, prefix: str, target: BinaryIO, progress: Callable[[int], object] | None
) -> ExportReport:
    """Write everything that `commit` holds under `prefix`, with a lease on it; see `Exports.export_part`."""
    first = statement.encode(Statement(commit, PartQuestion(prefix)))
    root = dag_cbor_cid(first)
    out = CarFile(root, target, 0, progress)
    source = context.blocks.scan()

    def take(cid: CID, _what: str) -> bytes:
        block = first if cid == root else source.get(cid)
        out.add(cid, block)
        return block

    with error_context(context, bucket):
        answer(root, take, lambda _data: None, accept_any)
    return out.end()
