"""A collection removes what nothing reaches, and nothing else (spec/store/26-collection.md)."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from collectstate import ask, assert_nothing_dangles, give_up_commits

import mstbucket
from mstbucket.blobs.names import pack_name
from mstbucket.errors import CollectionRefused, Conflict, InvalidInput, MissingBlock, MstBucketError, Unsupported
from mstbucket.limits import COLLECTIONS_MAX, KIB, MIB, PART_SIZE_MIN
from mstbucket.model.policies import Retention

LARGE = random.Random(1).randbytes(3 * MIB + 5)  # four chunks and a node


def blobs(tmp_path: Path) -> set[str]:
    """The names of the packs on disk."""
    root = tmp_path / "blobs"
    return {str(path.relative_to(root)) for path in (root / "packs").rglob("*") if path.is_file()}


def test_what_is_deleted_goes_and_what_is_there_stays(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[GC-4] [GC-8]"""
    for n in range(300):
        bucket.put_object(f"small/{n}", b"%d" % n * 20)
    bucket.put_object("kept", LARGE)
    bucket.put_object("large", LARGE[:-1])
    bucket.flush()
    for n in range(0, 300, 2):
        bucket.put_object(f"small/{n}", b"new %d" % n * 20)
    bucket.delete_object("large")
    bucket.flush()
    assert store.collect(grace=0).freed.blocks == 0, "the first commit still reaches all of it"
    give_up_commits(store)
    report = store.collect(grace=0)
    assert report.freed.blocks > 150
    assert report.freed == report.dead
    assert report.kinds["chunks"].blocks == 151, "the small bodies, and the last chunk of the large one"
    assert report.kinds["body nodes"].blocks == 1
    assert_nothing_dangles(store)
    assert bucket.get_object("kept").read() == LARGE
    assert bucket.get_object("small/2").read() == b"new 2" * 20
    assert bucket.get_object("small/3").read() == b"3" * 20
    again = store.collect(grace=0)
    assert (again.freed.blocks, again.dead.blocks, again.spared.blocks) == (0, 0, 0)
    [(known,)] = ask(store, "SELECT array_agg(name) FROM packs")
    assert set(known) == blobs(tmp_path)


def test_bodies_that_wait_for_a_flush_are_kept_and_go_when_their_keys_go(
    store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[GC-2]"""
    bucket.put_object("a", b"waits")
    bucket.put_object("b", b"goes")
    bucket.put_object("b", b"waits too")
    bucket.put_object("large", LARGE)
    report = store.collect(grace=0)
    assert report.freed.blocks == 1
    assert bucket.get_object("b").read() == b"waits too"
    bucket.flush()
    assert_nothing_dangles(store)
    assert bucket.get_object("large").read() == LARGE


def test_an_empty_bucket_and_an_emptied_one_stay_whole(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-2]"""
    bucket.flush()
    bucket.put_object("a", LARGE)
    bucket.flush()
    bucket.delete_object("a")
    bucket.flush()
    give_up_commits(store)
    store.collect(grace=0, force=True)
    assert_nothing_dangles(store)
    bucket.put_object("a", LARGE)
    bucket.flush()
    store.collect(grace=0, force=True)
    assert_nothing_dangles(store)
    bucket.delete_object("a")
    bucket.flush()
    give_up_commits(store)
    store.delete_bucket("things")
    store.collect(grace=0, force=True)
    assert ask(store, "SELECT count(*) FROM blocks") == [(0,)]
    assert ask(store, "SELECT count(*) FROM packs") == [(0,)]


def test_parts_of_open_uploads_are_kept(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-2] [MPU-12]"""
    body = random.Random(2).randbytes(PART_SIZE_MIN + 7)
    upload = bucket.create_multipart_upload("whole")
    gone = bucket.create_multipart_upload("gone")
    bucket.upload_part("gone", gone.id, 1, bytes(reversed(body)))
    part = bucket.upload_part("whole", upload.id, 1, body)
    assert store.collect(grace=0).freed.blocks == 0
    bucket.abort_multipart_upload("gone", gone.id)
    assert store.collect(grace=0).freed.blocks == 6
    bucket.complete_multipart_upload("whole", upload.id, [(1, part.etag)])
    store.collect(grace=0)
    assert bucket.get_object("whole").read() == body


def test_versions_are_kept_under_a_lock_and_without_one(store: mstbucket.Store) -> None:
    """[GC-2]"""
    bucket = store.create_bucket("locked", object_lock=True)
    until = datetime.now(UTC) + timedelta(days=1)
    first = bucket.put_object("a", LARGE).version_id
    assert first is not None
    bucket.put_object_retention("a", Retention("COMPLIANCE", until), version_id=first)
    second = bucket.put_object("a", LARGE[1:]).version_id
    bucket.delete_object("a")
    bucket.flush()
    bucket.delete_object("a", version_id=second)
    bucket.flush()
    give_up_commits(store)
    report = store.collect(grace=0, force=True)
    assert report.freed.bytes > 3 * MIB, "the second version went"
    assert bucket.get_object("a", version_id=first).read() == LARGE
    assert_nothing_dangles(store)


def test_a_lease_holds_a_commit_whose_row_has_gone(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-2] A reader of the past, an export, a proof."""
    bucket.put_object("a", LARGE)
    bucket.flush()
    ask(store, "INSERT INTO leases (cid, tree, versions, until) SELECT cid, tree, versions, 9e15::bigint FROM commits")
    bucket.delete_object("a")
    bucket.flush()
    give_up_commits(store)
    assert store.collect(grace=0, force=True).freed.blocks == 0
    ask(store, "DELETE FROM leases")
    assert store.collect(grace=0, force=True).freed.bytes > 3 * MIB


def test_a_dry_run_says_what_a_run_then_does(store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[GC-13]"""
    for n in range(20):
        bucket.put_object(f"{n}", LARGE + b"%d" % n)
    bucket.flush()
    for n in range(3):
        bucket.delete_object(f"{n}")
    bucket.flush()
    give_up_commits(store)
    before = blobs(tmp_path)
    said = store.collect(dry_run=True)
    assert said.dry_run
    assert said.freed.blocks == 0
    assert blobs(tmp_path) == before
    assert_nothing_dangles(store)
    done = store.collect(grace=0)
    assert (done.dead, done.kinds, done.live, done.packs) == (said.dead, said.kinds, said.live, said.packs)
    assert done.freed == said.dead
    assert len(blobs(tmp_path)) < len(before)


def test_more_than_half_is_freed_only_with_force(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-13]"""
    bucket.put_object("a", LARGE)
    bucket.delete_object("a")
    count = ask(store, "SELECT count(*) FROM blocks")
    with pytest.raises(CollectionRefused, match="more than 50 of 100"):
        store.collect(grace=0)
    assert ask(store, "SELECT count(*) FROM blocks") == count
    assert store.collect(grace=0, force=True).freed.bytes > len(LARGE)


def test_what_was_removed_comes_back_until_the_grace_ends(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[GC-10] [GC-11]"""
    for n in range(200):
        bucket.put_object(f"small/{n}", random.Random(n).randbytes(300))
    bucket.put_object("large", LARGE)
    bucket.flush()
    # The commit that is given up, as a mistake would.
    mistake = ask(store, "SELECT * FROM commits")
    for n in range(0, 200, 3):
        bucket.put_object(f"small/{n}", b"other %d" % n)
    bucket.delete_object("large")
    bucket.flush()
    give_up_commits(store)
    rows = ask(store, "SELECT cid, length FROM blocks ORDER BY cid")
    before = blobs(tmp_path)
    report = store.collect(force=True)
    assert report.undo_until is not None
    assert report.freed.blocks > 60
    assert report.packs == 1
    assert blobs(tmp_path) >= before, "nothing has gone from the disk"
    assert store.space().waiting > 3 * MIB
    bucket.put_object("large", LARGE)  # born again meanwhile
    assert bucket.get_object("large").read() == LARGE
    back = store.undo_collect()
    assert 60 < back.blocks <= report.freed.blocks
    assert set(ask(store, "SELECT cid, length FROM blocks")) >= set(rows)
    assert store.space().waiting == 0
    bucket.delete_object("large")
    bucket.flush()
    # What was given up by mistake is a commit again, and whole.
    ask(store, "INSERT INTO commits VALUES (" + ", ".join(["%s"] * len(mistake[0])) + ")", *mistake[0])
    ask(store, "DELETE FROM commits WHERE seq > 1")
    ask(store, "UPDATE buckets SET (commit, seq) = (SELECT cid, seq FROM commits)")
    assert bucket.export_car(tmp_path / "old.car").bytes > len(LARGE)
    mstbucket.verify_car(tmp_path / "old.car")
    assert store.undo_collect() == mstbucket.Amount(0, 0)


def test_after_the_grace_nothing_comes_back_and_the_room_is_free(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[GC-10]"""
    bucket.put_object("a", LARGE)
    bucket.put_object("b", b"small")
    bucket.delete_object("a")
    bucket.delete_object("b")
    store.collect(force=True)
    assert len(blobs(tmp_path)) == 1
    store.compact()
    assert len(blobs(tmp_path)) == 1, "compaction leaves what waits"
    ask(store, "UPDATE packs SET until = now_ms() - 1, alive = 0")
    ask(store, "UPDATE collections SET until = now_ms() - 1")
    store.compact()
    assert blobs(tmp_path) == set()
    assert ask(store, "SELECT count(*) FROM buried") == [(0,)]
    assert store.undo_collect().blocks == 0
    assert store.space().waiting == 0


def test_a_pack_of_one_small_block_is_not_written_again_for_ever(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-9]: more than half of it is what begins every pack."""
    bucket.put_object("a", b"1")
    bucket.flush()
    bucket.put_object("a", b"1" * 500)
    bucket.put_object("b", b"1")
    bucket.flush()
    give_up_commits(store)
    assert store.collect(force=True, grace=0).rewritten > 0
    assert store.collect(force=True, grace=0).rewritten == 0
    assert_nothing_dangles(store)


def test_thin_packs_of_any_size_are_written_again(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-9]"""
    monkeypatch.setattr("mstbucket.services.upkeep.rewrite.COMPACT_BLOCKS", 40)
    monkeypatch.setattr("mstbucket.services.upkeep.rewrite._ASK_BLOCKS", 30)
    data = random.Random(5)
    bodies = {f"{n:03}": data.randbytes(30 * KIB) for n in range(300)}
    for key, body in bodies.items():
        bucket.put_object(key, body)
    bucket.flush()
    assert max(path.stat().st_size for path in (tmp_path / "blobs" / "packs").rglob("*.car")) > 8 * MIB
    for key in list(bodies)[:200]:
        del bodies[key]
        bucket.delete_object(key)
    bucket.flush()
    give_up_commits(store)
    report = store.collect(grace=0, force=True)
    assert report.thin >= 1
    assert report.rewritten == report.thin
    size = sum(path.stat().st_size for path in (tmp_path / "blobs" / "packs").rglob("*.car"))
    assert size < 1.1 * sum(map(len, bodies.values()))
    assert {key: bucket.get_object(key).read() for key in bodies} == bodies
    assert_nothing_dangles(store)


def test_an_undo_brings_back_what_died_in_a_pack_that_was_written_again(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[GC-10] [GC-11]: the old blob waits, for the rows that lead there."""
    for n in range(100):
        bucket.put_object(f"{n:03}", random.Random(n).randbytes(1000))
    bucket.flush()
    rows = set(ask(store, "SELECT cid FROM blocks"))
    for n in range(90):
        bucket.delete_object(f"{n:03}")
    bucket.flush()
    give_up_commits(store)
    report = store.collect(force=True)
    assert report.rewritten >= 1
    assert store.undo_collect().blocks == report.freed.blocks
    assert set(ask(store, "SELECT cid FROM blocks")) >= rows
    lost = ask(store, "SELECT cid FROM blocks")
    for (cid,) in lost:
        assert store._context.blocks.get(cid)
    assert_nothing_dangles(store)


def test_a_node_that_cannot_be_read_ends_it_and_nothing_is_removed(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[GC-5] [GC-12]"""
    bucket.put_object("a", b"one")
    bucket.flush()
    bucket.put_object("b", LARGE)
    bucket.delete_object("b")
    [(tree,)] = ask(store, "SELECT tree FROM commits")
    query = 'SELECT p.name, b."offset" FROM blocks b JOIN packs p ON p.id = b.pack WHERE cid = %s'
    [(name, offset)] = ask(store, query, tree)
    path = tmp_path / "blobs" / name
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(good[:offset] + bytes([good[offset] ^ 1]) + good[offset + 1 :])
    count = ask(store, "SELECT count(*) FROM blocks")
    with pytest.raises(MstBucketError):
        store.collect(grace=0, force=True)
    with pytest.raises(CollectionRefused, match="damage"):
        store.collect(grace=0)
    assert ask(store, "SELECT count(*) FROM blocks") == count
    path.write_bytes(good)
    bucket.verify()
    assert store.collect(grace=0, force=True).freed.bytes > 3 * MIB


def test_a_lost_row_of_a_node_ends_it(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-5]"""
    bucket.put_object("a", b"one")
    bucket.flush()
    [(tree,)] = ask(store, "SELECT tree FROM commits")
    ask(store, "DELETE FROM blocks WHERE cid = %s", tree)
    bucket.put_object("b", b"two")
    bucket.delete_object("b")
    with pytest.raises(MissingBlock):
        store.collect(grace=0, force=True)
    assert len(ask(store, "SELECT FROM blocks WHERE body IS NOT NULL")) == 1


def test_a_block_that_a_pending_pack_counts_on_is_spared(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-7] [PUT-11]"""
    from mstbucket.core.cid import raw_cid
    from mstbucket.services.blocks.incoming import Incoming

    chunk = LARGE[:MIB]
    bucket.put_object("a", LARGE)
    with Incoming(store._context) as incoming:
        incoming.add(raw_cid(chunk), chunk)
        incoming._write_missing()
        bucket.delete_object("a")
        report = store.collect(grace=0, force=True)
        assert (report.freed.blocks, report.spared.blocks) == (0, 5)
        assert incoming._counted == {raw_cid(chunk)}
    assert store.collect(grace=0, force=True).freed.blocks == 5


def test_a_block_that_is_touched_between_mark_and_sweep_stays(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-7] A dead block is born again."""
    from mstbucket.services.collection import cycle

    bucket.put_object("a", LARGE)
    bucket.put_object("s", b"small")
    bucket.delete_object("a")
    bucket.delete_object("s")
    real = cycle.find_strays

    def put_again(context: Any) -> Any:
        bucket.put_object("again", LARGE)
        bucket.put_object("small", b"small")
        return real(context)

    monkeypatch.setattr(cycle, "find_strays", put_again)
    report = store.collect(grace=0, force=True)
    assert report.dead.blocks == 6
    assert report.freed.blocks == 0
    assert bucket.get_object("again").read() == LARGE
    assert bucket.get_object("small").read() == b"small"
    bucket.flush()
    assert_nothing_dangles(store)


def test_blobs_that_no_row_names_are_reported_and_go_after_a_week(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[GC-14]"""
    bucket.put_object("a", LARGE)
    name = pack_name()
    store._context.blobs.put(name, b"whatever")
    assert store.collect().strays == (name,)
    assert store.collect().strays_removed == 0
    assert name in blobs(tmp_path)
    ask(store, "UPDATE strays SET seen = seen - 7 * 86400000")
    report = store.collect()
    assert (report.strays, report.strays_removed) == ((name,), 1)
    assert name not in blobs(tmp_path)
    assert store.collect().strays == ()
    assert bucket.get_object("a").read() == LARGE


def test_one_collects_at_a_time(open_store: Callable[[], mstbucket.Store], monkeypatch: pytest.MonkeyPatch) -> None:
    from mstbucket.services.collection import cycle

    one, other = open_store(), open_store()
    real = cycle.find_strays

    def meanwhile(context: Any) -> Any:
        with pytest.raises(Conflict, match="another process"):
            other.collect()
        return real(context)

    monkeypatch.setattr(cycle, "find_strays", meanwhile)
    one.collect()


def test_a_writer_inside_for_long_is_waited_for_only_now_and_then(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-1]"""
    from mstbucket.services.collection import roots

    monkeypatch.setattr(roots, "ATTEMPTS", 2)
    monkeypatch.setattr(roots, "BARRIER_WAIT", "100ms")
    with psycopg.connect(store.conninfo()) as connection:
        connection.execute("SELECT pg_advisory_xact_lock_shared(7172980, 0)")
        with pytest.raises(Conflict):
            store.collect()
        bucket.put_object("a", b"goes through")
    store.collect()


@pytest.mark.parametrize("grace", [-1, 10**9, 1.5, "1", True])
def test_a_grace_that_cannot_be_is_refused(store: mstbucket.Store, grace: Any) -> None:
    with pytest.raises(InvalidInput, match="grace"):
        store.collect(grace=grace)


def test_space_says_what_lives_and_what_waits(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-16]"""
    assert store.space() == mstbucket.SpaceInfo(0, None, None, 0, None)
    bucket.put_object("a", LARGE)
    bucket.put_object("b", LARGE[:MIB])
    bucket.put_object("c", LARGE[7:])
    bucket.delete_object("a")
    store.collect()
    space = store.space()
    assert space.live is not None
    assert space.live > 4 * MIB
    assert space.waiting > 2 * MIB
    assert space.last is not None
    assert space.last.freed.blocks == 4
    assert space.stored >= space.live


def test_all_waits_as_long_as_the_cycle_says(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[GC-10]: an undo brings back all of it or, once the window has ended, nothing."""
    for n in range(3):
        bucket.put_object(f"{n}", LARGE + b"%d" % n)
        bucket.delete_object(f"{n}")
    assert store.collect(grace=60, dry_run=True).undo_until is None
    report = store.collect(force=True, grace=60)
    assert ask(store, "SELECT DISTINCT p.until = c.until FROM packs p, collections c WHERE p.until IS NOT NULL") == [(True,)]
    assert report.undo_until is not None
    assert store.collect(force=True, grace=60).undo_until is None, "it removed nothing"


@pytest.mark.parametrize(("compression", "encryption"), [("zstd", None), (None, "KEY"), ("zstd", "KEY")])
def test_packs_of_every_kind_are_collected_and_written_again(
    database_url: str, tmp_path: Path, compression: str | None, encryption: str | None
) -> None:
    """[GC-9]: how thin a pack is, the CAR in it says."""
    if encryption is not None:
        encryption = str(tmp_path / "key")
        Path(encryption).write_text("ab" * 32)
        Path(encryption).chmod(0o600)
    with mstbucket.open(
        database=database_url, blobs=tmp_path / "blobs", background=False, compression=compression, encryption=encryption
    ) as store:
        bucket = store.create_bucket("things")
        bodies = {f"{n:03}": b"%d" % n * 3000 for n in range(100)}
        for key, body in bodies.items():
            bucket.put_object(key, body)
        bucket.flush()
        for key in list(bodies)[:80]:
            del bodies[key]
            bucket.delete_object(key)
        bucket.flush()
        give_up_commits(store)
        report = store.collect(force=True)
        assert report.rewritten >= 1
        assert {key: bucket.get_object(key).read() for key in bodies} == bodies
        assert store.undo_collect().blocks == report.freed.blocks
        assert_nothing_dangles(store)
        store.collect(force=True, grace=0)
        assert {key: bucket.get_object(key).read() for key in bodies} == bodies
        assert_nothing_dangles(store)


def test_after_the_last_number_a_collection_is_refused_and_everything_else_goes_on(
    store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[GC-28]"""
    with store._context.db.connection() as connection:
        connection.execute("UPDATE collector SET epoch = %s", (COLLECTIONS_MAX - 1,))
    bucket.put_object("a", b"a" * 100_000)
    store.collect()
    for _ in range(2):
        with pytest.raises(Unsupported, match="new store"):
            store.collect()
    bucket.put_object("b", b"b" * 100_000)
    bucket.delete_object("a")
    assert bucket.flush() is not None
    assert ask(store, "SELECT epoch FROM collector") == [(COLLECTIONS_MAX,)]
    assert store.check(level="data").findings == ()
