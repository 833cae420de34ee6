"""`demo`: the whole way, on real files: a tree into a bucket, out as one CAR, into an empty store, and one flipped bit.

Every step checks its own result. The first that does not hold ends the command with an error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import mstbucket
from mstbucket.cli.address import Address, Local
from mstbucket.cli.copied import Copied
from mstbucket.cli.exits import FAILED, OK
from mstbucket.cli.output import Output, count, human_size
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import to_text
from mstbucket.errors import HashMismatch, InvalidInput, InvalidKey, NotFound, Untrue
from mstbucket.files.walk import Skipped, open_file, walk
from mstbucket.limits import MIB
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.sync.directory import Directory
from mstbucket.sync.filters import Everything
from mstbucket.sync.objects import Objects
from mstbucket.sync.run import copy

if TYPE_CHECKING:
    from mstbucket import Bucket, CommitInfo

NAME: Final = "demo"  # of the bucket
# Of the interpreter's own library only what came with it: other people's packages and caches differ by the hour.
_LEFT_OUT: Final = frozenset({b"site-packages", b"dist-packages", b"__pycache__"})


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Show the whole way; returns `FAILED` if some of the files could not be read, and raises where a step fails.

    Raises:
        Untrue: a step does not hold: two commits, two CARs or two bodies differ, or damage was not noticed.
    """
    root = sysconfig.get_path("stdlib") if arguments.directory is None else arguments.directory
    if not os.path.isdir(root):
        raise NotFound(f"there is no directory {root!r} to show the way with; name another")
    left_out = _LEFT_OUT if arguments.directory is None else frozenset[bytes]()
    with _place(arguments.keep) as place:
        demo = _Demo(root, left_out, place, out)
        failed = demo.show()
        out.emit({"step": "done", "seconds": demo.clock.total, "failed": failed},
                 f"everything held, in {demo.clock.total:.1f} s")  # fmt: skip
        if arguments.keep is not None and not out.as_json:
            _print_further(place)
    return FAILED if failed else OK


class _Clock:
    """Seconds since the step before."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        lap, self._last = now - self._last, now
        return lap

    @property
    def total(self) -> float:
        return round(time.perf_counter() - self._started, 3)


@dataclass(frozen=True, slots=True)
class _Demo:
    root: str
    left_out: frozenset[bytes]
    place: Path
    out: Output
    clock: _Clock = field(default_factory=_Clock)

    def show(self) -> int:
        """Go the whole way; returns how many files could not be read."""
        car = self.place / f"{NAME}.car"
        self._step("source", f"the files below {self.root}", directory=self.root)
        with mstbucket.open(self.place / "first", background=False) as first:
            self._step("open", "made a store: a Postgres of its own, and a directory of packs")
            bucket = first.create_bucket(NAME)
            failed = self._put(bucket)
            objects = self._list(bucket)
            commit = self._flush(bucket, objects)
            self._export(bucket, car)
        self._verify(car, commit)
        with mstbucket.open(self.place / "second", background=False) as second:
            self._step("open", "made a second store, which is empty")
            self._import(second.import_car(car), commit, car)
            self._compare(second.bucket(NAME), objects)
        self._damage(car)
        return failed

    def _put(self, bucket: Bucket) -> int:
        told = Copied(Local(self.root), Address(NAME), Output(as_json=False, quiet=True))
        files = Directory(self.root, Everything(), told.skipped, follow=True, leave_out=self.left_out)
        done = copy(files, Objects(bucket, "", Everything()), told.tell)
        failed = done.failed + told.unlisted
        self._step("put", f"{count(done.copied, 'file')}, {human_size(done.bytes)}, each an object of the bucket",
                   objects=done.copied, bytes=done.bytes, failed=failed)  # fmt: skip
        return failed

    def _list(self, bucket: Bucket) -> int:
        objects = sum(1 for _ in bucket.objects())
        page = bucket.list_objects(delimiter="/")
        self._step("list", f"{count(objects, 'key')}; at the top {count(len(page.common_prefixes), 'folder')} and "
                   f"{count(len(page.contents), 'object')} on the first page", objects=objects)  # fmt: skip
        return objects

    def _flush(self, bucket: Bucket, objects: int) -> CommitInfo:
        commit = bucket.flush()
        _hold(commit.objects == objects, f"the commit holds {commit.objects} objects where {objects} were listed")
        self._step("flush", f"one commit names all of it: {commit.cid}", commit=commit.cid)
        return commit

    def _export(self, bucket: Bucket, car: Path) -> None:
        report = bucket.export_car(car)
        _hold(report.bytes == car.stat().st_size, f"{car} is not as long as the export said")
        self._step("export", f"one CAR file: {count(report.blocks, 'block')}, {human_size(report.bytes)}",
                   blocks=report.blocks, bytes=report.bytes)  # fmt: skip

    def _verify(self, car: Path, commit: CommitInfo) -> None:
        report = mstbucket.verify_car(car)
        root = to_text(report.root)
        _hold(root == commit.cid, f"the CAR's root is {root}, not {commit.cid}")
        self._step("verify", f"the file alone proves it: {count(report.blocks, 'block')} hashed, none missing, none "
                   f"extra, {count(report.objects, 'object')}", blocks=report.blocks, objects=report.objects)  # fmt: skip

    def _import(self, bucket: Bucket, commit: CommitInfo, car: Path) -> None:
        there = bucket.head_commit()
        _hold(there == commit, f"the second store is at {there}, not at {commit}")
        again = car.with_name(f"{NAME}-again.car")
        bucket.export_car(again)
        _hold(_same(car, again), f"{car} and {again} differ: the second store exports other bytes")
        self._step("import", f"rebuilt from the CAR: the same commit {commit.cid}, and the same CAR byte for byte",
                   commit=commit.cid)  # fmt: skip

    def _compare(self, bucket: Bucket, objects: int) -> None:
        equal = size = 0
        for key, path in self._files():
            with bucket.get_object(key) as reader, open_file(path) as file:
                for chunk in reader:
                    there = file.read(len(chunk))
                    while len(there) < len(chunk) and (more := file.read(len(chunk) - len(there))):
                        there += more
                    _hold(there == chunk, f"object {key!r} and file {os.fsdecode(path)!r} differ")
                    size += len(chunk)
                _hold(file.read(1) == b"", f"file {os.fsdecode(path)!r} is longer than its object")
            equal += 1
        _hold(equal == objects, f"{objects} objects are in the bucket, but {equal} files are on the disk")
        self._step("compare", f"{count(equal, 'object')} of the second store, {human_size(size)}: the files, byte for byte",
                   objects=equal, bytes=size)  # fmt: skip

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """Key and path of every file that could be copied."""
        for found in walk(self.root, follow=True, leave_out=self.left_out):
            if isinstance(found, Skipped):
                continue
            try:
                key = found.key
                open_file(found.path).close()
            except (InvalidKey, OSError):
                continue  # told and counted when it was to be copied in
            yield key, found.path

    def _damage(self, car: Path) -> None:
        damaged = car.with_name(f"{NAME}-damaged.car")
        shutil.copyfile(car, damaged)
        cid, at = _block_in_the_middle(car)
        with open(damaged, "r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes((byte ^ 1,)))
        try:
            mstbucket.verify_car(damaged)
        except HashMismatch as error:
            _hold(cid in str(error), f"the damage is in block {cid}, but verify says: {error}")
            self._step("damage", f"flipped one bit at byte {at:,} of a copy; verify refuses it: {error}",
                       block=cid, offset=at, error=str(error))  # fmt: skip
            return
        raise Untrue(f"one bit of {damaged} was flipped at byte {at}, and verify did not notice")

    def _step(self, name: str, text: str, **figures: object) -> None:
        seconds = self.clock.lap()
        self.out.emit({"step": name, "seconds": round(seconds, 3), **figures}, f"{name:<8} {seconds:7.2f} s  {text}")


def _hold(true: bool, otherwise: str) -> None:
    """[CLI-25] nothing is shown that was not checked."""
    if not true:
        raise Untrue(otherwise)


def _same(first: Path, second: Path) -> bool:
    with open(first, "rb") as one, open(second, "rb") as two:
        while True:
            piece = one.read(MIB)
            if piece != two.read(MIB):
                return False
            if not piece:
                return True


def _block_in_the_middle(car: Path) -> tuple[str, int]:
    """The block that holds the middle of the file, or the first behind it, and the place of its middle byte."""
    middle = car.stat().st_size // 2
    with open(car, "rb") as file:
        for cid, block, start in CarReader(file):
            if block and start + len(block) > middle:
                return to_text(cid), start + len(block) // 2
    raise Untrue(f"{car} has no block behind its middle")


@contextmanager
def _place(keep: str | None) -> Iterator[Path]:
    """The directory to work in: the user's, which must be new, or a temporary one that is removed at the end."""
    if keep is not None:
        if keep == "":
            raise InvalidInput("--keep takes the name of a new directory, not ''")
        place = Path(keep)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise InvalidInput(f"--keep {keep!r} is there already; name a new directory")
        place.mkdir(parents=True, exist_ok=True)
        yield place
        return
    place = Path(tempfile.mkdtemp(prefix="mstbucket-demo-"))
    try:
        yield place
    finally:
        for store in ("first", "second"):
            EmbeddedPostgres(place / store / "postgres").await_stopped()
        shutil.rmtree(place)


def _print_further(place: Path) -> None:
    first, second = (f"mstbucket --store {shlex.quote(str(place / name))}" for name in ("first", "second"))
    car = shlex.quote(str(place / f"{NAME}.car"))
    damaged = shlex.quote(str(place / f"{NAME}-damaged.car"))
    print(f"""
Go on from here:
  {first} status
  {first} ls mst://{NAME}/
  {second} cp -r mst://{NAME} somewhere
  {second} log mst://{NAME}
  mstbucket verify {car}
  mstbucket verify {damaged}""")
