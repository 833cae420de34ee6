"""Export of what is new since an earlier commit, as a delta."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.delta import delta
from mstbucket.core.delta_statement import DeltaStatement, encode
from mstbucket.files.car_file import CarFile
from mstbucket.model.exports import ExportReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.spill.seen import Seen


def export_delta(
    context: Context, bucket: str, statement: DeltaStatement, target: BinaryIO, progress: Callable[[int], object] | None
) -> ExportReport:
    """Write the delta between two commits of `bucket`, with a lease on both; see `BucketExports.export_delta`."""
    first = encode(statement)
    cid = dag_cbor_cid(first)
    out = CarFile(cid, target, 0, progress)
    out.add(cid, first)
    with Seen() as seen, error_context(context, bucket):
        for one, block in delta(context.blocks, statement, seen):
            out.add(one, block)
    return out.end()
