"""A pack as a stream of the CAR it holds, for passes over all of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, Final, TypeVar

from mstbucket.blobs.base import read_sure
from mstbucket.limits import MIB
from mstbucket.packs.fetch import Ranges

_WINDOW: Final = MIB
_Made = TypeVar("_Made")


def pack_stream(packs: Ranges, name: str) -> BinaryIO:
    """The CAR in the blob `name`, from its start; reading it raises what `packs.get_range` does."""
    return io.BufferedReader(_Plain(packs, name), _WINDOW)


def read_pack(packs: Ranges, name: str, work: Callable[[BinaryIO], _Made]) -> _Made:
    """What `work` makes of the CAR in the blob `name`; made again, of bytes past everything kept, where they are wrong.

    [PACK-10] So what is wrong in the end is wrong where it is stored. `work` reads the stream with a `CarReader`, and has
    to have no effect where it fails.

    Raises:
        CorruptionError, FormatError, NoSuchBlob: the blob is damaged, or is not there.
    """

    def made() -> _Made:
        with pack_stream(packs, name) as stream:
            return work(stream)

    return read_sure(packs, name, made)


class _Plain(io.RawIOBase):
    def __init__(self, packs: Ranges, name: str) -> None:
        super().__init__()
        self._packs = packs
        self._name = name
        self._at = 0
        self._end = packs.head(name).size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._packs.get_range(self._name, self._at, min(len(buffer), self._end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
