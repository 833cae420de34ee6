"""Small puts of several threads that leave in one transaction: each has the outcome that it would have alone."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import errors
from mstbucket.core.cid import raw_cid
from mstbucket.pg import database as database_module
from mstbucket.pg.database import Database
from mstbucket.services.blocks import groups as groups_module
from mstbucket.services.blocks.groups import Groups, Member
from mstbucket.services.objects import put_together

SECONDS = 30.0


def await_(what: Callable[[], Any]) -> None:
    """Wait until something holds, which is soon."""
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Queue:
    """The lines of a bucket, held by somebody: puts queue, each behind those before it, until `go`."""

    def __init__(self, bucket: mstbucket.Bucket, versioning: str | None = None) -> None:
        self._bucket = bucket
        self._groups = bucket._context.groups
        self._lines = [(bucket.name, versioning, anything) for anything in (True, False)]
        self._go = threading.Event()
        self._threads = ThreadPoolExecutor(40)
        for line in self._lines:
            self._threads.submit(self._groups.run, line, Member(None, "", 0), lambda: None, self._hold)
        await_(lambda: all(line in self._groups._lines for line in self._lines))

    def _hold(self, group: list[Member[Any]]) -> None:
        self._go.wait()
        group[0].done()

    @property
    def length(self) -> int:
        return sum(len(self._groups._lines[line]) for line in self._lines)

    def put(self, key: str, body: bytes, **said: Any) -> Future[Any]:
        """A put on a thread of its own, which is in the queue when this returns."""
        before = self.length
        future = self._threads.submit(self._bucket.put_object, key, body, **said)
        await_(lambda: future.done() or self.length > before)
        return future

    def go(self) -> None:
        self._go.set()

    def close(self) -> None:
        self._go.set()
        self._threads.shutdown()


@pytest.fixture
def hold() -> Iterator[Callable[..., Queue]]:
    """Makes a `Queue` of a bucket in which its puts wait."""
    made: list[Queue] = []

    def make(bucket: mstbucket.Bucket, versioning: str | None = None) -> Queue:
        made.append(Queue(bucket, versioning))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many puts each call of `put_group` had."""
    seen: list[int] = []
    real = put_together.put_group

    def counted(db: Database, bucket: str, puts: Any, *rest: Any) -> Any:
        seen.append(len(puts))
        return real(db, bucket, puts, *rest)

    monkeypatch.setattr(put_together, "put_group", counted)
    return seen


def ask(bucket: mstbucket.Bucket, query: str, *arguments: Any) -> list[Any]:
    with bucket._context.db.reading() as connection:
        return connection.execute(query, arguments).fetchall()


def outcome(future: Future[Any]) -> str:
    """What became of a put: its ETag, or the name of its error."""
    error = future.exception(SECONDS)
    if error is None:
        return str(future.result().etag)
    assert isinstance(error, errors.MstBucketError), error
    return type(error).__name__


# --- the whole ------------------------------------------------------------------------------------------------------


def test_puts_that_come_meanwhile_leave_in_one_transaction(
    bucket: mstbucket.Bucket, hold: Callable[..., Queue], sizes: list[int]
) -> None:
    """[PUT-16]: also with equal bodies, and with everything that goes with an object."""
    queue = hold(bucket)
    puts = {f"k{n}": queue.put(f"k{n}", b"%d" % (n % 7), metadata={"n": str(n)}, tags={"ä": "ö"}) for n in range(12)}
    queue.go()
    for n, (key, future) in enumerate(puts.items()):
        result, info = future.result(SECONDS), bucket.head_object(key)
        assert (result.key, result.etag, result.manifest) == (key, info.etag, info.manifest)
        assert (info.metadata, info.tags, info.size) == ({"n": str(n)}, {"ä": "ö"}, 1)
        assert bucket.get_object(key).read() == b"%d" % (n % 7)
    assert sizes == [12]
    assert ask(bucket, "SELECT count(DISTINCT xmin::text) FROM objects") == [(1,)]
    assert bucket.flush().objects == 12
    bucket.verify()
    assert bucket._context.groups._lines == {}


def test_who_is_alone_goes_at_once_with_one_statement(bucket: mstbucket.Bucket, sizes: list[int]) -> None:
    """[PUT-16]"""
    with ThreadPoolExecutor(1) as thread:
        for n in range(5):
            thread.submit(bucket.put_object, f"k{n}", b"x").result(SECONDS)
    assert sizes == []
    assert ask(bucket, "SELECT count(DISTINCT xmin::text) FROM objects") == [(5,)]


def test_the_main_thread_waits_for_nobody(bucket: mstbucket.Bucket, hold: Callable[..., Queue]) -> None:
    """[PUT-16]: a signal would interrupt it, with the puts of others in its hands."""
    queue = hold(bucket)
    other = queue.put("other", b"1")
    bucket.put_object("mine", b"2")
    assert not other.done()
    assert bucket.head_object("mine").size == 1


BODIES = st.integers(0, 3)
CONDITIONS = st.sampled_from(["none *", "match *", "none 0", "match 0", "match 1", "match 0, 1"])
PUTS = st.lists(st.tuples(st.sampled_from("abcd"), BODIES, CONDITIONS), min_size=2, max_size=9)
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def said(condition: str, tags: list[str]) -> dict[str, str]:
    """A condition as `put_object` takes it."""
    kind, _, what = condition.partition(" ")
    text = "*" if what == "*" else ", ".join(f'"{tags[int(n)]}"' for n in what.split(", "))
    return {f"if_{kind}" if kind == "match" else "if_none_match": text}


def decide(now: str | None, etag: str, condition: str | None, tags: list[str]) -> tuple[str, str | None]:
    """What a put does to a key that holds `now`: its outcome, and what the key holds afterwards."""
    if condition is None:
        return etag, etag
    kind, _, what = condition.partition(" ")
    among = now is not None and (what == "*" or now in [tags[int(n)] for n in what.split(", ")])
    if kind == "match" and now is None:
        return "NoSuchKey", now
    if among != (kind == "match"):
        return "PreconditionFailed", now
    return etag, etag


numbers = itertools.count()


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
@pytest.mark.parametrize("conditional", [True, False])
def test_a_queue_does_what_its_puts_would_do_one_after_the_other(
    store: mstbucket.Store, hold: Callable[..., Queue], versioning: str | None, conditional: bool
) -> None:
    """[PUT-16] [PUT-17]: outcomes, objects, versions, and the bodies that stay."""

    @FEW
    @given(PUTS)
    def check(puts: list[tuple[str, int, str]]) -> None:
        number = next(numbers)
        bucket = store.create_bucket(f"bucket-{number}")
        if versioning is not None:
            bucket.put_bucket_versioning(versioning)  # type: ignore[arg-type]
        store._context.versioning[bucket.name] = versioning
        bodies = [b"%d of %d" % (n, number) for n in range(4)]
        tags = [md5(body).hexdigest() for body in bodies]
        queue = Queue(bucket, versioning)
        futures = [queue.put(key, bodies[n], **(said(c, tags) if conditional else {})) for key, n, c in puts]
        queue.close()
        state: dict[str, str | None] = {}
        expected, kept, stored = [], dict.fromkeys("abcd", 0), set()
        for key, n, condition in puts:
            told, state[key] = decide(state.get(key), tags[n], condition if conditional else None, tags)
            expected.append(told)
            if told == tags[n]:
                kept[key] += 1
                stored.add(raw_cid(bodies[n]))
        assert [outcome(future) for future in futures] == expected
        assert {item.key: item.etag for item in bucket.list_objects().contents} == {k: e for k, e in state.items() if e}
        if versioning == "Enabled":
            there = [version.key for version in bucket.list_object_versions().versions]
            assert {key: there.count(key) for key in "abcd"} == kept
        held = ask(bucket, "SELECT cid FROM blocks WHERE cid = ANY (%s)", [raw_cid(body) for body in bodies])
        assert {bytes(cid) for (cid,) in held} == stored

    check()


def explained(puts: list[tuple[str, int, str | None]], told: list[str], last: str | None, tags: list[str]) -> bool:
    """Whether some order of the puts of one key gives what they were told, and what the key holds in the end."""
    for order in itertools.permutations(range(len(puts))):
        now: str | None = None
        for at in order:
            said_, now = decide(now, tags[puts[at][1]], puts[at][2], tags)
            if said_ != told[at]:
                break
        else:
            if now == last:
                return True
    return False


@settings(parent=FEW, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("ab"), BODIES, st.none() | CONDITIONS), min_size=4, max_size=7))
def test_threads_at_once_do_what_some_order_of_them_would(
    store: mstbucket.Store, puts: list[tuple[str, int, str | None]]
) -> None:
    """[PUT-16] [PUT-17] [PUT-18]: puts with a condition and without, in groups of their own, at the same keys."""
    number = next(numbers)
    bucket = store.create_bucket(f"bucket-{number}")
    bodies = [b"%d of %d" % (n, number) for n in range(4)]
    tags = [md5(body).hexdigest() for body in bodies]
    start = threading.Barrier(len(puts))

    def put(key: str, n: int, condition: str | None) -> Any:
        start.wait()
        return bucket.put_object(key, bodies[n], **({} if condition is None else said(condition, tags)))  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(puts)) as threads:
        told = [outcome(future) for future in [threads.submit(put, *one) for one in puts]]
    state = {item.key: item.etag for item in bucket.list_objects().contents}
    for key in "ab":
        mine = [at for at, one in enumerate(puts) if one[0] == key]
        assert explained([puts[at] for at in mine], [told[at] for at in mine], state.get(key), tags)


# --- neighbours -------------------------------------------------------------------------------------------------------


def test_a_refused_put_leaves_nothing_and_its_neighbours_are_stored(
    bucket: mstbucket.Bucket, hold: Callable[..., Queue], sizes: list[int]
) -> None:
    """[PUT-17]"""
    bucket.put_object("taken", b"first")
    queue = hold(bucket)
    good = [queue.put(f"k{n}", b"good", if_none_match="*") for n in range(3)]
    bad = [queue.put("taken", b"refused", if_none_match="*"), queue.put("no such key", b"refused", if_match="*")]
    queue.go()
    assert [outcome(future) for future in bad] == ["PreconditionFailed", "NoSuchKey"]
    assert [(e.bucket, e.key) for e in map(Future.exception, bad)] == [("things", "taken"), ("things", "no such key")]  # type: ignore[union-attr]
    assert "'taken' with the ETag" in str(bad[0].exception())
    assert {outcome(future) for future in good} == {md5(b"good").hexdigest()}
    assert sizes == [5, 3]
    assert ask(bucket, "SELECT count(*) FROM blocks WHERE cid = %s", raw_cid(b"refused")) == [(0,)]
    assert bucket.get_object("taken").read() == b"first"


def test_a_key_that_changes_while_a_group_waits_for_it_undoes_the_group(
    bucket: mstbucket.Bucket, hold: Callable[..., Queue], database_url: str
) -> None:
    """[PUT-17]: the look has found no object, and the hold finds one."""
    queue = hold(bucket)
    futures = [queue.put(key, key.encode(), if_none_match="*") for key in ("a", "b", "c")]
    columns = "bucket, key, manifest, content, size, etag, created, modified"
    with psycopg.connect(database_url, options="-c search_path=mstbucket") as other:
        other.execute(f"INSERT INTO objects ({columns}) SELECT id, 'b', '', '', 0, 'e', 0, 0 FROM buckets")
        queue.go()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await_(lambda: other.execute("SELECT pg_stat_clear_snapshot()") and other.execute(waiting).fetchone())
    assert [outcome(future) for future in futures] == [md5(b"a").hexdigest(), "PreconditionFailed", md5(b"c").hexdigest()]
    assert ask(bucket, "SELECT count(*) FROM blocks WHERE cid = %s", raw_cid(b"b")) == [(0,)]


def test_a_body_in_a_damaged_pack_is_written_by_itself(bucket: mstbucket.Bucket, hold: Callable[..., Queue]) -> None:
    """[PUT-18] [PUT-13]"""
    bucket.put_object("old", b"damaged")
    bucket.flush()
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE packs SET damaged = true")
    queue = hold(bucket)
    futures = [queue.put(f"k{n}", body) for n, body in enumerate((b"sound", b"damaged", b"other"))]
    queue.go()
    assert [future.result(SECONDS).key for future in futures] == ["k0", "k1", "k2"]
    assert [bucket.get_object(f"k{n}").read() for n in range(3)] == [b"sound", b"damaged", b"other"]
    bucket.flush()
    bucket.verify()


@pytest.mark.parametrize("company", [True, False], ids=["in a group", "leading alone"])
def test_a_put_that_waits_for_a_lock_stops_nobody_else(
    bucket: mstbucket.Bucket, hold: Callable[..., Queue], database_url: str, company: bool
) -> None:
    """[PUT-18]"""
    bucket.put_object("held", b"1")
    with psycopg.connect(database_url, options="-c search_path=mstbucket") as other, ThreadPoolExecutor(8) as threads:
        other.execute("SELECT FROM objects WHERE key = 'held' FOR UPDATE")
        if company:
            queue = hold(bucket)
            held = queue.put("held", b"2")
            others = [queue.put(f"k{n}", b"3") for n in range(4)]
            queue.go()
        else:
            held = threads.submit(bucket.put_object, "held", b"2")
            await_(lambda: bucket._context.groups._lines)
            others = [threads.submit(bucket.put_object, f"k{n}", b"3") for n in range(4)]
        assert {outcome(future) for future in others} == {md5(b"3").hexdigest()}
        assert not held.done()
        other.rollback()
        assert outcome(held) == md5(b"2").hexdigest()


def test_of_a_bucket_that_was_deleted_meanwhile_only_its_own_puts_fail(
    store: mstbucket.Store, hold: Callable[..., Queue]
) -> None:
    """[PUT-18]: each with an error of its own."""
    gone, stays = store.create_bucket("gone"), store.create_bucket("stays")
    queues = hold(gone), hold(stays)
    lost, kept = ([queue.put(f"k{n}", b"x") for n in range(3)] for queue in queues)
    store.delete_bucket("gone")
    for queue in queues:
        queue.go()
    assert {outcome(future) for future in kept} == {md5(b"x").hexdigest()}
    raised = [future.exception(SECONDS) for future in lost]
    assert [(type(e), e.key) for e in raised] == [(errors.NoSuchBucket, f"k{n}") for n in range(3)]  # type: ignore[union-attr]
    assert len(set(map(id, raised))) == 3


def test_a_bucket_that_got_versions_meanwhile(bucket: mstbucket.Bucket, hold: Callable[..., Queue]) -> None:
    """[PUT-18] [VSN-7]: manifests are made again, with ids of versions."""
    queue = hold(bucket)
    futures = [queue.put(key, b"x") for key in ("a", "b", "a", "c")]
    bucket.put_bucket_versioning("Enabled")
    queue.go()
    told = {future.result(SECONDS).version_id for future in futures}
    assert told == {version.version_id for version in bucket.list_object_versions().versions}
    assert len(told) == 4


def test_versions_of_a_group_are_locked_by_default(store: mstbucket.Store, hold: Callable[..., Queue]) -> None:
    """[PUT-16] [LOCK-4]"""
    bucket = store.create_bucket("locked", object_lock=True)
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE buckets SET lock_mode = 'GOVERNANCE', lock_days = 1 WHERE name = 'locked'")
    bucket.put_object("first", b"x")
    queue = hold(bucket, "Enabled")
    futures = [queue.put(f"k{n}", b"x") for n in range(3)]
    queue.go()
    for future in futures:
        info = bucket.head_object(future.result(SECONDS).key)
        assert info.object_lock_mode == "GOVERNANCE"
        assert info.object_lock_retain_until is not None
        assert info.object_lock_retain_until - info.last_modified >= timedelta(hours=23)


def test_bodies_of_a_group_are_touched(bucket: mstbucket.Bucket, hold: Callable[..., Queue]) -> None:
    """[PUT-16] [PUT-6]: whether they are here or in a pack."""
    bucket.put_object("packed", b"packed")
    bucket.flush()
    bucket.put_object("here", b"here")
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE collector SET epoch = epoch + 1")
    queue = hold(bucket)
    futures = [queue.put(f"k{n}", body) for n, body in enumerate((b"packed", b"here", b"new", b"here"))]
    queue.go()
    assert "MstBucketError" not in [outcome(future) for future in futures]
    cids = [raw_cid(body) for body in (b"packed", b"here", b"new")]
    assert ask(bucket, "SELECT epoch FROM blocks WHERE cid = ANY (%s)", cids) == [(2,), (2,), (2,)]


# --- trouble ----------------------------------------------------------------------------------------------------------

SLOW = """
    CREATE TABLE slow (); CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF to_regclass('slow') IS NOT NULL THEN PERFORM pg_sleep(20); END IF; RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON objects FOR EACH ROW EXECUTE FUNCTION wait()
"""


def test_a_session_that_is_killed_in_the_middle_of_a_group(
    bucket: mstbucket.Bucket, hold: Callable[..., Queue], database_url: str, sizes: list[int]
) -> None:
    """[PUT-18]: nothing of the group was done, and each put goes by itself."""
    queue = hold(bucket)
    futures = [queue.put(f"k{n}", b"x", if_none_match="*") for n in range(5)]
    sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    with psycopg.connect(database_url, options="-c search_path=mstbucket", autocommit=True) as other:
        other.execute(SLOW)
        queue.go()
        await_(lambda: other.execute(f"SELECT 1 {sleeping}").fetchone())
        other.execute("ALTER TABLE slow RENAME TO quick")
        assert other.execute(f"SELECT pg_terminate_backend(pid) {sleeping}").fetchall() == [(True,)]
    assert {outcome(future) for future in futures} == {md5(b"x").hexdigest()}
    assert sizes == [5]


@pytest.fixture
def proxy(database_url: str, load_server: Callable[[str], Any]) -> Iterator[Any]:
    """A proxy before the server, which loses nothing until it is armed."""
    with tempfile.TemporaryDirectory(prefix="mstbucket-proxy-") as folder:
        made = load_server("commit_proxy").Proxy(Path(folder), database_url)
        made.armed = False
        yield made
        made.close()


@pytest.mark.parametrize("arrives", [True, False], ids=["it arrived", "it never arrived"])
def test_a_lost_commit_is_followed_up_for_all_of_a_group(
    proxy: Any, tmp_path: Path, hold: Callable[..., Queue], arrives: bool
) -> None:
    """[PUT-19] [PG-13]: all of them are stored, once; with a condition, so that a blind repetition would show."""
    with mstbucket.open(database=proxy.url, blobs=tmp_path / "blobs", background=False) as store:
        bucket = store.create_bucket("things")
        queue = hold(bucket)
        futures = [queue.put(f"k{n}", b"x", if_none_match="*") for n in range(5)]
        proxy.at_commit = lambda: arrives
        proxy.armed = True
        queue.go()
        assert {outcome(future) for future in futures} == {md5(b"x").hexdigest()}
        proxy.armed = False
        assert len(bucket.list_objects().contents) == 5


WAYS: dict[str, Callable[[mstbucket.Bucket, bytes], object]] = {
    "put large": lambda bucket, body: bucket.put_object("0", body * 60_000),
    "put many": lambda bucket, body: bucket.put_objects([mstbucket.PutRequest(f"{n}", body) for n in range(3)]),
    "delete": lambda bucket, _: bucket.delete_objects(["0", "1"]),
    "flush": lambda bucket, _: bucket.flush(),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_lost_commits_are_all_told_right(proxy: Any, tmp_path: Path) -> None:
    """[PG-13]: half of the commits never arrive. With a condition a blind repetition would show."""
    choice = random.Random(1000)
    told: Counter[str] = Counter()

    def look(bucket: mstbucket.Bucket) -> dict[str, bytes]:
        return {one.key: bucket.get_object(one.key).read() for one in bucket.objects()}

    with (
        mstbucket.open(database=proxy.url, blobs=tmp_path / "blobs", background=False) as store,
        mstbucket.open(database=proxy.url, blobs=tmp_path / "blobs", background=False) as other,
    ):
        bucket, twin = store.create_bucket("things"), other.create_bucket("twin")
        while told.total() < 1000:
            way, body, arrives = choice.choice(list(WAYS)), b"%d" % told.total(), choice.random() < 0.5
            lost = []

            def at_commit(arrives: bool = arrives, lost: list[bool] = lost) -> bool:
                proxy.armed = False
                lost.append(arrives)
                return arrives

            before = look(bucket)
            proxy.at_commit, proxy.armed = at_commit, True
            error = None
            try:
                WAYS[way](bucket, body)
            except errors.StorageError as raised:
                error = raised
            proxy.armed = False
            if error is None:
                WAYS[way](twin, body)  # what a call does that nobody disturbs
                assert look(bucket) == look(twin), (way, arrives)
            else:
                assert type(error) is errors.StorageError, (way, arrives, error)  # the server can be asked
                assert look(bucket) == before, (way, arrives, error)
            if lost:
                told[f"{way}, {'done' if error is None else 'not done'}"] += 1
        assert not store.check("proof").findings
    print(f"\n{told.total()} of {told.total()}: {dict(told)}")


def test_a_lost_commit_that_nobody_can_be_asked_about_is_unknown_to_all(
    proxy: Any, tmp_path: Path, hold: Callable[..., Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-19] [PG-13]"""
    monkeypatch.setattr(database_module, "RETURN_SECONDS", 0.3)
    with mstbucket.open(database=proxy.url, blobs=tmp_path / "blobs", background=False) as store:
        bucket = store.create_bucket("things")
        queue = hold(bucket)
        futures = [queue.put(f"k{n}", b"x", if_none_match="*") for n in range(5)]

        def shut() -> bool:
            proxy.refuse = True
            while store._context.db._pool._idle:  # else one of these would be asked
                store._context.db._pool._idle.pop().close()
            return True

        proxy.at_commit = shut
        proxy.armed = True
        queue.go()
        assert [outcome(future) for future in futures] == ["OutcomeUnknown"] * 5
        assert len({id(future.exception()) for future in futures}) == 5
        proxy.armed = proxy.refuse = False
        assert len(bucket.list_objects().contents) == 5


# --- the queue itself -------------------------------------------------------------------------------------------------


def run_groups(members: list[Member[int]]) -> list[list[int]]:
    """The groups in which these members go that queue in this order."""
    groups: Groups[int] = Groups()
    seen: list[list[int]] = []
    go = threading.Event()

    def together(group: list[Member[int]]) -> None:
        go.wait()
        seen.append([member.what for member in group])
        for member in group:
            member.done()

    def fail() -> None:
        raise AssertionError

    with ThreadPoolExecutor(len(members) + 1) as threads:
        threads.submit(groups.run, "line", Member(-1, "first", 0), fail, together)
        await_(lambda: groups._lines)
        for n, member in enumerate(members):
            threads.submit(groups.run, "line", member, fail, together)
            await_(lambda n=n: len(groups._lines["line"]) == n + 1)
        go.set()
    assert groups._lines == {}
    assert seen[0] == [-1]
    return seen[1:]


def test_a_group_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """[PUT-16]: what does not fit stays in its place, and one that is too large goes alone."""
    monkeypatch.setattr(groups_module, "GROUP_PUTS_MAX", 3)
    monkeypatch.setattr(groups_module, "GROUP_BYTES_MAX", 10)
    sizes = [4, 4, 4, 1, 1, 11, 1, 0]
    assert run_groups([Member(n, f"k{n}", size) for n, size in enumerate(sizes)]) == [[0, 1, 3], [2, 4, 6], [5], [7]]


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=8))
def test_of_one_key_a_group_has_one_and_they_go_as_they_came(keys: list[str]) -> None:
    """[PUT-16]"""
    gone = run_groups([Member(n, key, 0) for n, key in enumerate(keys)])
    for group in gone:
        assert len({keys[n] for n in group}) == len(group)
    for key in "abc":
        assert [n for group in gone for n in group if keys[n] == key] == [n for n, k in enumerate(keys) if k == key]


def test_a_leader_whose_thread_is_ended_leaves_nobody_waiting() -> None:
    """[PUT-19]: nobody knows what it has done for the others."""
    groups: Groups[int] = Groups()
    go = threading.Event()

    def together(group: list[Member[int]]) -> None:
        go.wait()
        if len(group) > 1:
            raise SystemExit
        group[0].done()

    def run(n: int) -> str:
        try:
            groups.run("line", Member(n, str(n), 0), lambda: None, together)
        except BaseException as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(5) as threads:
        futures = [threads.submit(run, 0)]
        await_(lambda: groups._lines)
        for n in range(1, 4):
            futures.append(threads.submit(run, n))
            await_(lambda n=n: len(groups._lines["line"]) == n)
        go.set()
        assert [future.result(SECONDS) for future in futures] == ["done", "SystemExit", "OutcomeUnknown", "OutcomeUnknown"]
        assert threads.submit(run, 9).result(SECONDS) == "done"
    assert groups._lines == {}


def test_a_forked_child_begins_with_empty_lines() -> None:
    """[PUT-16]: whoever leads in the parent does not come back here."""
    groups: Groups[int] = Groups()
    go = threading.Event()

    def together(group: list[Member[int]]) -> None:
        go.wait()
        group[0].done()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(groups.run, "line", Member(0, "a", 0), lambda: None, together)
        await_(lambda: groups._lines)
        with groups._mutex:
            child = os.fork()
        if child == 0:
            thread = threading.Thread(
                target=groups.run,
                args=("line", Member(1, "b", 0), lambda: None, lambda group: group[0].done()),
                daemon=True,
            )
            thread.start()
            thread.join(SECONDS)
            os._exit(thread.is_alive())
        go.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
