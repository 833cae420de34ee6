"""What blobs that fail have shown, each by itself: the smallest medium that does it, and what has to come of it."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.blobs.media.cache import CachedBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import STATE, STORE
from mstbucket.errors import CorruptionError, HashMismatch, InvalidInput, OutcomeUnknown, StorageError
from mstbucket.limits import CHUNK_SIZE, MIB

OTHER = bytes(byte ^ 1 for byte in range(256))
LARGE = b"0123456789abcdef" * (CHUNK_SIZE // 4)  # four chunks


class Refusing(MemoryBlobs):
    """Refuses, or alters, what `rule` says of (the operation, the name)."""

    def __init__(self) -> None:
        super().__init__()
        self.rule: Callable[[str, str], bool] = lambda operation, name: False
        self.short = False
        self.unacknowledged = ""
        self.held: list[tuple[str, bytes]] = []

    def put_if_absent(self, name: str, data: bytes) -> None:
        if self.unacknowledged:
            if self.unacknowledged == "lost":
                super().put_if_absent(name, data)
            else:
                self.held.append((name, data))
            raise OutcomeUnknown(f"blob {name} was not acknowledged: read before you repeat it")
        if self.rule("put", name):
            raise StorageError(f"blob {name} is refused: repeat the call")
        super().put_if_absent(name, data)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = super().get_range(name, start, length)
        if self.rule("get", name):
            if self.short:
                return data[:-1]
            raise StorageError(f"blob {name} is refused: repeat the call")
        return data


@pytest.fixture
def medium() -> Refusing:
    return Refusing()


@pytest.fixture
def store(database_url: str, medium: Refusing) -> Iterator[mstbucket.Store]:
    with mstbucket.open(database=database_url, blobs=medium, background=False) as store:
        yield store


def packs(store: mstbucket.Store) -> list[tuple[str, str]]:
    with store._context.db.reading() as connection:
        return list(connection.execute("SELECT name, state FROM packs ORDER BY name").fetchall())


# --- readers ---------------------------------------------------------------------------------------------------------------


def read_pieces(reader: Any) -> None:
    while reader.read(100_000):
        pass


@pytest.mark.parametrize("read", [read_pieces, lambda reader: reader.read(), list], ids=["pieces", "whole", "iteration"])
def test_a_reader_that_failed_has_not_come_to_the_end(
    bucket: mstbucket.Bucket, medium: Refusing, read: Callable[[Any], object]
) -> None:
    """[GET-1] Whoever goes on after the error, or asks again for what is left, hears of it again."""
    bucket.put_object("large", LARGE)
    reader = bucket.get_object("large")
    start = reader.read(CHUNK_SIZE // 2)
    medium.rule = lambda operation, name: operation == "get"
    with pytest.raises(StorageError):
        read(reader)
    medium.rule = lambda operation, name: False
    for again in (read, lambda reader: reader.read(1), list):
        with pytest.raises(StorageError):
            again(reader)
    assert bucket.get_object("large").read() == LARGE
    assert LARGE.startswith(start)
    reader.close()
    with pytest.raises(InvalidInput, match="closed"):
        reader.read()


def test_a_reader_that_was_interrupted_has_not_come_to_the_end(bucket: mstbucket.Bucket, medium: Refusing) -> None:
    """[GET-1]"""

    def interrupt(operation: str, _name: str) -> bool:
        if operation == "get":
            raise KeyboardInterrupt
        return False

    bucket.put_object("large", LARGE)
    reader = bucket.get_object("large")
    medium.rule = interrupt
    with pytest.raises(KeyboardInterrupt):
        reader.read()
    medium.rule = lambda operation, name: False
    with pytest.raises(StorageError, match="interrupted: open the object again"):
        reader.read()


@pytest.mark.parametrize(
    "call",
    [
        lambda bucket: bucket.get_object("large").read(),
        lambda bucket: bucket.export_car(io.BytesIO()),
        lambda bucket: bucket.verify(),
    ],
    ids=["get", "export", "verify"],
)
def test_an_answer_that_is_cut_is_a_failure_of_the_medium_and_no_damage(
    bucket: mstbucket.Bucket, medium: Refusing, call: Callable[[mstbucket.Bucket], object]
) -> None:
    """[BLOB-7] [BLOB-13] [PACK-8]"""
    bucket.put_object("large", LARGE)
    bucket.flush()
    medium.rule, medium.short = lambda operation, name: operation == "get", True
    with pytest.raises(StorageError, match=r"packs/.*were asked for, and the medium gave \d+: repeat the call"):
        call(bucket)
    medium.rule = lambda operation, name: False
    call(bucket)


@pytest.mark.parametrize("compression", [None, "zstd"], ids=["as they are", "compressed"])
@pytest.mark.parametrize("short", [True, False], ids=["cut", "damaged"])
def test_what_came_damaged_or_cut_through_a_cache_is_not_kept(
    database_url: str, medium: Refusing, tmp_path: Path, compression: str | None, short: bool
) -> None:
    """[PACK-6] [BLOB-7] A lie of a moment, told to a cache, must not last for ever."""
    cached = CachedBlobs(medium, tmp_path / "cache", 8 * MIB)
    body = random.Random(1).randbytes(3 * CHUNK_SIZE)
    with mstbucket.open(database=database_url, blobs=cached, background=False, compression=compression) as store:
        bucket = store.create_bucket("things")
        bucket.put_object("large", body)
        good, medium.short = medium.blobs, True
        medium.rule = lambda operation, name: operation == "get" and short
        medium.blobs = good if short else {name: data.translate(OTHER) for name, data in good.items()}
        with pytest.raises(StorageError if short else CorruptionError):
            bucket.get_object("large").read()
        medium.rule = lambda operation, name: False
        medium.blobs = good
        assert bucket.get_object("large").read() == body


# --- packs that were not acknowledged --------------------------------------------------------------------------------------


WRITES: dict[str, Callable[[mstbucket.Bucket], object]] = {
    "put": lambda bucket: bucket.put_object("large", LARGE),
    "flush": lambda bucket: bucket.flush(),
    "part": lambda bucket: bucket.upload_part("up", bucket.list_multipart_uploads().uploads[0].id, 1, LARGE),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("kind", ["lost", "late"])
def test_a_pack_that_was_not_acknowledged_leaves_a_call_that_did_nothing_and_a_row_that_says_so(
    store: mstbucket.Store, medium: Refusing, write: Callable[[mstbucket.Bucket], object], kind: str
) -> None:
    """[PUT-4] No outcome is unknown that can be known; and a blob that comes late is not unknown to the database."""
    bucket = store.create_bucket("things")
    bucket.put_object("small", b"x")
    bucket.create_multipart_upload("up")
    medium.unacknowledged = kind
    with pytest.raises(StorageError, match="nothing was stored") as caught:
        write(bucket)
    assert type(caught.value) is StorageError
    medium.unacknowledged = ""
    assert [state for _, state in packs(store)] == ["doomed"]
    assert {name for name in medium.blobs if not name.startswith(STATE)} == {STORE}
    for name, data in medium.held:
        medium.put(name, data)
    assert {name for name in medium.blobs if not name.startswith(STATE)} - {STORE} <= {name for name, _ in packs(store)}
    assert [item.key for item in bucket.objects()] == ["small"]
    write(bucket)
    assert bucket.flush().objects == len(list(bucket.objects()))
    assert sorted({state for _, state in packs(store)}) == ["doomed", "ready"]


# --- the blob that publishes a commit --------------------------------------------------------------------------------------


def refuse_refs(operation: str, name: str) -> bool:
    return operation == "put" and name.startswith("refs/")


def test_an_import_whose_commit_cannot_be_published_says_that_the_bucket_is_there(
    store: mstbucket.Store, medium: Refusing
) -> None:
    """[IMP-4] [FLUSH-9]"""
    bucket = store.create_bucket("things")
    bucket.put_object("key", b"value")
    bucket.flush()
    out = io.BytesIO()
    bucket.export_car(out)
    medium.rule = refuse_refs
    bucket.put_object("other", b"value")
    with pytest.raises(StorageError, match="refs/"):
        bucket.flush()
    # The ref of this commit is there already, from the bucket that was exported: another store would not have it.
    for name in [name for name in medium.blobs if name.startswith("refs/")]:
        medium.delete(name)
    with pytest.raises(OutcomeUnknown, match=r"'copy' is imported, whole and durable.*flush the bucket.*refs/"):
        store.import_car(io.BytesIO(out.getvalue()), "copy")
    copy = store.bucket("copy")
    assert copy.verify().objects == 1
    assert not any(name.startswith("refs/") for name in medium.blobs)
    medium.rule = lambda operation, name: False
    commit = copy.flush()
    assert [name for name in medium.blobs if name.startswith("refs/") and commit.cid in name]


def _restore(store: mstbucket.Store) -> None:
    store.bucket("things").restore(1)


@pytest.mark.parametrize(
    ("work", "seen"),
    [
        pytest.param(_restore, b"old", id="a restore"),
        pytest.param(lambda store: store.merge("forked", "things", prefer="theirs"), b"of the fork", id="a merge"),
        pytest.param(lambda store: store.repair_tree("things"), b"new", id="a repair of the tree"),
    ],
)
def test_what_is_done_but_not_published_does_not_look_as_if_nothing_had_happened(
    store: mstbucket.Store, medium: Refusing, work: Callable[[mstbucket.Store], object], seen: bytes
) -> None:
    """[FLUSH-13]: a kill at each step found that a merge which was done said that nothing was."""
    bucket = store.create_bucket("things")
    bucket.put_object("key", b"old")
    bucket.flush()
    forked = store.fork("things", "forked")
    forked.put_object("key", b"of the fork")
    forked.flush()
    bucket.put_object("key", b"new")
    bucket.flush()
    medium.rule = refuse_refs
    with pytest.raises(OutcomeUnknown, match=r", whole and durable.*flush the bucket.*refs/"):
        work(store)
    assert bucket.get_object("key").read() == seen
    medium.rule = lambda operation, name: False
    commit = bucket.flush()
    assert [name for name in medium.blobs if name.startswith("refs/") and commit.cid in name]


def test_a_repeat_whose_look_at_the_blob_is_cut_short_is_no_conflict(medium: Refusing) -> None:
    """[BLOB-2] [BLOB-7]"""
    medium.put("refs/a", b"commit")
    medium.rule, medium.short = lambda operation, name: operation == "get", True
    with pytest.raises(StorageError, match=r"6 bytes of blob refs/a.*the medium gave 5: repeat the call"):
        medium.put("refs/a", b"commit")
    medium.rule = lambda operation, name: False
    medium.put("refs/a", b"commit")


def test_a_ref_that_is_damaged_is_damage_and_no_conflict(store: mstbucket.Store, medium: Refusing) -> None:
    """[FLUSH-9]"""
    bucket = store.create_bucket("things")
    bucket.put_object("key", b"value")
    commit = bucket.flush()
    [name] = [name for name in medium.blobs if name.startswith("refs/")]
    medium.blobs[name] = bytes(len(medium.blobs[name]))
    with store._context.db.connection() as connection:
        connection.execute("UPDATE commits SET published = false")  # as where the acknowledgement was lost
    with pytest.raises(HashMismatch, match=f"{name} of bucket 'things' does not read as commit {commit.cid}.*remove it"):
        bucket.flush()
    medium.delete(name)
    assert bucket.flush() == commit
    assert name in medium.blobs
