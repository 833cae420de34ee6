"""Which blocks were seen: a set of CIDs, and one that keeps a number for each, as large as the disk allows.

Both hold 16 bytes a block, and nothing else in a verifier or an exporter grows with the file. Up to `MEMORY_MAX` blocks
they are Python containers; past it, sorted runs in temporary files (`verify.runs`).

A CID is represented by its *token*, a hash (BLAKE2b) under a secret drawn for each set. Nobody who writes a file knows
the secret, so with no amount of work can anybody prepare two CIDs that share a token, or tokens that crowd one place of
the index. The codec is part of the CID, so the same bytes as `raw` and as `dag-cbor` are two blocks. What chance leaves
is stated at each class.
"""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes
from types import TracebackType
from typing import Final, Self

from mstbucket.core.cid import CID
from mstbucket.errors import InvalidInput
from mstbucket.verify.runs import RECORD, Runs

MEMORY_MAX: Final = 1 << 18  # entries held as Python objects, 30 to 50 MB; then they are written out as a run
NUMBER_BITS: Final = 48
_NUMBER: Final = NUMBER_BITS // 8
_KEY: Final = RECORD - _NUMBER


class Seen:
    """A set of CIDs, exact but for chance: of 2**30 CIDs, two share a token of 128 bits with a probability of 2**-69.

    Adding one takes under a microsecond in memory, and about one more for each run on disk, of which there is one up to
    two million blocks, two up to sixteen million. Not for use by several threads at once. The temporary files are
    removed by `close`, by leaving the ``with`` block, and by the process's end, however it ends.

    Any method raises `StorageError` when the temporary directory is full or fails: free space, start the run again.
    """

    __slots__ = ("_hash", "_memory", "_memory_max", "_runs", "count")

    def __init__(self, memory_max: int = MEMORY_MAX) -> None:
        self._hash = blake2b(digest_size=RECORD, key=token_bytes(32))
        self._memory: set[bytes] = set()
        self._memory_max = memory_max
        self._runs = Runs(memory_max)
        self.count = 0

    def add(self, cid: CID) -> bool:
        """Add *cid* and return True, or return False if it was added before."""
        # [VER-21] 16 bytes a block, and a constant amount of memory
        state = self._hash.copy()
        state.update(cid)
        token = state.digest()
        memory = self._memory
        if token in memory or (self.count > len(memory) and self._runs.find(token) is not None):
            return False
        if len(memory) >= self._memory_max:
            self._runs.add(list(memory))
            memory.clear()
        memory.add(token)
        self.count += 1
        return True

    def __contains__(self, cid: CID) -> bool:
        state = self._hash.copy()
        state.update(cid)
        token = state.digest()
        return token in self._memory or self._runs.find(token) is not None

    def __len__(self) -> int:
        return self.count

    def close(self) -> None:
        """Give memory and files back; the set is empty afterwards. Closing again does nothing."""
        self._memory.clear()
        self._runs.close()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class SeenNumbers:
    """A map of CIDs to numbers of 48 bits, exact but for chance, in the same 16 bytes a block as `Seen`.

    Tokens have 80 bits. With 2**30 CIDs in the map, one that is not in it is found with a probability of 2**-50; that
    any two of them share a token, and the second is refused as a repetition, has a probability of 2**-21 (2**-41 for a
    million). Time, files and errors are as with `Seen`.
    """

    __slots__ = ("_hash", "_memory", "_memory_max", "_runs", "count")

    def __init__(self, memory_max: int = MEMORY_MAX) -> None:
        self._hash = blake2b(digest_size=_KEY, key=token_bytes(32))
        self._memory: dict[bytes, int] = {}
        self._memory_max = memory_max
        self._runs = Runs(memory_max)
        self.count = 0

    def add(self, cid: CID, number: int) -> bool:
        """Keep *number* for *cid* and return True, or change nothing and return False if there is one already.

        Raises:
            InvalidInput: *number* is not in 0 .. 2**48 - 1.
        """
        if number >> NUMBER_BITS:
            raise InvalidInput(f"{number} cannot be kept: 0 to 2**{NUMBER_BITS} - 1 can")
        state = self._hash.copy()
        state.update(cid)
        token = state.digest()
        memory = self._memory
        if token in memory or (self.count > len(memory) and self._runs.find(token) is not None):
            return False
        if len(memory) >= self._memory_max:
            self._runs.add([key + value.to_bytes(_NUMBER, "big") for key, value in memory.items()])
            memory.clear()
        memory[token] = number
        self.count += 1
        return True

    def get(self, cid: CID) -> int | None:
        """Return the number kept for *cid*, or None."""
        state = self._hash.copy()
        state.update(cid)
        token = state.digest()
        number = self._memory.get(token)
        if number is not None:
            return number
        record = self._runs.find(token)
        return None if record is None else int.from_bytes(record[_KEY:], "big")

    def __len__(self) -> int:
        return self.count

    def close(self) -> None:
        """Give memory and files back; the map is empty afterwards. Closing again does nothing."""
        self._memory.clear()
        self._runs.close()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
