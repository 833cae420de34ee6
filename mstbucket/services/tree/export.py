"""Export: the closure of a commit as one CAR. There is one order only: the same commit gives the same file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from hashlib import sha256
from typing import BinaryIO, Final

from mstbucket.core import car2
from mstbucket.core.car import Section, header
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import DAG_CBOR_PREFIX, to_text
from mstbucket.core.closure import Link, closure, go_on, retrace
from mstbucket.errors import Conflict, HashMismatch, InvalidCar, InvalidInput
from mstbucket.files.car_file import NOTHING, CarFile
from mstbucket.files.whole import write_all
from mstbucket.limits import MIB
from mstbucket.model.exports import ExportReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.workers import WorkersBlocks
from mstbucket.spill.seen import Seen
from mstbucket.spill.sort_records import SortedRecords

Progress = Callable[[int], object]

_HEADER: Final = header(DAG_CBOR_PREFIX + bytes(32))  # of any commit, but for the digest
_BEFORE_ROOT: Final = _HEADER.index(DAG_CBOR_PREFIX)


def export(
    context: Context,
    bucket: str,
    root: bytes,
    target: BinaryIO,
    progress: Progress | None,
    executor: Executor | None = None,
    offset: int = 0,
) -> ExportReport:
    """Write the closure of commit `root` of `bucket` to `target`, with a lease on it; see `Bucket.export_car`."""
    if offset < 0:
        raise InvalidInput(f"an offset of {offset} bytes: the first byte of a file has offset 0")
    out = CarFile(root, target, offset, progress)
    with Seen() as seen, error_context(context, bucket):
        if executor is None:
            out.add_all(_closure(context, root, seen))
        else:
            out.add_all(closure(WorkersBlocks(context, executor), root, seen))
    return out.end()


def _closure(context: Context, root: bytes, seen: Seen) -> Iterator[tuple[bytes, bytes]]:
    scan = context.blocks.scan()
    return closure(scan, root, seen, near=scan.near)


def resume(context: Context, bucket: str, root: bytes, file: BinaryIO, progress: Progress | None) -> ExportReport:
    """Make `file`, the beginning of the export or empty, the whole export; see `BucketView.resume_export`."""
    out = CarFile(root, file, NOTHING, progress)
    stack: list[Link] = [(root, 0)]
    with Seen() as seen, error_context(context, bucket):
        if _check_part(file, root):
            stack.clear()
            # [CAR-24] What is there is hashed, and has to be what the commit demands at its place. The store is not read.
            for cid, block, _ in retrace(_sound(file), root, stack, seen):
                out.add(cid, block)
        there = out.begin_here() if out.blocks else 0
        if not there:
            stack, out = [(root, 0)], CarFile(root, file, 0, progress)
        file.seek(there)
        file.truncate()
        out.add_all(_rest(context, root, stack, seen))
    report = out.end()
    file.flush()
    os.fsync(file.fileno())
    return report


def root_of_part(file: BinaryIO) -> bytes | None:
    """The commit that the beginning of an export in `file` is of; None where less than its header is there.

    Raises:
        InvalidCar, ForeignCar: the file is something else.
    """
    file.seek(0)
    begin = file.read(len(_HEADER))
    if len(begin) == len(_HEADER):
        file.seek(0)
        return CarReader(file).root
    if not _HEADER.startswith(begin[:_BEFORE_ROOT]):
        raise InvalidCar("the file is no beginning of an export: name another one", 0)
    return None


def _check_part(file: BinaryIO, root: bytes) -> bool:
    """Whether a part is there; raise where it is one of another export."""
    there = root_of_part(file)
    if there is not None and there != root:
        raise Conflict(f"the file is the beginning of an export of commit {to_text(there)}, and not of {to_text(root)}: "
                       "name that commit, or another file")  # fmt: skip
    return there is not None


def _sound(file: BinaryIO) -> Iterator[Section]:
    """The sections of a file up to its end, or to the first that is cut or damaged."""
    file.seek(0)
    with suppress(InvalidCar, HashMismatch):
        yield from CarReader(file)


def _rest(context: Context, root: bytes, stack: list[Link], seen: Seen) -> Iterator[tuple[bytes, bytes]]:
    if stack == [(root, 0)]:
        return _closure(context, root, seen)
    scan = context.blocks.scan()
    return go_on(scan, stack, seen, near=scan.near)


def export_indexed(context: Context, bucket: str, root: bytes, file: BinaryIO, progress: Progress | None) -> ExportReport:
    """Write the export as a CARv2, with an index, to `file`, which can be read and sought; see `BucketExports`."""
    file.write(car2.header(0))  # [CAR-20] in its final form at the end, when the size is known
    out = CarFile(root, file, 0, progress)
    with Seen() as seen, SortedRecords(car2.ENTRY_SIZE) as index, error_context(context, bucket):
        for cid, block in _closure(context, root, seen):
            index.add(car2.index_entry(cid, out.length))
            out.add(cid, block)
        payload = out.end()
        write_all(file, car2.index_head(index.count))
        for piece in index.pieces():
            write_all(file, piece)
    file.seek(0)
    write_all(file, car2.header(payload.bytes))
    file.seek(0)
    digest = sha256()
    while data := file.read(MIB):
        digest.update(data)
    return ExportReport(payload.root, payload.blocks, file.tell(), digest.hexdigest())
