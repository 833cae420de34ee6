"""What it costs to ask whether content is there: new bodies put as they are, beside the same without the questions."""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rows import Row

import mstbucket
from mstbucket.limits import KIB, MIB
from mstbucket.services.blocks import incoming
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.objects import put as putting
from mstbucket.services.uploads import complete as completing
from mstbucket.services.uploads import parts

LARGE = 32 * MIB
SMALL = 2000  # bodies of 4 KiB


class _Unasked(incoming.Incoming):
    """Writes everything, as if the store had nothing."""

    def _find(self, cids: list[bytes]) -> list[tuple[Any, ...]]:
        if self._pack is None:
            self._pack = PackInProgress(self._context)
        return []


class _Body:
    """Bytes of which no two chunks are equal."""

    def __init__(self, size: int, number: int, chunk: bytes) -> None:
        self._left = size
        self._number = number << 32
        self._chunk = chunk

    def read(self, size: int) -> bytes:
        size = min(size, self._left, MIB)
        self._left -= size
        self._number += 1
        return self._number.to_bytes(8, "big") + self._chunk[8:size] if size else b""


def _ratio(work: Callable[[int], object], rounds: int) -> tuple[float, float]:
    """The median time with questions, and how many times as fast it is as without; in turns, since machines are busy."""
    kinds: dict[type, list[float]] = {incoming.Incoming: [], _Unasked: []}
    number = itertools.count()
    for _ in range(rounds):
        for kind, times in kinds.items():
            for module in (putting, parts, completing):
                module.Incoming = kind  # type: ignore[attr-defined]
            start = time.perf_counter()
            work(next(number))
            times.append(time.perf_counter() - start)
    asked, unasked = (median(times) for times in kinds.values())
    return asked, unasked / asked


def run() -> list[Row]:
    """The figures of sharing."""
    rows = []
    chunk = random.Random(1).randbytes(MIB)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        bucket = store.create_bucket("sharing")

        def large(number: int) -> None:
            bucket.put_object(f"large/{number}", _Body(LARGE, number, chunk))  # type: ignore[arg-type]

        def small(number: int) -> None:
            bodies = (number.to_bytes(4, "big") + n.to_bytes(4, "big") + chunk[8 : 4 * KIB] for n in range(SMALL))
            bucket.put_objects(mstbucket.PutRequest(f"small/{number}/{n}", body) for n, body in enumerate(bodies))

        def middle(number: int) -> None:
            bucket.put_object(f"middle/{number}", number.to_bytes(4, "big") + chunk[4 : 100 * KIB])

        works: list[tuple[str, Callable[[int], Any], int]] = [
            ("a new body of 32 MiB", large, 15),
            ("2,000 new bodies of 4 KiB", small, 15),
            ("a new body of 100 KiB", middle, 250),
        ]
        for what, work, rounds in works:
            took, ratio = _ratio(work, rounds)
            rows.append(Row(what, took, "s", "the same, nobody asked", ratio, ">= 0.95", ratio >= 0.95))
        before = sum(path.stat().st_size for path in Path(folder).rglob("*.car"))
        start = time.perf_counter()
        bucket.put_object("again", _Body(LARGE, 0, chunk))  # type: ignore[arg-type]
        took = time.perf_counter() - start
        more = sum(path.stat().st_size for path in Path(folder).rglob("*.car")) - before
        rows.append(Row("a body of 32 MiB that is there", took, "s", "bytes written", more, "0", more == 0))
    return rows
