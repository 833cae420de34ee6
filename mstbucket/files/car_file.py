"""A CAR on its way out: hashed as a whole, and written a MiB at a time, from a byte offset on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import BinaryIO, Final

from mstbucket.core import car
from mstbucket.core.cid import CID, CID_SIZE, to_text
from mstbucket.errors import InvalidInput
from mstbucket.files.whole import write_all
from mstbucket.limits import MIB
from mstbucket.model.exports import ExportReport

NOTHING: Final = 1 << 62  # an offset that no file has: nothing is written before `begin_here`

_BUFFER: Final = MIB  # written at a time; small blocks come by the hundred thousand


class CarFile:
    """The file with the root *root*, as it is made. It begins with its header.

    Args:
        offset: bytes of the file that are there already: they are hashed, and not written.
        progress: called now and then with the length of the file so far.
    """

    def __init__(
        self, root: CID, target: BinaryIO, offset: int = 0, progress: Callable[[int], object] | None = None
    ) -> None:
        self._root = root
        self._target = target
        self._offset = offset
        self._progress = progress
        self._hash = sha256()
        self._held = bytearray(car.header(root))
        self._done = self.blocks = 0

    @property
    def length(self) -> int:
        """Of the file so far."""
        return self._done + len(self._held)

    def add(self, cid: CID, block: bytes) -> None:
        """Write the section of a block."""
        self._held += car.section(cid, block)
        self.blocks += 1
        if len(self._held) >= _BUFFER:
            self._write()

    def add_all(self, blocks: Iterable[tuple[CID, bytes]]) -> None:
        """Write the sections of many blocks."""
        head = car.section_head
        held, room = self._held, _BUFFER - len(self._held)
        for cid, block in blocks:
            size = len(block)
            held += head(cid, size)
            held += block
            self.blocks += 1
            room -= CID_SIZE + size
            if room <= 0:
                self._write()
                held, room = self._held, _BUFFER

    def begin_here(self) -> int:
        """Treat all that was added so far as written already, and write from here on; return the length so far."""
        self._write()
        self._offset = self._done
        return self._done

    def end(self) -> ExportReport:
        """Write what is held back, and say what the file is.

        Raises:
            InvalidInput: it ends before the offset at which the writing was to begin.
        """
        self._write()
        if self._offset > self._done:
            raise InvalidInput(f"the export has {self._done} bytes: none to write from offset {self._offset} on")
        return ExportReport(to_text(self._root), self.blocks, self._done, self._hash.hexdigest())

    def _write(self) -> None:
        held, self._held = self._held, bytearray()
        self._hash.update(held)
        there = min(max(self._offset - self._done, 0), len(held))
        self._done += len(held)
        write_all(self._target, held[there:] if there else held)
        if self._progress is not None:
            self._progress(self._done)
