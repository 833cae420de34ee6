"""Compaction of small packs: nothing changes but their number, beside readers and writers, and wherever it ends."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from inside import rows
from seen import bodies_of, exported

import mstbucket
from mstbucket import errors
from mstbucket.blobs import names
from mstbucket.core.cid import raw_cid
from mstbucket.index import kept
from mstbucket.index.packs import Pack
from mstbucket.index.tx import StoreTx
from mstbucket.pg.database import Database
from mstbucket.services.blocks import registered
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.past.snapshots import find_commit
from mstbucket.services.tree import refs as publishing
from mstbucket.services.upkeep import compact as compacting
from mstbucket.services.upkeep.compact import COMPACT_LEAST, Compactor, remove_leftovers

Open = Callable[[], mstbucket.Store]


def packs(bucket: mstbucket.Bucket) -> list[str]:
    return [info.name for info in bucket._context.blobs.list("packs/")]


def assert_whole(bucket: mstbucket.Bucket) -> None:
    """What holds at any moment: the bucket is true; every pack in the store has a row; every ready pack is in the store."""
    bucket.verify()
    # First the store, then the rows: a row stands before its blob and is there as long as it.
    there = packs(bucket)
    known = {row[0] for row in rows(bucket, "SELECT name FROM packs")}
    assert set(there) <= known
    ready = {row[0] for row in rows(bucket, "SELECT name FROM packs WHERE state = 'ready'")}
    assert ready <= set(there)
    lost = "SELECT count(*) FROM blocks b WHERE pack IS NOT NULL AND NOT EXISTS (SELECT FROM packs p WHERE p.id = b.pack)"
    assert rows(bucket, lost) == [(0,)]


def fill(bucket: mstbucket.Bucket, flushes: int, seed: int = 1) -> dict[str, bytes]:
    """So many tiny flushes; what is in the bucket then."""
    rng = random.Random(seed)
    held: dict[str, bytes] = {}
    for n in range(flushes):
        key, body = f"{rng.randrange(40)}/{n % 60}", rng.randbytes(rng.randrange(2000))
        bucket.put_object(key, body)
        held[key] = body
        bucket.flush()
    return held


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_many_tiny_packs_become_one_and_nothing_else_changes(
    database_url: str, tmp_path: Path, compression: str
) -> None:
    """[STO-5], [STO-6]: the same objects, commit, CAR; one pack; also of compressed packs."""
    with mstbucket.open(
        database=database_url, blobs=tmp_path / "blobs", background=False, compression=compression
    ) as store:
        bucket = store.create_bucket("things")
        held = fill(bucket, 60)
        before, commit = exported(bucket), bucket.head_commit()
        assert len(packs(bucket)) == 60
        report = store.compact()
        assert (report.packs, report.damaged) == (60 + report.made - 1, {})
        assert len(packs(bucket)) == 1
        assert rows(bucket, "SELECT count(*) FROM packs") == [(1,)]
        assert exported(bucket) == before
        assert bucket.head_commit() == commit
        assert bodies_of(bucket) == held
        assert_whole(bucket)
        again = store.compact()
        assert (again.packs, again.made) == (0, 0)


def test_the_background_waits_for_enough_packs_and_so_their_number_is_bounded(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-5]: below COMPACT_LEAST of a size nothing is done; after any number of flushes few packs are there."""
    compactor = Compactor(bucket._context)
    fill(bucket, COMPACT_LEAST - 1)
    assert compactor.run().made == 0
    most = 0
    for n in range(9):
        fill(bucket, 9, seed=n)
        compactor.run()
        most = max(most, len(packs(bucket)))
    assert most <= 3 * (COMPACT_LEAST - 1)
    assert_whole(bucket)


def test_newer_packs_come_first_each_in_its_order(bucket: mstbucket.Bucket, store: mstbucket.Store) -> None:
    """[STO-8]: of what a compacted pack holds, it is the order in which an export of the newest commit meets it."""
    fill(bucket, 20)
    at = {cid: (-pack, offset) for cid, pack, offset in rows(bucket, 'SELECT cid, pack, "offset" FROM blocks')}
    store.compact()
    after = [bytes(row[0]) for row in rows(bucket, 'SELECT cid FROM blocks ORDER BY pack, "offset"')]
    empty = raw_cid(b"")  # the root of every pack, and its first block
    assert [cid for cid in after if cid != empty] == sorted((cid for cid in at if cid != empty), key=at.__getitem__)


def test_refs_of_old_commits_go_and_the_newest_stay(
    bucket: mstbucket.Bucket, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-10]: also of a bucket and its import, which have one identity and sequences far apart."""
    monkeypatch.setattr(publishing, "REFS_KEPT", 5)
    fill(bucket, 12)
    copy = store.import_car(io.BytesIO(exported(bucket)), "copy")
    fill(copy, 30, seed=2)
    assert kept.give_up(store._context.db, find_commit(store._context, "things", None).bucket, range(1, 100)) == 11
    assert kept.give_up(store._context.db, find_commit(store._context, "copy", None).bucket, range(1, 100)) == 30
    store.compact()
    seqs = [int(info.name.split("/")[2][:16], 16) for info in bucket._context.blobs.list("refs/")]
    assert seqs == [*range(8, 13), *range(38, 43)]
    assert [commit.seq for commit in bucket.log()] == [12]


def test_blocks_that_nothing_knows_any_more_are_not_taken_along(bucket: mstbucket.Bucket, store: mstbucket.Store) -> None:
    """[STO-6]: only what the index finds in a pack is copied."""
    noise = random.Random(5).randbytes(10_000)
    bucket.put_object("k", noise)
    bucket.put_object("l", b"1")
    bucket.flush()
    bucket.delete_object("k")
    bucket.flush()
    with bucket._context.db.connection() as connection:  # what a collection would do
        assert connection.execute("DELETE FROM mstbucket.blocks WHERE length = 10000").rowcount == 1
    store.compact()
    assert sum(info.size for info in bucket._context.blobs.list("packs/")) < 8_000
    assert_whole(bucket)


def test_a_damaged_pack_is_left_alone_and_the_others_are_compacted(
    bucket: mstbucket.Bucket, store: mstbucket.Store, tmp_path: Path
) -> None:
    """[STO-7]."""
    fill(bucket, 20)
    victim = rows(bucket, "SELECT name FROM packs ORDER BY id OFFSET 7 LIMIT 1")[0][0]
    path = tmp_path / "blobs" / victim
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    report = store.compact()
    assert list(report.damaged) == [victim]
    assert victim in packs(bucket)
    assert len(packs(bucket)) == 2
    data[-3] ^= 1
    path.write_bytes(data)
    assert store.compact().damaged == {}
    assert_whole(bucket)


def test_readers_and_writers_beside_compaction_see_nothing_of_it(
    bucket: mstbucket.Bucket, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-3], [STO-6], [PUT-6]: gets, exports, puts of bodies that are there already, flushes; all at once, for real."""
    monkeypatch.setattr(compacting, "COMPACT_LEAST", 2)
    held = fill(bucket, 40)
    fixed = {f"fixed/{n}": body for n, body in enumerate(held.values())}
    for key, body in fixed.items():
        bucket.put_object(key, body)
    bucket.flush()
    stop = threading.Event()
    problems: list[BaseException] = []
    done = {"read": 0, "put": 0, "export": 0, "compacted": 0}

    def loop(what: str, work: Callable[[random.Random], int]) -> Callable[[], None]:
        def run() -> None:
            rng = random.Random(what)
            try:
                while not stop.is_set():
                    done[what] += work(rng)
            except BaseException as error:
                problems.append(error)
                stop.set()

        return run

    def read(rng: random.Random) -> int:
        key = rng.choice(sorted(fixed))
        assert bucket.get_object(key).read() == fixed[key]
        return 1

    def put(rng: random.Random) -> int:
        body = rng.choice(list(fixed.values()))
        bucket.put_object(f"again/{rng.randrange(30)}", body)
        if rng.random() < 0.5:
            bucket.put_objects(mstbucket.PutRequest(f"new/{rng.randrange(9)}", rng.randbytes(70_000)) for _ in range(2))
        bucket.flush()
        return 1

    def export(rng: random.Random) -> int:
        bucket.verify()
        return 1

    other = open_store()

    def compact(rng: random.Random) -> int:
        return other.compact().made

    works = {"read": read, "put": put, "export": export, "compacted": compact}
    threads = [threading.Thread(target=loop(what, work)) for what, work in works.items()]
    for thread in threads:
        thread.start()
    stop.wait(5)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert all(count > 0 for count in done.values())
    assert {key: body for key, body in bodies_of(bucket).items() if key in fixed} == fixed
    bucket.flush()
    assert_whole(bucket)


def test_two_that_compact_at_once_do_not_get_into_each_others_way(
    bucket: mstbucket.Bucket, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-6]: also where the lock that keeps them apart is not there, the second one's work is in vain, and no more."""
    held = fill(bucket, 30)
    both = [Compactor(open_store()._context) for _ in range(2)]
    meet = threading.Barrier(2)
    switch = compacting._switch

    def together(*arguments: Any) -> Any:
        if not meet.broken:
            with suppress(threading.BrokenBarrierError):
                meet.wait(5)
            meet.abort()
        return switch(*arguments)

    monkeypatch.setattr(compacting, "_switch", together)
    monkeypatch.setattr(compacting, "_LOCK", None)  # of NULL: not taken by anybody, and not refused to anybody
    reports = []
    monkeypatch.setattr(Database, "holding", lambda *_, **__: nullcontext(True))
    threads = [threading.Thread(target=lambda g=g: reports.append(g.run(2))) for g in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((report.made, report.packs) for report in reports) == [(0, 0), (1, 30)]
    assert bodies_of(bucket) == held
    assert_whole(bucket)
    assert len(packs(bucket)) == 1


# --- what crashes leave ------------------------------------------------------------------------------------------------


def test_a_pack_whose_writer_lives_is_not_touched_and_a_dead_ones_goes(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-9]: signs of life count, not the age."""
    context = bucket._context
    monkeypatch.setattr(registered, "ALIVE_SECONDS", 0.0)
    with PackInProgress(context) as living, PackInProgress(context) as silent:
        with context.db.connection() as connection:
            connection.execute("UPDATE packs SET created = created - 90000000")  # 25 hours
        living.add(*_block(b"1" * 300_000))
        assert remove_leftovers(context) == 1
        living.seal()
        with context.db.transaction() as connection:
            living.record(StoreTx(connection, 1))
        living.keep()
        silent.add(*_block(b"2" * 300_000))
        silent.seal()  # its blob becomes visible although its row is gone
        with pytest.raises(errors.StorageError, match="given up"), context.db.transaction() as connection:
            silent.record(StoreTx(connection, 1))
    assert packs(bucket) == [living.name]
    assert rows(bucket, "SELECT name, state FROM packs") == [(living.name, "ready")]


def _block(data: bytes) -> tuple[bytes, bytes]:
    return raw_cid(data), data


def test_doomed_packs_go_when_they_are_old_enough(bucket: mstbucket.Bucket) -> None:
    """[STO-4], [STO-9]: the blob first, then the row; a blob that is gone already is no error."""
    fill(bucket, 3)
    context = bucket._context
    there = packs(bucket)
    with context.db.connection() as connection:
        doom = "INSERT INTO packs (name, state, created, alive) VALUES (%s, 'doomed', 0, now_ms() - %s)"
        for n, age in enumerate((0, 599_000, 601_000, 10**9)):
            name = f"packs/00/{n:032x}.car"
            if n != 3:
                context.blobs.put(name, b"x")
            connection.execute(doom, (name, age))
    assert remove_leftovers(context) == 2
    assert set(packs(bucket)) == {*there, f"packs/00/{0:032x}.car", f"packs/00/{1:032x}.car"}
    assert rows(bucket, "SELECT count(*) FROM packs WHERE state = 'doomed'") == [(2,)]


def test_killed_at_any_point_the_store_is_whole_and_the_next_compaction_ends_it(
    bucket: mstbucket.Bucket, database_url: str, tmp_path: Path, run_killed: Callable[..., int]
) -> None:
    """[STO-4], [STO-6]: SIGKILL before and after calls all over the work, so that every stage is hit."""
    arguments = (database_url, str(tmp_path / "blobs"))
    held = fill(bucket, 8)
    calls = run_killed("store.compact()", 0, *arguments)
    seen: set[str] = set()
    for seed in range(12):
        held |= fill(bucket, 8, seed=seed)
        run_killed("store.compact()", 1 + (calls - 1) * seed // 11, *arguments)
        assert bodies_of(bucket) == held
        assert_whole(bucket)
        seen |= {row[0] for row in rows(bucket, "SELECT state FROM packs")}
    assert seen == {"pending", "ready", "doomed"}  # some died in the middle of a pack, some before a removal
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE packs SET created = 0, alive = NULL WHERE state <> 'ready'")
    Compactor(bucket._context).run(2)
    assert len(packs(bucket)) == 1
    assert bodies_of(bucket) == held
    assert_whole(bucket)


def test_a_pack_that_is_written_again_while_it_is_compacted_is_not_called_damaged(
    bucket: mstbucket.Bucket, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-3] Between the choice of packs and their reading each of them gets another blob: nothing is wrong with any."""
    fill(bucket, 6)
    before = exported(bucket)
    due = Compactor._due

    def overtaken(self: Compactor, least: int) -> list[Pack]:
        packs = due(self, least)
        if packs:
            with bucket._context.db.connection() as connection:
                for number, name, _ in packs:
                    other = names.pack_name()
                    size = bucket._context.blobs.head(name).size
                    bucket._context.blobs.put(other, bucket._context.blobs.get_range(name, 0, size))
                    connection.execute("UPDATE packs SET name = %s WHERE id = %s", (other, number))
                    bucket._context.blobs.delete(name)
            monkeypatch.setattr(Compactor, "_due", due)
        return packs

    monkeypatch.setattr(Compactor, "_due", overtaken)
    report = store.compact()
    assert report.damaged == {}
    assert exported(bucket) == before
    assert store.compact().damaged == {}
    assert_whole(bucket)


def test_compaction_beside_writing_again_calls_nothing_damaged(
    bucket: mstbucket.Bucket, open_store: Open, database_url: str, tmp_path: Path
) -> None:
    """[STO-3] Both at once, again and again, in one encoding and the other."""
    expected = fill(bucket, 20)
    for kind in ("zstd:1", "none"):
        other = mstbucket.open(database=database_url, blobs=tmp_path / "blobs", background=False, compression=kind)
        with other:
            with ThreadPoolExecutor(2) as pool:
                both = [pool.submit(other.reencode), pool.submit(open_store().compact)]
                found = [one.result(60).damaged for one in both]
            assert found == [{}, {}]
        fill(bucket, 3, seed=len(kind))
    assert all(bucket.head_object(key).key == key for key in expected)
    assert_whole(bucket)
