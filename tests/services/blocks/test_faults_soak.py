"""A whole store over blobs that fail all the time, against a dict: no wrong result, no undeclared exception, no loss.

Only the blobs are bad here; the database is real and well. So the outcome of a put is always known, and a medium that
refuses, forgets to answer or answers too little is never taken for one that has lost data.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

import mstbucket
from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.cache import CachedBlobs
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.core.cid import to_text
from mstbucket.errors import CorruptionError, InvalidRange, MstBucketError, NoSuchKey, OutcomeUnknown, StorageError
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX, MIB, PART_SIZE_MIN
from mstbucket.testing import Faults, FaultyBlobs
from mstbucket.testing.faults import KINDS

FAILING: Final = Faults(error=0.2, lost=0.05, truncated=0.05, late=0.1)
LYING: Final = Faults(error=0.05, lost=0.02, flipped=0.05, misdirected=0.05, truncated=0.02, late=0.1)

KEYS: Final = [f"{folder}/{number}" for folder in "abc" for number in range(8)]
INSISTENCE: Final = 100  # times that a call is repeated which at a rate of 20 % fails nine times in ten


@dataclass(frozen=True)
class Object:
    """What a key must hold."""

    body: bytes
    etag: str


class Soak:
    """One store, one bucket, the dict that it has to be, and random calls."""

    def __init__(
        self, url: str, blobs: BlobStore, faults: Faults, front: Callable[[BlobStore], BlobStore], options: dict[str, Any]
    ) -> None:
        self.blobs = FaultyBlobs(blobs, faults)
        self.medium = blobs
        lying = faults.flipped + faults.misdirected > 0
        self.expected: tuple[type[MstBucketError], ...] = (StorageError, CorruptionError) if lying else (StorageError,)
        self.random = random.Random(faults.seed)
        self.well = mstbucket.open(database=url, blobs=blobs, background=False, **options)  # the same, without the faults
        self.well.create_bucket("things")
        self.store = self._open(url, front, options)
        self.bucket = self.store.bucket("things")
        self.quiet = self.well.bucket("things")
        self.model: dict[str, Object] = {}
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.imports = 0

    def _open(self, url: str, front: Callable[[BlobStore], BlobStore], options: dict[str, Any]) -> mstbucket.Store:
        """The store on the faulty blobs; an encrypted one reads its key, and that fails now and then, too."""
        while True:
            with suppress(*self.expected):
                return mstbucket.open(database=url, blobs=front(self.blobs), background=False, **options)

    def run(self, calls: int) -> None:
        """Random verbs until the blobs have seen so many calls; then everything is looked at."""
        verbs: list[tuple[Callable[[], object], float]] = [
            (self.put_small, 6), (self.put_large, 8), (self.put_many, 6), (self.delete, 2), (self.copy, 2),
            (self.get, 8), (self.get_range, 8), (self.flush, 6), (self.flush_until_done, 1), (self.multipart, 0.3),
            (self.export, 4), (self.verify, 3), (self.leave_and_come_back, 1),
        ]  # fmt: skip
        chosen, weights = zip(*verbs, strict=True)
        while self.blobs.calls < calls:
            verb = self.random.choices(chosen, weights)[0]
            self.attempt(verb)
        self.blobs.stop()
        self.look()

    def attempt(self, verb: Callable[[], object]) -> bool:
        """Whether the verb was done; a failure has to be one of those expected, and to have changed nothing."""
        name = verb.__name__
        before = dict(self.model)
        try:
            verb()
        except self.expected:
            self.failed[name] += 1
            self.model = before
            self.settle()
            return False
        self.done[name] += 1
        return True

    def settle(self) -> None:
        """Every key is as it was; heads ask the database alone, and so does this."""
        shown = {item.key: item.etag for item in self.bucket.objects()}
        assert shown == {key: kept.etag for key, kept in self.model.items()}

    def body(self, least: int, most: int) -> bytes:
        return self.random.randbytes(self.random.randint(least, most))

    # --- verbs ---

    def put_small(self) -> None:
        self.put(self.body(0, INLINE_MAX))

    def put_large(self) -> None:
        self.put(self.body(INLINE_MAX + 1, 2 * CHUNK_SIZE))

    def put(self, body: bytes) -> None:
        key = self.random.choice(KEYS)
        if self.random.random() < 0.5:
            result = self.bucket.put_object(key, body)
        else:
            result = self.bucket.put_object(key, io.BytesIO(body))
        self.model[key] = Object(body, result.etag)

    def put_many(self) -> None:
        # All keys at times: then few packs hold everything, and what reads everything has a chance.
        keys = KEYS if self.random.random() < 0.3 else self.random.sample(KEYS, 5)
        pairs = {key: self.body(0, 3 * INLINE_MAX) for key in keys}
        results: list[mstbucket.PutResult] = []
        requests = (mstbucket.PutRequest(key, body) for key, body in pairs.items())
        self.bucket.put_objects(requests, stored=results.append)
        self.model |= {one.key: Object(pairs[one.key], one.etag) for one in results}

    def delete(self) -> None:
        key = self.random.choice(KEYS)
        self.bucket.delete_object(key)
        self.model.pop(key, None)

    def copy(self) -> None:
        source, key = self.random.sample(KEYS, 2)
        try:
            result = self.bucket.copy_object(source, key)
        except NoSuchKey:
            assert source not in self.model
        else:
            self.model[key] = Object(self.model[source].body, result.etag)

    def get(self) -> None:
        key = self.random.choice(KEYS)
        try:
            reader = self.bucket.get_object(key)
        except NoSuchKey:
            assert key not in self.model
            return
        read = b""
        try:
            while piece := reader.read(self.random.choice([1000, 300_000, -1])):
                read += piece
        except self.expected:
            assert self.model[key].body.startswith(read)
            with pytest.raises(self.expected):  # an end of the bytes would be a shorter body
                reader.read()
            raise
        assert read == self.model[key].body

    def get_range(self) -> None:
        key = self.random.choice(KEYS)
        start, length = self.random.randrange(2 * CHUNK_SIZE), self.random.randint(1, CHUNK_SIZE)
        try:
            part = self.bucket.get_object(key, range=f"bytes={start}-{start + length - 1}").read()
        except NoSuchKey:
            assert key not in self.model
        except InvalidRange:
            assert start >= len(self.model[key].body)
        else:
            assert part == self.model[key].body[start : start + length]

    def flush(self) -> None:
        commit = self.bucket.flush()
        assert (commit.objects, commit.bytes) == (len(self.model), sum(len(kept.body) for kept in self.model.values()))

    def flush_until_done(self) -> None:
        """One that goes well in the end is as good as one that did at once; nothing that failed before is in its way."""
        if not any(self.attempt(self.flush) for _ in range(INSISTENCE)):
            self.quiet.flush()

    def multipart(self) -> None:
        """Parts that are not multiples of a chunk, each repeated until it is stored; one of them a copy."""
        key = self.random.choice(KEYS)
        upload = self.bucket.create_multipart_upload(key).id
        bodies = [self.body(PART_SIZE_MIN, PART_SIZE_MIN + 9), self.body(PART_SIZE_MIN, PART_SIZE_MIN + 9)]
        parts = [self.insist("upload_part", key, upload, n, body) for n, body in enumerate(bodies, 1)]
        source = self.random.choice(KEYS)
        if source in self.model:
            bodies.append(self.model[source].body)
            parts.append(self.insist("upload_part_copy", key, upload, 3, source))
        named = [(part.number, part.etag) for part in parts]
        try:
            result = self.bucket.complete_multipart_upload(key, upload, named)
        except self.expected:  # more calls than ever go well in a row: the next one meets no faults
            self.failed["complete"] += 1
            self.settle()
            result = self.quiet.complete_multipart_upload(key, upload, named)
        self.model[key] = Object(b"".join(bodies), result.etag)
        assert self.bucket.complete_multipart_upload(key, upload, named) == result

    def insist(self, verb: str, *arguments: Any) -> Any:
        """Repeat a call until it is done; in the end while the medium is well."""
        for _ in range(INSISTENCE):
            try:
                return getattr(self.bucket, verb)(*arguments)
            except self.expected:
                self.failed[verb] += 1
        return getattr(self.quiet, verb)(*arguments)

    def export(self) -> None:
        if self.bucket.head_commit() is not None:
            out = self.exported()
            assert to_text(mstbucket.verify_car(io.BytesIO(out)).root) == self.bucket.head_commit().cid

    def verify(self) -> None:
        if self.bucket.head_commit() is not None:
            assert self.bucket.verify().commit == self.bucket.head_commit().cid

    def leave_and_come_back(self) -> None:
        """A small bucket is imported under another name: all of it, or none. It was made and left while all was well."""
        self.imports += 1
        name, leaving = f"copy-{self.imports}", self.well.create_bucket(f"leaving-{self.imports}")
        for key in self.random.sample(KEYS, 3):
            leaving.put_object(key, self.body(0, 3 * INLINE_MAX))
        commit, out = leaving.flush(), io.BytesIO()
        leaving.export_car(out)
        unpublished = ""
        try:
            self.store.import_car(io.BytesIO(out.getvalue()), name)
        except OutcomeUnknown as error:
            unpublished = str(error)
        except self.expected:
            assert name not in [info.name for info in self.store.list_buckets()]
            raise
        assert ("flush the bucket" in unpublished) == bool(unpublished)
        self.failed["publish"] += bool(unpublished)
        back = self.well.bucket(name)
        back.flush()
        assert back.verify().commit == commit.cid
        again = io.BytesIO()
        back.export_car(again)
        assert again.getvalue() == out.getvalue()

    def exported(self) -> bytes:
        out = io.BytesIO()
        self.bucket.export_car(out)
        return out.getvalue()

    # --- the end ---

    def look(self) -> None:
        """The faults are over: everything acknowledged is there, and nothing in the store is unknown to the database."""
        self.flush()
        report = self.bucket.verify()
        assert (report.objects, report.dirty) == (len(self.model), 0)
        for key, kept in self.model.items():
            assert self.bucket.get_object(key).read() == kept.body
        back = self.store.import_car(io.BytesIO(self.exported()), "at-the-end")
        assert back.verify().commit == report.commit
        with self.store._context.db.reading() as connection:
            rows = connection.execute("SELECT name, state, size FROM packs").fetchall()
        files = {info.name: info.size for info in self.medium.list("packs/")}
        assert set(files) <= {name for name, _, _ in rows}
        assert {name: size for name, state, size in rows if state == "ready"}.items() <= files.items()
        assert {state for _, state, _ in rows} <= {"ready", "doomed"}


def soak(
    url: str, blobs: BlobStore, faults: Faults, calls: int,
    front: Callable[[BlobStore], BlobStore] = lambda blobs: blobs, **options: Any,
) -> Soak:  # fmt: skip
    """Run it on `blobs` with the faults, seen through `front`, as a store opened with `options`."""
    one = Soak(url, blobs, faults, front, options)
    with one.store, one.well:
        one.run(calls)
    print(calls, one.blobs.injected, dict(one.done), dict(one.failed))
    return one


@pytest.mark.parametrize("faults", [FAILING, LYING], ids=["failing", "lying"])
def test_a_medium_that_often_fails_never_gives_a_wrong_result(database_url: str, faults: Faults) -> None:
    """[PUT-4] [GET-1] [PACK-5] [PACK-6] [PACK-8] [BLOB-13] [IMP-3] [IMP-4]"""
    run = soak(database_url, MemoryBlobs(), faults, 1_000)
    # The names of packs are random, and with them the order of reads: no two runs meet the very same faults.
    assert {kind for kind in ("error", "lost", "truncated", "flipped") if getattr(faults, kind)} <= set(run.blobs.injected)
    assert {"put_small", "get", "flush"} <= set(run.done)
    assert {"put_large", "flush"} <= set(run.failed)


def test_a_directory_that_often_fails_never_gives_a_wrong_result(database_url: str, tmp_path: Path) -> None:
    """[PUT-4] [GET-1] [PACK-5] [PACK-6] [PACK-8] [BLOB-13]"""
    assert soak(database_url, LocalBlobs(tmp_path / "blobs"), FAILING, 300).done


@pytest.mark.parametrize(("faults", "compression"), [(FAILING, None), (LYING, "zstd")], ids=["failing", "lying, compressed"])
def test_a_medium_behind_a_cache_that_often_fails_never_gives_a_wrong_result(
    database_url: str, tmp_path: Path, faults: Faults, compression: str | None
) -> None:
    """[PUT-4] [GET-1] [BLOB-7] [BLOB-13]: and what came damaged is not kept when the medium is well again."""
    front = partial(CachedBlobs, directory=tmp_path / "cache", limit=4 * MIB)
    assert soak(database_url, MemoryBlobs(), faults, 250, front, compression=compression).done


def key_file(directory: Path) -> Path:
    path = directory / "key"
    path.write_text("5" * 64)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("faults", [FAILING, LYING], ids=["failing", "lying"])
def test_frames_on_a_medium_that_often_fails_never_give_a_wrong_result(
    database_url: str, tmp_path: Path, faults: Faults
) -> None:
    """[PUT-4] [GET-1] [PACK-8] [BLOB-13]"""
    options = {"compression": "zstd", "encryption": key_file(tmp_path)}
    assert soak(database_url, MemoryBlobs(), faults, 250, **options).done


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("faults", [FAILING, LYING], ids=["failing", "lying"])
@pytest.mark.parametrize("seed", range(10))
def test_for_long(database_url: str, tmp_path: Path, faults: Faults, seed: int) -> None:
    """The same, 100,000 calls of each kind of medium, every fifth store in a directory."""
    blobs = LocalBlobs(tmp_path / "blobs") if seed % 5 == 0 else MemoryBlobs()
    run = soak(database_url, blobs, replace(faults, seed=seed), 10_000)
    assert set(run.blobs.injected) == {kind for kind in KINDS if getattr(faults, kind)}
    assert {"put_small", "put_large", "put_many", "get", "get_range", "flush"} <= set(run.done)
