"""What `sync` costs: an unchanged tree per file, and the first sync beside `put_objects` of the same bytes."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

from rows import Row, cpu_seconds, wall_seconds

import mstbucket
from mstbucket.sync.directory import Directory
from mstbucket.sync.engine import Summary
from mstbucket.sync.filters import Filters
from mstbucket.sync.objects import Objects
from mstbucket.sync.run import Options, Side, sync

FILES = 10_000
PER_FOLDER = 100
SIZE = 2_000  # bytes on average, as of source files


def run() -> list[Row]:
    """Wall time of copies, since waiting for disk and database is part of it; CPU time where nothing is copied."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        tree = folder / "tree"
        _make(tree)
        with mstbucket.open(folder / "store", background=False) as store:
            return _figures(store, tree, folder)


def _figures(store: mstbucket.Store, tree: Path, folder: Path) -> list[Row]:
    floor, first = store.create_bucket("floor"), store.create_bucket("first")
    paths = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    put = wall_seconds(lambda: floor.put_objects(mstbucket.PutRequest(path, (tree / path).read_bytes()) for path in paths))
    source, target = _directory(tree), Objects(first, "", Filters())
    made = wall_seconds(lambda: _expect(_sync(source, target), copied=FILES))
    stat = cpu_seconds(lambda: _walk(str(tree)))
    time.sleep(2.1)  # until the times can tell
    same = cpu_seconds(lambda: _expect(_sync(_directory(tree), target), same=FILES))
    out = wall_seconds(lambda: _expect(_sync(target, _directory(folder / "out")), copied=FILES))
    back = cpu_seconds(lambda: _expect(_sync(target, _directory(folder / "out")), same=FILES))
    return [
        Row("first sync in, a file", made / FILES * 1e6, "us", "put_objects", made / put, "< 1.5", made / put < 1.5),
        Row("unchanged, a file", same / FILES * 1e6, "us", "scandir and stat", same / stat, "< 8", same / stat < 8),
        Row("first sync out, a file", out / FILES * 1e6, "us", "put_objects", out / put, "-", True),
        Row("unchanged out, a file", back / FILES * 1e6, "us", "scandir and stat", back / stat, "< 8", back / stat < 8),
    ]


def _make(tree: Path) -> None:
    chance = random.Random(21)
    for number in range(FILES):
        path = tree / f"{number // PER_FOLDER:03}" / f"{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(2 * SIZE)))


def _directory(path: Path) -> Directory:
    return Directory(str(path), Filters(), lambda *_: None, follow=True)


def _sync(source: Side, target: Side) -> Summary:
    return sync(source, target, Options(), lambda _: None, lambda _: None)


def _expect(done: Summary, copied: int = 0, same: int = 0) -> None:
    assert (done.copied, done.same, done.failed) == (copied, same, 0), done


def _walk(path: str) -> None:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                _walk(entry.path)
            else:
                entry.stat()

