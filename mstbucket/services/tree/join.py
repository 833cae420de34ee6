"""Join: the export of a commit, and a delta from it, give the export of the later commit. No store is needed ([DELTA-8])."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import BinaryIO, Final, Self

from mstbucket.core import varint
from mstbucket.core.car import Section, section_head
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, CID_SIZE, to_text, verify_block
from mstbucket.core.closure import closure
from mstbucket.core.delta_statement import DeltaStatement, decode
from mstbucket.errors import InvalidCar, MissingBlock, OtherCommit
from mstbucket.files.car_file import CarFile
from mstbucket.limits import KIB, VARINT_MAX
from mstbucket.model.exports import ExportReport
from mstbucket.spill.seen import Seen, SeenNumbers

_FIRST: Final = 2 * KIB  # read of a section at first: most have less


class BlocksInFiles:
    """The blocks of CAR files, of which the place of each is known. A `BlockSource`. A context manager."""

    def __init__(self) -> None:
        self._numbers = SeenNumbers()  # where a section starts, counted through all files
        self._files: list[BinaryIO] = []
        self._starts: list[int] = []
        self._end = 0

    def add(self, file: BinaryIO, sections: Iterator[Section]) -> Iterator[Section]:
        """Pass on the sections of *file*, and take note of each. Only the file added last may be in the middle of that."""
        base = self._end
        self._files.append(file)
        self._starts.append(base)
        for cid, block, offset in sections:
            self._numbers.add(cid, base + offset - len(section_head(cid, len(block))))
            self._end = base + offset + len(block)
            yield cid, block, offset

    def find(self, cid: CID) -> bytes | None:
        """The block of *cid*, hashed; None if it is in none of the files.

        Raises:
            InvalidCar, HashMismatch: a file was changed meanwhile.
        """
        number = self._numbers.get(cid)
        if number is None:
            return None
        at = bisect_right(self._starts, number) - 1
        offset, handle = number - self._starts[at], self._files[at].fileno()
        data = os.pread(handle, _FIRST, offset)
        length, start = varint.decode(data[:VARINT_MAX], 0)
        if start + length > len(data):
            data += os.pread(handle, start + length - len(data), offset + len(data))
        if data[start : start + CID_SIZE] != cid:
            raise InvalidCar("the file was changed while it was read: repeat the call", offset)
        block = data[start + CID_SIZE : start + length]
        verify_block(cid, block)
        return block

    def get(self, cid: CID) -> bytes:
        """The block of *cid*. Raises `MissingBlock`."""
        block = self.find(cid)
        if block is None:
            raise MissingBlock(f"block {to_text(cid)} is in none of the files").about(cid=cid)
        return block

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of *cids*. Raises `MissingBlock`."""
        return {cid: self.get(cid) for cid in cids}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._numbers.close()


def statement_of(reader: CarReader) -> DeltaStatement:
    """The statement of a delta, which is its first section.

    Raises:
        InvalidCar: the file is no delta.
        Unsupported: a newer program wrote it.
    """
    cid, block, _ = next(iter(reader), (b"", b"", 0))
    statement = decode(block) if cid == reader.root else None
    if statement is None:  # [DELTA-1]
        raise InvalidCar("the file is no delta: its first block says no base", 0)
    return statement


def join(base: BinaryIO, delta: BinaryIO, target: BinaryIO, progress: Callable[[int], object] | None) -> ExportReport:
    """Write the export that `base`, an export, and `delta` give together; see `join_cars`."""
    reader, older = CarReader(delta), CarReader(base)
    statement = statement_of(reader)
    if older.root != statement.base:
        raise OtherCommit(f"the delta is from commit {to_text(statement.base)}, and the other file is an export of "
                          f"{to_text(older.root)}").about(cid=older.root)  # fmt: skip
    out = CarFile(statement.commit, target, 0, progress)
    with BlocksInFiles() as blocks, Seen() as seen:
        for file, sections in ((base, older), (delta, reader)):
            for _ in blocks.add(file, iter(sections)):
                pass
        for cid, block in closure(blocks, statement.commit, seen):
            out.add(cid, block)
    return out.end()
