"""Which blocks were seen: a set of CIDs, and one that keeps a number for each, as large as the disk allows.

Nothing else in a verifier or an exporter grows with the file. Up to `MEMORY_MAX` blocks are Python containers of CIDs;
a full one is written out as a sorted run, 16 bytes a block, in temporary files (`spill.runs`).

On disk a CID is represented by its *token*, a hash (BLAKE2b) under a secret drawn for each set. Nobody who writes a
file knows the secret. So nobody can prepare two CIDs that share a token, or tokens that crowd one place of the index,
with any amount of work. The codec is part of the CID, so the same bytes as `raw` and as `dag-cbor` are two blocks. What
chance leaves is stated at each class.
"""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from mstbucket.core.cid import CID
from mstbucket.errors import InvalidInput
from mstbucket.spill.runs import RECORD, Runs

MEMORY_MAX: Final = 1 << 18  # entries held as Python objects, 30 to 60 MB
NUMBER_BITS: Final = 48
_NUMBER: Final = NUMBER_BITS // 8
_KEY: Final = RECORD - _NUMBER

_Memory = TypeVar("_Memory", set[CID], dict[CID, int])


class _Tokens(Generic[_Memory]):
    """What both have: entries in memory, their tokens on disk past a number of them, and the end of both."""

    __slots__ = ("_hash", "_memory", "_memory_max", "_runs", "_written")

    def __init__(self, token_size: int, memory: _Memory, memory_max: int) -> None:
        self._hash = blake2b(digest_size=token_size, key=token_bytes(32))
        self._memory: _Memory = memory
        self._memory_max = memory_max
        self._runs = Runs(memory_max)
        self._written = 0  # entries in runs

    def _token(self, cid: CID) -> bytes:
        state = self._hash.copy()
        state.update(cid)
        return state.digest()

    def __len__(self) -> int:
        return self._written + len(self._memory)

    def close(self) -> None:
        """Give memory and files back; it is empty afterwards. Closing again does nothing."""
        self._memory.clear()
        self._runs.close()
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Seen(_Tokens[set[CID]]):
    """A set of CIDs, exact but for chance: of 2**30 CIDs, two share a token of 128 bits with a probability of 2**-69.

    Adding one takes a fraction of a microsecond in memory. With runs on disk it takes about one for each of them, and
    two for its share in writing them; there is one up to two million blocks, two up to sixteen million. Not for use by
    several threads at once. The temporary files are removed by `close`, by leaving the ``with`` block, and by the
    process's end, however it ends.

    Any method raises `StorageError` when the temporary directory is full or fails: free space, start the run again.
    """

    __slots__ = ()

    def __init__(self, memory_max: int = MEMORY_MAX) -> None:
        super().__init__(RECORD, set[CID](), memory_max)

    def add(self, cid: CID) -> bool:
        """Add *cid* and return True, or return False if it was added before."""
        memory = self._memory
        if cid in memory or (self._written and self._runs.find(self._token(cid)) is not None):
            return False
        # [VER-20] 16 bytes a block, past a constant amount of memory
        if len(memory) >= self._memory_max:
            self._runs.add([self._token(one) for one in memory])
            self._written += len(memory)
            memory.clear()
        memory.add(cid)
        return True

    def __contains__(self, cid: CID) -> bool:
        memory = self._memory
        return cid in memory or (self._written > 0 and self._runs.find(self._token(cid)) is not None)


class SeenNumbers(_Tokens[dict[CID, int]]):
    """A map of CIDs to numbers of 48 bits, exact but for chance, in the same 16 bytes a block as `Seen`.

    Tokens have 80 bits. With 2**30 CIDs in the map, another CID is found by mistake with a probability of 2**-50. Any two
    of them share a token with a probability of 2**-21 (2**-41 for a million): then the second is refused as a repetition.
    Time, files and errors are as with `Seen`.
    """

    __slots__ = ()

    def __init__(self, memory_max: int = MEMORY_MAX) -> None:
        super().__init__(_KEY, dict[CID, int](), memory_max)

    def add(self, cid: CID, number: int) -> bool:
        """Keep *number* for *cid* and return True, or change nothing and return False if there is one already.

        Raises:
            InvalidInput: *number* is not in 0 .. 2**48 - 1.
        """
        if number >> NUMBER_BITS:
            raise InvalidInput(f"{number} cannot be kept: 0 to 2**{NUMBER_BITS} - 1 can")
        memory = self._memory
        if cid in memory or (self._written and self._runs.find(self._token(cid)) is not None):
            return False
        # [VER-20] 16 bytes a block, past a constant amount of memory
        if len(memory) >= self._memory_max:
            self._runs.add([self._token(one) + kept.to_bytes(_NUMBER, "big") for one, kept in memory.items()])
            self._written += len(memory)
            memory.clear()
        memory[cid] = number
        return True

    def get(self, cid: CID) -> int | None:
        """Return the number kept for *cid*, or None."""
        number = self._memory.get(cid)
        if number is not None or not self._written:
            return number
        record = self._runs.find(self._token(cid))
        return None if record is None else int.from_bytes(record[_KEY:], "big")
