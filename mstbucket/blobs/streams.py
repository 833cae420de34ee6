"""A pack as a stream of the CAR it holds, for passes over all of it."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Final, cast

from mstbucket.blobs.reader import Ranges
from mstbucket.limits import MIB

_WINDOW: Final = MIB


def pack_stream(packs: Ranges, name: str) -> BinaryIO:
    """The CAR in the blob `name`, from its start; reading it raises what `packs.get_range` does."""
    return cast("BinaryIO", io.BufferedReader(_Plain(packs, name), _WINDOW))


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
