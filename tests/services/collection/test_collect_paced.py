"""The cycle of the background hardly shows: it sleeps mostly, holding nothing, and rests while nothing can have died."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from collectstate import ask, give_up_commits

import mstbucket
from mstbucket.cli.collecting import _lines
from mstbucket.errors import Conflict, MstBucketError
from mstbucket.index import collection
from mstbucket.limits import COLLECT_PAUSE_SECONDS, COLLECT_PERCENT, MIB, PART_SIZE_MIN
from mstbucket.services.collection import count, turns
from mstbucket.services.upkeep import collect as collecting
from mstbucket.services.upkeep import compact
from mstbucket.services.upkeep.collect import Collector, Pace, is_due
from mstbucket.services.upkeep.compact import Compactor
from tests.waiting import until


def test_it_sleeps_for_nine_times_what_it_worked_but_never_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """[GC-19]"""
    now = 100.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(collecting, "time", SimpleNamespace(monotonic=lambda: now))
    pace = Pace(sleep)
    for worked in (0.0, 0.01, 0.5, 3600.0, 0.01):
        now += worked
        pace()
    assert slept == pytest.approx([0, 0.09, 4.5, COLLECT_PAUSE_SECONDS, 0.09])
    assert sum(slept[:3]) == pytest.approx(0.51 * (100 / COLLECT_PERCENT - 1)), "COLLECT_PERCENT of the time is work"


def test_it_holds_neither_a_snapshot_nor_the_barrier_while_it_sleeps(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-19]: nor any row, in any of its steps."""
    source = random.Random(5)
    bucket.put_object("large", source.randbytes(3 * MIB))
    for n in range(60):
        bucket.put_object(f"{n}", source.randbytes(300))
    bucket.flush()
    for n in range(50):
        bucket.delete_object(f"{n}")
    bucket.put_object("last", b"")
    bucket.flush()
    give_up_commits(store)
    monkeypatch.setattr(count, "PAGE", 20)
    monkeypatch.setattr("mstbucket.services.collection.cycle.BATCH", 20)
    slept: list[object] = []
    held = """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)),
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7172980
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """
    report = collecting.collect(
        store._context, dry_run=False, force=True, grace=0, check=Pace(lambda _: slept.extend(ask(store, held)))
    )
    assert report.freed.blocks > 50
    assert report.rewritten > 0
    assert len(slept) > 10, "marking, counting, removing and writing again"
    assert set(slept) == {(0, 0)}


# --- rest -------------------------------------------------------------------------------------------------------------


def quiet(store: mstbucket.Store) -> None:
    """Collect until a cycle has nothing to do."""
    for _ in range(4):
        store.collect(force=True, grace=0)
        if not collection.may_have_died(store._context.db):
            return
    leases = ask(store, "SELECT * FROM leases")
    pytest.fail(f"there is always something to collect: {store.collect(force=True)} {leases}")


Work = Callable[[mstbucket.Store, mstbucket.Bucket, Path], object]
DATA = random.Random(9).randbytes(PART_SIZE_MIN)


def _upload(bucket: mstbucket.Bucket) -> str:
    upload = bucket.create_multipart_upload("uploaded")
    bucket.upload_part("uploaded", upload.id, 1, DATA)
    return upload.id


def _fork(store: mstbucket.Store) -> None:
    store.fork("things", "forked")
    empty(store.bucket("forked"))
    store.delete_bucket("forked")


def _import(store: mstbucket.Store, bucket: mstbucket.Bucket, path: Path) -> None:
    path.mkdir(exist_ok=True)
    bucket.flush()
    bucket.export_car(path / "b.car")
    store.import_car(path / "b.car", "imported")
    empty(store.bucket("imported"))


def _repair(store: mstbucket.Store, bucket: mstbucket.Bucket, _: Path) -> None:
    ask(store, "UPDATE objects SET etag = 'other' WHERE key = 'large'")
    store.repair_index("things", accept_loss=True)


KILLERS: dict[str, Work] = {
    "a small object is overwritten": lambda s, b, p: b.put_object("small", b"other"),
    "a large object is overwritten": lambda s, b, p: b.put_object("large", b"other"),
    "an object is overwritten by itself, and flushed": lambda s, b, p: (b.put_object("small", b"one"), b.flush()),
    "an object is deleted": lambda s, b, p: b.delete_object("large"),
    "several are deleted": lambda s, b, p: b.delete_objects(["large", "small"]),
    "an object comes and goes": lambda s, b, p: (b.put_object("x", b"x"), b.delete_object("x")),
    "a version is deleted for good": lambda s, b, p: s.bucket("kept").delete_object(
        "a", version_id=[v.version_id for v in s.bucket("kept").versions()][-1]
    ),
    "tags change": lambda s, b, p: b.put_object_tagging("small", {"a": "b"}),
    "an upload is aborted": lambda s, b, p: b.abort_multipart_upload("uploaded", _upload(b)),
    "a part comes again": lambda s, b, p: b.upload_part("uploaded", _upload(b), 1, b"less"),
    "a commit is given up": lambda s, b, p: give_up_commits(s),
    "a bucket goes": lambda s, b, p: s.delete_bucket("empty"),
    "a flush, and its commit is given up": lambda s, b, p: (b.put_object("y", b"y"), b.flush(), give_up_commits(s)),
    "a fork comes and goes": lambda s, b, p: _fork(s),
    "an import": lambda s, b, p: _import(s, b, p),
    "rows are made anew by a repair": _repair,
}  # fmt: skip


def empty(bucket: mstbucket.Bucket) -> None:
    """Remove what is in it."""
    bucket.delete_objects([item.key for item in bucket.objects()])


@pytest.fixture
def rested(store: mstbucket.Store, bucket: mstbucket.Bucket) -> mstbucket.Store:
    """A store in which nothing is left to collect."""
    for n in range(2):
        bucket.put_object("small", b"one")
        bucket.put_object("large", random.Random(n).randbytes(MIB))
        bucket.flush()
    kept = store.create_bucket("kept")
    kept.put_bucket_versioning("Enabled")
    for n in range(3):
        kept.put_object("a", b"%d" % n)
    kept.flush()
    store.create_bucket("empty").flush()
    quiet(store)
    return store


@pytest.mark.parametrize("what", KILLERS)
def test_it_does_not_rest_once_something_may_have_died(rested: mstbucket.Store, what: str, tmp_path: Path) -> None:
    """[GC-18]: the full mark agrees: where it finds something dead, the sign had changed."""
    KILLERS[what](rested, rested.bucket("things"), tmp_path)
    assert collection.may_have_died(rested._context.db)


@pytest.mark.parametrize("seed", range(3))
def test_where_it_rests_the_full_mark_finds_nothing(rested: mstbucket.Store, seed: int, tmp_path: Path) -> None:
    """[GC-18]: random things are done, and whenever it rests, nothing is dead."""
    dice = random.Random(seed)
    for _ in range(12):
        what = dice.choice([*KILLERS])
        with suppress(MstBucketError):  # what is gone is gone
            KILLERS[what](rested, rested.bucket("things"), tmp_path / f"{dice.random()}")
        if not collection.may_have_died(rested._context.db):
            assert rested.collect(dry_run=True).dead.blocks == 0
        if dice.random() < 0.5:
            quiet(rested)


def test_a_cycle_for_which_only_the_time_has_come_is_left_out(rested: mstbucket.Store) -> None:
    """[GC-18] [GC-15]: until somebody reads a commit, or something is written."""
    day = "UPDATE collections SET ended = ended - 24 * 3600000"
    ask(rested, day)
    assert not is_due(rested._context)
    bucket = rested.bucket("things")
    assert bucket.get_object("small").read() == b"one"
    assert list(bucket.objects())
    assert not is_due(rested._context)
    bucket.put_object("new", b"nothing dies of it, but who knows")
    assert is_due(rested._context)
    rested.collect()
    with bucket.at(1) as view:
        assert view.get_object("small").read() == b"one"
        rested.collect()
        ask(rested, day)
        assert is_due(rested._context), "while a lease holds a commit, it may go without a trace"


def test_what_is_left_over_keeps_it_from_resting(rested: mstbucket.Store) -> None:
    """[GC-18]: blobs without a row are seen to for the second time days later."""
    from mstbucket.blobs.names import pack_name

    rested._context.blobs.put_if_absent(pack_name(), b"nobody knows it")
    rested.bucket("things").put_object("new", b"")
    rested.collect()
    assert collection.may_have_died(rested._context.db)


# --- giving way -------------------------------------------------------------------------------------------------------

DEADLINE = 120.0  # on a hang


@pytest.fixture
def waiting(store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether somebody waits for the background's cycle; there is something to collect, and it is due."""
    for n in range(2):
        bucket.put_object("large", random.Random(n).randbytes(MIB))
    bucket.flush()
    monkeypatch.setattr(collecting, "is_due", lambda _: True)
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.0)
    return lambda: store._context.db.is_held(turns._WAITING)


def background(store: mstbucket.Store, wait: Callable[[float], object]) -> object:
    """One look of the background's collector; the error by which its cycle ended."""
    collector = Collector(store._context, wait)
    collector._next = 0.0
    try:
        collector.look()
    except Conflict as error:
        return error
    return None


@pytest.mark.parametrize("dry_run", [False, True])
def test_who_asks_for_a_collection_comes_before_the_background(
    store: mstbucket.Store, waiting: Callable[[], bool], dry_run: bool
) -> None:
    """[GC-17]: the cycle of the background sleeps, and ends when somebody waits."""
    sleeping = threading.Event()

    def wait(_: float) -> None:
        sleeping.set()
        until(waiting)

    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(background, store, wait)
        assert sleeping.wait(DEADLINE)
        report = store.collect(dry_run=dry_run, force=True, grace=0)
        assert "has given way" in str(ended.result(DEADLINE))
    assert report.dead.blocks > 0
    assert not waiting()
    assert background(store, lambda _: None) is None, "the next one goes through"


def test_of_two_that_were_asked_for_one_is_refused_at_once(store: mstbucket.Store, waiting: Callable[[], bool]) -> None:
    """[GC-17]: neither of them sleeps, so neither gives way."""

    def again() -> None:
        with pytest.raises(Conflict, match="another process is collecting"):
            store.collect()

    collecting.collect(store._context, dry_run=True, force=False, grace=0, check=again)


def test_the_background_waits_for_nobody(store: mstbucket.Store, waiting: Callable[[], bool]) -> None:
    """[GC-17]: what was asked for goes on beside it."""
    seen: list[object] = []
    collecting.collect(
        store._context, dry_run=True, force=False, grace=0, check=lambda: seen.append(background(store, lambda _: None))
    )
    assert seen
    assert all("another process is collecting" in str(error) for error in seen)


def test_who_asks_waits_for_thin_packs_that_the_background_writes_again(
    store: mstbucket.Store, waiting: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-17]: the background gives way there too, and the report says what was done by whom."""
    monkeypatch.setattr(turns, "GIVE_WAY_SECONDS", DEADLINE)
    rewriting = threading.Event()

    def check() -> None:
        rewriting.set()
        until(waiting)
        raise Conflict("given way")

    compactor = Compactor(store._context)
    thin = thin_packs(store)
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(compactor.rewrite, thin, check)
        assert rewriting.wait(DEADLINE)
        report = store.collect(force=True, grace=0)
        assert isinstance(ended.exception(DEADLINE), Conflict)
    assert report.rewritten == report.thin > 0


def test_thin_packs_that_somebody_writes_again_for_long_are_left_and_told(
    store: mstbucket.Store, waiting: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-17]"""
    monkeypatch.setattr(turns, "GIVE_WAY_SECONDS", 0.2)
    thin_packs(store)
    with store._context.db.holding(compact._LOCK) as held:
        assert held
        report = store.collect(force=True, grace=0)
    assert (report.rewritten, report.thin > 0) == (0, True)
    assert any("thin pack" in line and "left as" in line for line in _lines(report))


def thin_packs(store: mstbucket.Store) -> list[int]:
    """Make packs of which less than half lives; their row numbers."""
    bucket = store.bucket("things")
    for n in range(8):
        bucket.put_object(f"{n}", random.Random(n).randbytes(100_000))
    bucket.flush()
    for n in range(7):
        bucket.delete_object(f"{n}")
    bucket.flush()
    give_up_commits(store)
    return list(collecting.run_cycle(store._context, False, True, 0, lambda: None).thin)
