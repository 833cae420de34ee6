"""What comes in as a file: its first block says what the file is, before the rest is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from mstbucket.core import commit as commits
from mstbucket.core import delta_statement as deltas
from mstbucket.core.car_reader import CarReader
from mstbucket.core.commit import Commit
from mstbucket.core.delta_statement import DeltaStatement
from mstbucket.errors import CorruptionError, FormatError, Unsupported
from mstbucket.model.streams import Readable


@dataclass(frozen=True, slots=True)
class Arriving:
    """A file that is about to be read.

    Attributes:
        stream: the file from its beginning.
        delta: its statement, where it is a delta.
        commit: its commit, where it is an export. Where both are None, the reader of the file says what is wrong with it.
    """

    stream: Readable
    delta: DeltaStatement | None
    commit: Commit | None


def look_at(stream: Readable) -> Arriving:
    """Read the beginning of a file.

    Raises:
        Unsupported: a delta of a newer program.
    """
    file = _Rewindable(stream)
    delta = commit = None
    with suppress(FormatError, CorruptionError):
        reader = CarReader(file)
        cid, block, _ = next(iter(reader), (b"", b"", 0))
        if cid == reader.root:
            delta = deltas.decode(block)
            with suppress(Unsupported):
                commit = commits.decode(block) if delta is None else None
    return Arriving(file.again(), delta, commit)


class _Rewindable:
    """A stream that can be read again from its beginning, once."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pieces: list[bytes] = []

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        self._pieces.append(piece)
        return piece

    def again(self) -> Readable:
        return Pieces(iter([b"".join(self._pieces)]), self._stream)


class Pieces:
    """A stream made of pieces, and of another stream behind them."""

    def __init__(self, pieces: Iterator[bytes], rest: Readable | None = None) -> None:
        self._pieces = pieces
        self._rest = rest
        self._held = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Up to *size* bytes, none at the end."""
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b"" if self._rest is None else self._rest.read(size)
            self._held = memoryview(piece)
        data, self._held = bytes(self._held[:size]), self._held[size:]
        return data
