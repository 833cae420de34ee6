"""Sorted runs of 16-byte records in temporary files, merged as they grow: the part of a set that memory has no room for.

Records are spread evenly over all byte strings (they start with a secret hash, see `spill.seen`). So a fixed number of
leading bits names a bucket of some 64 records, and looking one up reads one KiB of each run. Runs stand on levels, each
for eight times as many records as the one below; a record is written about five times per level. A billion records
make four runs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from mmap import ACCESS_READ, mmap
from struct import Struct
from typing import Final

from mstbucket.spill.scratch import declared, scratch

RECORD: Final = 16  # bytes of a record
GROWTH: Final = 8  # how many times larger a level is than the one below
_BUCKET: Final = 64  # records that share their leading bits, on average
_BITS_MAX: Final = 32
_CHUNK: Final = 1 << 15  # records merged at once; bounds the memory of a merge
_FENCES: Final = Struct("=QQ")


class Run:
    """One sorted run, immutable, and its fences: for each bucket, how many records stand before it."""

    __slots__ = ("_fences", "_records", "_shift", "count")

    def __init__(self, chunks: Iterable[list[bytes]], count: int) -> None:
        """Write *count* records that come in order, in lists of bounded length, to a temporary file."""
        bits = min(_BITS_MAX, max(0, (count // _BUCKET).bit_length() - 1))
        self.count = count
        self._shift = _BITS_MAX - bits
        doing = f"{count} records of blocks seen were written"
        with declared(doing), scratch(doing) as records, scratch(doing) as fences:
            written = bucket = 0
            for chunk in chunks:
                last = int.from_bytes(chunk[-1][:4], "big") >> self._shift
                firsts = ((at << self._shift).to_bytes(4, "big") for at in range(bucket, last + 1))
                array("Q", (written + bisect_left(chunk, first) for first in firsts)).tofile(fences)
                records.write(b"".join(chunk))
                bucket, written = last + 1, written + len(chunk)
            array("Q", [written] * ((1 << bits) + 1 - bucket)).tofile(fences)
            records.flush()
            fences.flush()
            self._records = mmap(records.fileno(), 0, access=ACCESS_READ)  # which may fail, too
            self._fences = mmap(fences.fileno(), 0, access=ACCESS_READ)

    def find(self, start: bytes) -> bytes | None:
        """Return the first record that starts with *start*, which has at least 4 bytes."""
        bucket = int.from_bytes(start[:4], "big") >> self._shift
        low, high = _FENCES.unpack_from(self._fences, bucket * 8)
        records = self._records[low * RECORD : high * RECORD]
        at = records.find(start)
        while at % RECORD and at >= 0:
            at = records.find(start, at + 1)
        return records[at : at + RECORD] if at >= 0 else None

    def between(self, low: int, high: int) -> list[bytes]:
        """Return the records number *low* to *high*."""
        data = self._records[low * RECORD : high * RECORD]
        return [data[at : at + RECORD] for at in range(0, len(data), RECORD)]

    def below(self, first: bytes) -> int:
        """Return how many records are less than *first*."""
        records = self._records
        return bisect_left(range(self.count), first, key=lambda n: records[n * RECORD : n * RECORD + RECORD])

    def close(self) -> None:
        """Give the files back. Closing again does nothing."""
        self._records.close()
        self._fences.close()


class Runs:
    """All runs of one set. The caller adds no record twice (`find` tells)."""

    __slots__ = ("_levels", "_unit")

    def __init__(self, unit: int) -> None:
        """Expect batches of *unit* records."""
        self._unit = unit
        self._levels: list[Run | None] = []

    def add(self, records: list[bytes]) -> None:
        """Keep a batch of records, which need not be in order. Merges, now and then, with all that is there.

        Raises:
            StorageError: the temporary directory failed. The set is as it was before.
        """
        records.sort()
        new = Run((records[at : at + _CHUNK] for at in range(0, len(records), _CHUNK)), len(records))
        levels = list(self._levels)
        merged: list[Run] = []
        for level, old in enumerate([*levels, None]):
            if level == len(levels):
                levels.append(None)
            if old is not None:
                merged += [old, new]
                levels[level] = None
                new = Run(_merge(old, new), old.count + new.count)
            if new.count < self._unit * GROWTH ** (level + 1):
                levels[level] = new
                break
        self._levels = levels
        for run in merged:
            run.close()

    def find(self, start: bytes) -> bytes | None:
        """Return a record that starts with *start*, which has at least 4 bytes."""
        for run in self._levels:
            if run is not None and (record := run.find(start)) is not None:
                return record
        return None

    def close(self) -> None:
        """Give the files back. Closing again does nothing."""
        for run in self._levels:
            if run is not None:
                run.close()
        self._levels = []


def _merge(one: Run, other: Run) -> Iterator[list[bytes]]:
    """Yield the records of two runs in order, a bounded number at a time."""
    parts = (one.count + other.count) // _CHUNK + 1
    low = (0, 0)
    for part in range(1, parts + 1):
        if part == parts:
            high = one.count, other.count
        else:
            first = ((part << 64) // parts).to_bytes(8, "big")
            high = one.below(first), other.below(first)
        chunk = one.between(low[0], high[0]) + other.between(low[1], high[1])
        low = high
        if chunk:
            chunk.sort()  # two ascending runs: the sort finds them and merges
            yield chunk
