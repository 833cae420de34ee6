"""The protocols step by step: what is registered, durable, locked and visible at the moment when it has to be."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.blobs.base import BlobWriter
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.core import car_reader
from mstbucket.core.cid import from_text, raw_cid
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX
from mstbucket.pg import database as pg_database

PATIENCE: Final = 30.0  # seconds for what takes milliseconds; only a failing test waits that long
LARGE: Final = bytes(range(256)) * (3 * CHUNK_SIZE // 256) + b"end"


@pytest.fixture
def outside(database_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A look at the database from outside the store."""
    with psycopg.connect(database_url, autocommit=True, options="-c search_path=mstbucket") as connection:
        yield connection


def ask(outside: psycopg.Connection[tuple[Any, ...]], query: str) -> list[tuple[Any, ...]]:
    return outside.execute(query.encode()).fetchall()


# --- what holds while a pack is written ---


class Watching(LocalBlobs):
    """A real blob store that calls `look` with the name of each step of writing a pack, before it takes the step."""

    look: Callable[[str, str], None]

    def open_write(self, name: str) -> BlobWriter:
        self.look("begin", name)
        return _WatchingWriter(super().open_write(name), self, name)


class _WatchingWriter(BlobWriter):
    def __init__(self, writer: BlobWriter, blobs: Watching, name: str) -> None:
        self._writer, self._blobs, self._name = writer, blobs, name

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._blobs.look("write", self._name)
        self._writer.write(data)

    def commit(self) -> int:
        self._blobs.look("commit", self._name)
        size = self._writer.commit()
        self._blobs.look("committed", self._name)
        return size

    def abort(self) -> None:
        self._writer.abort()


def test_a_pack_is_registered_before_and_its_blocks_are_recorded_after(
    database_url: str, tmp_path: Path, outside: psycopg.Connection[tuple[Any, ...]], second_store: mstbucket.Store
) -> None:
    """[PUT-1], [PUT-2], [PUT-3], [FLUSH-2], [FLUSH-3]: and no transaction is open while a pack is written."""
    steps: list[str] = []

    def look(step: str, name: str) -> None:
        if not name.startswith("packs/"):
            return
        steps.append(step)
        assert ask(outside, f"SELECT state FROM packs WHERE name = '{name}'") == [("pending",)]
        assert ask(outside, f"SELECT b.cid FROM blocks b JOIN packs p ON p.id = b.pack WHERE p.name = '{name}'") == []
        assert visible() == before
        # The transaction that holds the turn of a flush has neither a snapshot nor a number, so it holds back nothing.
        inside = """
            SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'
            AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL OR query NOT LIKE '%pg_try_advisory_xact_lock%')
        """
        assert ask(outside, inside) == []

    def visible() -> list[tuple[Any, ...]]:
        return [*ask(outside, "SELECT key, manifest FROM objects ORDER BY key"), *ask(outside, "SELECT seq FROM buckets")]

    blobs = Watching(tmp_path / "blobs")
    blobs.look = look
    with mstbucket.open(database=database_url, blobs=blobs, background=False) as store:
        bucket = store.create_bucket("things")
        elsewhere = second_store.create_bucket("elsewhere")  # of what is here an import would write nothing
        elsewhere.put_object("large", LARGE[::-1])
        elsewhere.flush()
        car_file = io.BytesIO()
        elsewhere.export_car(car_file)
        for call in (
            lambda: bucket.put_object("large", LARGE),
            lambda: bucket.put_objects(mstbucket.PutRequest(f"many/{n}", b"%d" % n * 9000) for n in range(200)),
            bucket.flush,
            lambda: store.import_car(io.BytesIO(car_file.getvalue()), "back"),
        ):
            before = visible()
            steps.clear()
            call()
            assert (steps[0], steps[1], steps[-2:]) == ("begin", "write", ["commit", "committed"])
            assert visible() != before
            unsettled = "SELECT name FROM packs WHERE state <> 'ready'"
            assert ask(outside, unsettled) == []
            steps.clear()


def test_what_is_above_the_threshold_goes_to_a_pack_and_nothing_else_does(
    bucket: mstbucket.Bucket, outside: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """[PUT-3]"""
    bucket.put_object("small", b"s" * INLINE_MAX)
    assert ask(outside, "SELECT count(*) FROM packs") == [(0,)]
    bucket.put_object("large", b"l" * (INLINE_MAX + 1))
    assert ask(outside, "SELECT count(*) FROM packs") == [(1,)]
    assert ask(outside, "SELECT length FROM blocks WHERE body IS NOT NULL") == [(INLINE_MAX,)]


def test_the_packs_of_puts_and_flushes_name_the_block_of_no_bytes(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[PACK-2]"""
    bucket.put_object("large", LARGE)
    bucket.put_objects(mstbucket.PutRequest(f"{n}", b"%d" % n * 9000) for n in range(200))
    bucket.flush()
    packs = list((tmp_path / "blobs" / "packs").rglob("*.car"))
    assert len(packs) == 3
    empty = raw_cid(b"")
    for pack in packs:
        with pack.open("rb") as file:
            reader = car_reader.CarReader(file)
            assert reader.root == empty
            cid, block, *_ = next(iter(reader))
            assert (cid, bytes(block)) == (empty, b"")


# --- the locks ---

BARRIER: Final = "SELECT pg_advisory_lock(7172980, 0)"
BUCKET: Final = "SELECT pg_advisory_lock(7172981, (SELECT id::integer FROM buckets WHERE name = 'things'))"


@pytest.mark.parametrize("lock", [BARRIER, BUCKET], ids=["the store's barrier", "the bucket's lock"])
@pytest.mark.parametrize("verb", ["put", "put large", "put many", "delete", "copy", "flush", "import"])
def test_a_writer_waits_for_who_holds_a_lock_and_changes_nothing_until_then(
    store: mstbucket.Store, bucket: mstbucket.Bucket, outside: psycopg.Connection[tuple[Any, ...]], lock: str, verb: str
) -> None:
    """[PUT-5], [FLUSH-4]: shared both, and so behind whoever holds one exclusively, as a collection and a deletion do."""
    bucket.put_object("there", b"1")
    bucket.flush()
    exported = io.BytesIO()
    bucket.export_car(exported)
    bucket.put_object("dirty", b"2")
    if (verb, lock) == ("import", BUCKET):
        lock = BARRIER  # its bucket is not there yet, so nobody can hold that one's
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: bucket.put_object("new", b"3"),
        "put large": lambda: bucket.put_object("new", LARGE),
        "put many": lambda: bucket.put_objects([mstbucket.PutRequest("new", b"3"), mstbucket.PutRequest("newer", b"4")]),
        "delete": lambda: bucket.delete_object("there"),
        "copy": lambda: bucket.copy_object("there", "new"),
        "flush": bucket.flush,
        "import": lambda: store.import_car(io.BytesIO(exported.getvalue()), "back"),
    }
    state = "SELECT key, manifest FROM objects UNION ALL SELECT name, commit FROM buckets ORDER BY 1, 2"
    before = ask(outside, state)
    ask(outside, lock)
    with ThreadPoolExecutor(1) as pool:
        try:
            done = pool.submit(calls[verb])
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ShareLock'"
            deadline = time.monotonic() + PATIENCE
            while ask(outside, waiting) != [(1,)]:
                assert time.monotonic() < deadline, "it does not wait"
                assert not done.done(), "it did not wait"
                time.sleep(0.005)
            assert ask(outside, state) == before
        finally:
            ask(outside, "SELECT pg_advisory_unlock_all()")
        done.result()
    assert ask(outside, state) != before


def test_the_deletion_of_a_bucket_waits_for_the_writer_inside_and_sees_what_it_did(
    store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[PUT-5]"""
    inside, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with store._context.db.transaction() as connection:
            connection.execute("SELECT put_inline('things', 'k', '\\x00', '\\x01', 0, '', '', 0, 0, '', NULL, NULL, NULL, "
                               "NULL, '', NULL, NULL, NULL, NULL, NULL)")  # fmt: skip
            inside.set()
            assert go_on.wait(PATIENCE)

    with ThreadPoolExecutor(2) as pool:
        writer = pool.submit(write)
        assert inside.wait(PATIENCE)
        deletion = pool.submit(store.delete_bucket, "things")
        time.sleep(0.1)
        assert not deletion.done()
        go_on.set()
        writer.result()
        with pytest.raises(errors.BucketNotEmpty):
            deletion.result()


def test_bulk_writers_of_the_same_keys_in_any_order_never_wait_for_each_other_in_a_circle(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-9]: one order of locking; a circle that the server had to break would show, as nothing is repeated."""
    monkeypatch.setattr(pg_database, "RUN_ATTEMPTS", 1)
    barrier = threading.Barrier(4)

    def write(number: int) -> None:
        keys = [f"{n:03}" for n in range(150)]
        keys = keys[::-1] if number % 2 else keys
        for turn in range(6):
            barrier.wait()
            bodies = [key.encode() * (number + turn + 1) for key in keys]
            try:
                if number == 3 and turn % 2:
                    bucket.delete_objects(keys)
                else:
                    bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in zip(keys, bodies, strict=True))
            except BaseException:
                barrier.abort()  # the others do not wait for this one
                raise

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    bucket.flush()
    bucket.verify()


# --- rows ---


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["in the database", "in a pack"])
def test_a_block_that_is_needed_again_is_touched_with_the_current_epoch(
    bucket: mstbucket.Bucket, outside: psycopg.Connection[tuple[Any, ...]], body: bytes
) -> None:
    """[PUT-6], [FLUSH-6]: by a put of the same bytes, and the body of a copy by the flush that folds it."""
    bucket.put_object("k", body)
    needed = ask(outside, "SELECT cid FROM blocks WHERE length > 0 OR body IS NOT NULL ORDER BY cid")
    outside.execute("UPDATE collector SET epoch = 7")
    bucket.put_object("again", body)
    touched = ask(outside, "SELECT cid FROM blocks WHERE epoch = 7 AND (length > 0 OR body IS NOT NULL) ORDER BY cid")
    assert touched == needed
    bucket.flush()
    bucket.copy_object("k", "copied")
    outside.execute("UPDATE collector SET epoch = 8")
    bucket.flush()
    content = from_text(bucket.head_object("k").content)
    assert outside.execute("SELECT epoch FROM blocks WHERE cid = %s", (content,)).fetchone() == (8,)


def test_a_block_whose_row_is_gone_is_stored_again_though_its_pack_is_there(
    bucket: mstbucket.Bucket, outside: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """[PUT-6]: existence in the blob store proves nothing."""
    bucket.put_object("k", LARGE)
    outside.execute("DELETE FROM blocks")
    bucket.put_object("k", LARGE)
    assert bucket.get_object("k").read() == LARGE


@pytest.mark.parametrize("verb", ["put", "put large", "put many", "delete", "copy"])
def test_the_row_and_its_dirty_row_are_of_one_transaction(
    bucket: mstbucket.Bucket, outside: psycopg.Connection[tuple[Any, ...]], verb: str
) -> None:
    """[PUT-7]: seen by the number of the transaction that wrote each, and with a generation above all before it."""
    bucket.put_object("source", b"")
    bucket.put_object("k", b"1")
    last = ask(outside, "SELECT max(generation) FROM dirty")[0][0]
    {
        "put": lambda: bucket.put_object("k", b"2"),
        "put large": lambda: bucket.put_object("k", LARGE),
        "put many": lambda: bucket.put_objects([mstbucket.PutRequest("k", b"2"), mstbucket.PutRequest("l", b"3")]),
        "delete": lambda: bucket.delete_object("k"),
        "copy": lambda: bucket.copy_object("source", "k"),
    }[verb]()
    objects = ask(outside, "SELECT xmin::text FROM objects WHERE key = 'k'")
    ((generation, dirty),) = ask(outside, "SELECT generation, xmin::text FROM dirty WHERE key = 'k'")
    assert generation > last
    assert objects == ([] if verb == "delete" else [(dirty,)])


@pytest.mark.parametrize("was_done", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("verb", ["put large", "flush"])
def test_a_pack_whose_outcome_is_unknown_is_removed_only_if_its_row_is_pending(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str,
    was_done: bool,
) -> None:  # fmt: skip
    """[PUT-8]; of imports, test_import.py."""
    bucket.put_object("k", b"small")
    bucket.flush()
    bucket.put_object("l", b"small too")
    before = set((tmp_path / "blobs" / "packs").rglob("*.car"))
    database = type(store._context.db)
    follow_up = database._commit

    def lost(self: Any, connection: Any) -> None:
        if connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()[0] is not None:
            if was_done:
                follow_up(self, connection)
            else:
                connection.execute("ROLLBACK")
            raise errors.OutcomeUnknown("nobody can say")
        follow_up(self, connection)

    calls: dict[str, Callable[[], object]] = {
        "put large": lambda: bucket.put_object("large", LARGE),
        "flush": bucket.flush,
    }
    with monkeypatch.context() as patch:
        patch.setattr(database, "_commit", lost)
        with pytest.raises(errors.OutcomeUnknown):
            calls[verb]()
    assert len(set((tmp_path / "blobs" / "packs").rglob("*.car")) - before) == was_done
    with store._context.db.reading() as connection:
        assert connection.execute("SELECT count(*) FROM packs WHERE state <> 'ready'").fetchone() == (0,)
    assert ("large" in {item.key for item in bucket.objects()}) == (was_done and verb == "put large")
    bucket.flush()
    bucket.verify()


def test_a_dirty_row_that_a_writer_holds_is_left_to_the_next_flush(
    bucket: mstbucket.Bucket, database_url: str, outside: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """[FLUSH-7]: and the flush does not wait for the writer."""
    for key in ("held", "free"):
        bucket.put_object(key, b"1")
    with psycopg.connect(database_url) as writer:
        writer.execute("SELECT 1 FROM mstbucket.dirty WHERE key = 'held' FOR UPDATE")
        assert bucket.flush().objects == 2
        assert ask(outside, "SELECT key FROM dirty") == [("held",)]
    assert bucket.flush().seq == 2
    assert ask(outside, "SELECT key FROM dirty") == []


def test_a_flush_folds_one_moment(
    bucket: mstbucket.Bucket, database_url: str, outside: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """[FLUSH-2]: what is written between reading the commit and reading the rows is in neither."""
    bucket.put_object("a", b"1")
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(1) as pool:
        # A flush reads this table after the commit; a put does not read it.
        holder.execute("LOCK TABLE mstbucket.dirty_versions IN ACCESS EXCLUSIVE MODE")
        try:
            flush = pool.submit(bucket.flush)
            deadline = time.monotonic() + PATIENCE
            while not ask(outside, "SELECT FROM pg_locks WHERE NOT granted AND relation = 'dirty_versions'::regclass"):
                assert time.monotonic() < deadline, "it does not wait"
                time.sleep(0.005)
            bucket.put_objects([mstbucket.PutRequest("a", b"22"), mstbucket.PutRequest("b", b"333")])
        finally:
            holder.rollback()
        commit = flush.result()
    assert (commit.objects, commit.bytes) == (1, 1)
    assert bucket.verify().dirty == 2
    assert bucket.flush().bytes == 5


# --- reading ---


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE objects SET size = size - 1 WHERE key = 'large'",
        "UPDATE objects SET size = size + 1 WHERE key = 'large'",
        "UPDATE objects SET size = 5 WHERE key = 'large'",
        "UPDATE objects SET content = (SELECT content FROM objects WHERE key = 'small') WHERE key = 'large'",
        "UPDATE objects SET content = (SELECT content FROM objects WHERE key = 'large') WHERE key = 'small'",
    ],
    ids=["a byte less", "a byte more", "another height", "a chunk for a node", "a node for a chunk"],
)
def test_a_body_that_is_not_of_its_size_and_height_is_an_error(
    bucket: mstbucket.Bucket, outside: psycopg.Connection[tuple[Any, ...]], change: str
) -> None:
    """[GET-2]: every block is whole by its hash; it is in the wrong place."""
    bucket.put_object("large", LARGE)
    bucket.put_object("small", b"small")
    outside.execute(change.encode())
    wrong = "small" if change.endswith("'small'") and "SET content" in change and "'large')" in change else "large"
    with pytest.raises(errors.Untrue, match=f"'{wrong}' of bucket 'things'"):
        bucket.get_object(wrong).read()


def test_the_tree_is_not_read_to_answer(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[GET-3]: with every tree node and manifest gone, all is answered as before."""
    bucket.put_object("large", LARGE)
    bucket.put_object("a/b", b"", metadata={"m": "v"})
    (pack,) = (tmp_path / "blobs" / "packs").rglob("*.car")
    bucket.flush()
    for made in set((tmp_path / "blobs" / "packs").rglob("*.car")) - {pack}:
        made.unlink()
    assert bucket.get_object("large", range="bytes=-3").read() == b"end"
    assert bucket.head_object("a/b").metadata == {"m": "v"}
    assert bucket.list_objects(delimiter="/").common_prefixes == ("a/",)
    assert bucket.copy_object("large", "copied").size == len(LARGE)
    with pytest.raises(errors.MissingBlock):
        bucket.verify()


def test_a_flipped_bit_keeps_an_export_from_being_made(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[EXP-1], [EXP-2]: every block is hashed as it is read."""
    bucket.put_object("large", LARGE)
    bucket.flush()
    for pack in (tmp_path / "blobs" / "packs").rglob("*.car"):
        data = bytearray(pack.read_bytes())
        data[-1] ^= 1
        pack.write_bytes(data)
    with pytest.raises(errors.HashMismatch):
        bucket.export_car(tmp_path / "x.car")
    assert not (tmp_path / "x.car").exists()
