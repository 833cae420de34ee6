"""Sorting more than memory should hold: sorted runs in temporary files, merged."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import IO, Final

from mstbucket.spill.scratch import scratch

RUN: Final = 50_000  # rows in memory at a time, some 20 MB; a tree of fewer files makes no temporary file
_CHUNK: Final = 500  # rows written and read at once; bounds what the merge of many runs holds

Row = tuple[str, str, int, int, int]  # key, path, size, modified, touched


def sort_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows in order. Not before all of them were read; memory does not grow with their number.

    Raises:
        StorageError: the temporary directory is full or failed.
    """
    rest = iter(rows)
    run = sorted(islice(rest, RUN))
    if len(run) < RUN:
        yield from run
        return
    with ExitStack() as files:
        runs = []
        while run:
            runs.append(_write(run, files))
            run = sorted(islice(rest, RUN))
        yield from heapq.merge(*map(_read, runs))


def _write(run: list[Row], files: ExitStack) -> IO[bytes]:
    file = files.enter_context(scratch("a listing was sorted", "the command"))
    for at in range(0, len(run), _CHUNK):
        file.write(json.dumps(run[at : at + _CHUNK]).encode() + b"\n")
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[Row]:
    for line in file:
        yield from map(tuple, json.loads(line))
