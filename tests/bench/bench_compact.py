"""After 1,000 tiny flushes: how many packs there are, and what reading costs, compacted and not.

Both stores have the same objects and commits; in one the background's work is done beside the flushes, in the other not.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from rows import Row, wall_seconds

import mstbucket
from mstbucket.services.upkeep.compact import CLASSES, COMPACT_LEAST, Compactor

FLUSHES = 1000
EVERY = 10  # flushes between two looks of the background
MOST = (len(CLASSES) - 1) * (COMPACT_LEAST - 1)


def read_all(bucket: mstbucket.Bucket) -> None:
    for n in range(0, FLUSHES, 2):
        bucket.get_object(f"{n % 20}/{n}").read()


def run() -> list[Row]:
    """Measure; takes a minute, most of it for the flushes."""
    with tempfile.TemporaryDirectory() as directory:
        loose, lost = _fill(Path(directory) / "loose", compacted=False)
        tight, most = _fill(Path(directory) / "tight", compacted=True)
        with loose, tight:
            one, other = loose.bucket("things"), tight.bucket("things")
            packs = len(list(other._context.blobs.list("packs/")))
            figures = (("packs after 1,000 tiny flushes", packs, MOST), ("packs at most, meanwhile", most, MOST + EVERY))
            rows = [
                Row(name, value, "packs", "not compacted", value / lost, f"<= {bound}", value <= bound)
                for name, value, bound in figures
            ]
            works: list[tuple[str, Callable[[mstbucket.Bucket], object]]] = [
                ("500 gets, compacted", read_all),
                ("export, compacted", lambda bucket: bucket.export_car(io.BytesIO())),
            ]
            for name, work in works:
                floor = wall_seconds(lambda work=work: work(one), 5)  # type: ignore[misc]
                value = wall_seconds(lambda work=work: work(other), 5)  # type: ignore[misc]
                rows.append(Row(name, value * 1e3, "ms", "not compacted", value / floor, "<= 1.1", value <= 1.1 * floor))
    return rows


def _fill(path: Path, compacted: bool) -> tuple[mstbucket.Store, int]:
    """A store with many flushes, and the most packs it had."""
    store = mstbucket.open(path, background=False)
    bucket = store.create_bucket("things")
    compactor = Compactor(bucket._context)
    most = 0
    for n in range(FLUSHES):
        bucket.put_object(f"{n % 20}/{n}", b"%d" % n * 50)
        bucket.flush()
        if n % EVERY == 0:
            most = max(most, len(list(bucket._context.blobs.list("packs/"))))
            if compacted:
                compactor.run()
    if compacted:
        compactor.run()
    return store, max(most, len(list(bucket._context.blobs.list("packs/"))))
