"""Export: the closure of a commit as one CAR. There is one order only: the same commit gives the same file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import BinaryIO, Final

from mstbucket.core import car
from mstbucket.core.cid import to_text
from mstbucket.core.closure import closure
from mstbucket.files.whole import write_all
from mstbucket.limits import MIB
from mstbucket.model.objects import ExportReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.workers import WorkersBlocks
from mstbucket.spill.seen import Seen

_BUFFER: Final = MIB  # written at a time; small blocks come by the hundred thousand


def export(
    context: Context,
    bucket: str,
    root: bytes,
    target: BinaryIO,
    progress: Callable[[int], object] | None,
    executor: Executor | None = None,
) -> ExportReport:
    """Write the closure of commit `root` of `bucket` to `target`, with a lease on it; see `Bucket.export_car`."""
    source = context.blocks.scan() if executor is None else WorkersBlocks(context, executor)
    held = bytearray(car.header(root))
    written = blocks = 0
    with Seen() as seen, error_context(context, bucket):
        for cid, block in closure(source, root, seen):
            held += car.section(cid, block)
            blocks += 1
            if len(held) >= _BUFFER:
                written += write_all(target, held)
                if progress is not None:
                    progress(written)
                held = bytearray()
    written += write_all(target, held)
    if progress is not None:
        progress(written)
    return ExportReport(to_text(root), blocks, written)
