"""What died goes without a mark: what a sweep removes, what it leaves for later, and what it leaves to the cycles."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import psycopg
import pytest
from collectstate import ask, assert_nothing_dangles
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sweepstate import between_look_and_removal, needed, retain_one, rows, sweep_once

import mstbucket
from mstbucket import PutRequest
from mstbucket.core.cid import DAG_PB, raw_cid, to_text
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.node import EMPTY_ROOT
from mstbucket.core.s3rules.conditions import ANYTHING
from mstbucket.core.unixfs import decode_file
from mstbucket.errors import CollectionRefused, InvalidRequest, MissingBlock, NoSuchKey
from mstbucket.index import deaths
from mstbucket.index.objects import NewObject
from mstbucket.index.small_puts import SmallPut, put_group
from mstbucket.limits import MIB, PART_SIZE_MIN
from mstbucket.pg.database import Database
from mstbucket.services.tree import flush as flushing
from mstbucket.services.tree.fold import fold

_DATA = random.Random(11)
SMALL = _DATA.randbytes(2000)
LARGE = _DATA.randbytes(2 * MIB + 77)
NUMBERS = count()

#: Packs to which more rows lead than are counted.
MORE_ROWS = """
    SELECT count(*) FROM packs p WHERE state = 'ready' AND rows < (SELECT count(*) FROM blocks b WHERE b.pack = p.id)
"""


@pytest.fixture(autouse=True)
def no_rail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores of these tests are so small that most of them dies."""
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)


def filled(store: mstbucket.Store) -> mstbucket.Bucket:
    bucket = store.create_bucket("plain")
    bucket.put_objects(PutRequest(f"{n}", b"%d" % n * 50) for n in range(40))
    bucket.put_object("a", LARGE)
    bucket.put_object("alone", SMALL[9:])
    bucket.flush()
    return bucket


def dead(store: mstbucket.Store) -> set[bytes]:
    return rows(store) - needed(store) - {EMPTY_ROOT}  # that one is left to the cycles


def below(store: mstbucket.Store, roots: Iterable[bytes]) -> set[bytes]:
    """What the bodies among *roots* lead to; they are of one level here."""
    bodies = (cid for cid in roots if cid[1] == DAG_PB)
    return {child for cid in bodies for child, _ in decode_file(store.get_block(to_text(cid))).links}


# --- what goes ----------------------------------------------------------------------------------------------------------


def test_what_was_overwritten_goes_once_no_commit_has_it(store: mstbucket.Store) -> None:
    """[GC-20] [GC-24]"""
    bucket = filled(store)
    bucket.put_object("a", b"other")
    bucket.put_object("7", SMALL)
    bucket.put_object("alone", b"other")
    bucket.delete_object("8")
    bucket.flush()
    assert sweep_once(store) == set(), "the commit before is kept"
    retain_one(store)
    all_dead = dead(store)
    assert len(all_dead) > 8, "nodes, three manifests, two bodies, and the three chunks and root of a third"
    assert sweep_once(store) == all_dead
    assert dead(store) == set()
    assert ask(store, "SELECT count(*) FROM died") == [(0,)]
    assert_nothing_dangles(store)


def test_what_was_never_in_a_commit_goes_at_once(store: mstbucket.Store) -> None:
    """[GC-20]"""
    bucket = filled(store)
    for n in range(5):
        bucket.put_object("hot", b"%d" % n * 100)
        bucket.put_object("large", LARGE[:-n or None][::-1])
    bucket.delete_object("large")
    all_dead = dead(store)
    assert len(all_dead) > 4 + 5
    gone = sweep_once(store)
    assert len(gone) >= 4 + 5
    left = dead(store)
    assert all(shared for (shared,) in ask(store, "SELECT born IS NULL FROM blocks WHERE cid = ANY (%s)", list(left)))
    assert bucket.get_object("hot").read() == b"4" * 100


def test_a_commit_between_two_kept_ones_holds_nothing_back(store: mstbucket.Store) -> None:
    """[GC-20] A block that came after a kept commit is not in it."""
    bucket = filled(store)
    bucket.create_snapshot("old")
    for n in range(6):
        bucket.put_object("7", b"%d" % n * 99)
        bucket.flush()
    retain_one(store)
    gone = sweep_once(store)
    assert len(gone) >= 5 * 3, "of each of five commits its block, its root, a manifest, and a body"
    assert dead(store) == set()
    assert bucket.at("old").get_object("7").read() == b"7" * 50


def test_an_object_of_parts_goes_with_its_chunks(store: mstbucket.Store) -> None:
    """[GC-21] A completion is not another life of the chunks."""
    bucket = filled(store)
    body = _DATA.randbytes(PART_SIZE_MIN)
    upload = bucket.create_multipart_upload("p")
    parts = [(n, bucket.upload_part("p", upload.id, n, data).etag) for n, data in ((1, body), (2, LARGE[5:]))]
    bucket.complete_multipart_upload("p", upload.id, parts)
    bucket.flush()
    bucket.delete_object("p")
    bucket.flush()
    retain_one(store)
    assert len(sweep_once(store)) > 6
    assert dead(store) == set()


def test_versions_go_when_they_are_deleted(store: mstbucket.Store) -> None:
    """[GC-20] What becomes a noncurrent version has not died."""
    bucket = filled(store)
    bucket.put_bucket_versioning("Enabled")
    first = bucket.put_object("v", LARGE[1:])
    bucket.flush()
    bucket.put_object("v", b"newer")
    bucket.flush()
    retain_one(store)
    sweep_once(store)
    assert bucket.get_object("v", version_id=first.version_id).read() == LARGE[1:]
    bucket.delete_object("v", version_id=first.version_id)
    bucket.flush()
    retain_one(store)
    assert len(sweep_once(store)) > 4
    assert dead(store) == set()


def test_packs_that_become_empty_go_and_thin_ones_are_written_again(store: mstbucket.Store) -> None:
    """[GC-25]"""
    bucket = filled(store)
    bucket.put_object("own", LARGE[2:])
    bucket.flush()
    bucket.put_object("own", b"")
    bucket.flush()
    retain_one(store)
    packs = ask(store, "SELECT count(*) FROM packs WHERE state = 'ready'")[0][0]
    sweep_once(store)
    assert ask(store, "SELECT count(*) FROM packs WHERE state = 'ready'")[0][0] < packs
    assert ask(store, MORE_ROWS) == [(0,)]
    assert_nothing_dangles(store)


def test_an_undo_brings_back_what_a_sweep_removed(store: mstbucket.Store) -> None:
    """[GC-10] [GC-11] [GC-25]"""
    bucket = filled(store)
    bucket.put_object("a", b"")
    bucket.flush()
    retain_one(store)
    before = rows(store)
    gone = sweep_once(store, grace=3600)
    assert gone
    assert store.undo_collect().blocks == len(gone)
    assert rows(store) == before
    assert ask(store, MORE_ROWS) == [(0,)]
    assert sweep_once(store) == set(), "they are left to the cycles now"
    store.collect(force=True, grace=0)
    assert not rows(store) & gone
    assert_nothing_dangles(store)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcd"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["delete", "copy", "tag"]), st.sampled_from("abcd"), st.sampled_from("abcd")),
        st.tuples(st.sampled_from(["flush", "flush", "retain", "sweep"]), st.none(), st.none()),
    ),
    min_size=10,
    max_size=40,
)
MANY = settings(
    max_examples=12, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(steps=STEPS)
def test_after_any_history_only_what_is_shared_is_left(store: mstbucket.Store, steps: list[tuple[str, Any, Any]]) -> None:
    """[GC-20] [GC-21] [GC-24]: in one bucket without versions and uploads. What lies below a shared root waits with that."""
    bucket = store.create_bucket(f"history-{next(NUMBERS)}")
    for what, key, other in steps:
        if what == "put":
            new = LARGE[:MIB] + _DATA.randbytes(9) if other == 5 else _DATA.randbytes(99)
            bucket.put_object(key, b"body %d" % other if other < 3 else new)
        elif what == "delete":
            bucket.delete_object(key)
        elif what == "flush":
            bucket.flush()
        elif what == "retain":
            retain_one(store)
        elif what == "sweep":
            sweep_once(store)
        else:
            with suppress(NoSuchKey, InvalidRequest):
                bucket.put_object_tagging(key, {"t": other}) if what == "tag" else bucket.copy_object(key, other)
    bucket.flush()
    retain_one(store)
    sweep_once(store)
    left = ask(store, "SELECT cid, born FROM blocks WHERE cid = ANY (%s)", list(dead(store)))
    assert {cid for cid, born in left if born is not None} <= below(store, [cid for cid, born in left if born is None])
    assert_nothing_dangles(store)
    for item in list(bucket.objects()):
        bucket.delete_object(item.key)
    store.delete_bucket(bucket.name)
    store.collect(force=True, grace=0)


def test_nodes_that_a_flush_reads_and_leaves_stay(store: mstbucket.Store) -> None:
    """[GC-20] A key that came and went again changes nothing, and its place is looked at."""
    bucket = filled(store)
    bucket.put_object("never", SMALL)
    bucket.delete_object("never")
    bucket.flush()
    retain_one(store)
    sweep_once(store)
    assert_nothing_dangles(store)


def test_nodes_that_come_again_stay(store: mstbucket.Store) -> None:
    """[GC-21] What a flush finds there has another life, though the one before has ended and was noted."""
    bucket = filled(store)
    before = bucket.flush().tree
    bucket.put_object("new", SMALL)
    bucket.flush()
    bucket.delete_object("new")
    assert bucket.flush().tree == before
    retain_one(store)
    assert sweep_once(store)
    assert_nothing_dangles(store)


def test_new_tags_are_no_death_of_the_body(store: mstbucket.Store) -> None:
    """[GC-20] [GC-21]"""
    bucket = filled(store)
    bucket.put_object_tagging("a", {"x": "y"})
    bucket.flush()
    retain_one(store)
    assert sweep_once(store), "the manifest"
    assert bucket.get_object("a").read() == LARGE
    bucket.delete_object("a")
    bucket.flush()
    retain_one(store)
    sweep_once(store)
    assert dead(store) == set(), "and no other life"


# --- what stays ---------------------------------------------------------------------------------------------------------

Born = Callable[[mstbucket.Store, mstbucket.Bucket], object]


def put_again(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.put_object("again", LARGE)
    bucket.put_object("small", b"7" * 50)


def put_batch_again(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.put_objects([PutRequest("again", b"7" * 50), PutRequest("small", b"8" * 50)])


def put_in_another(store: mstbucket.Store, _: mstbucket.Bucket) -> None:
    put_again(store, store.create_bucket("another"))


def copy(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.copy_object("a", "again")
    bucket.copy_object("7", "small")


def copy_from_the_past(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.put_object("a", b"other")
    bucket.put_object("7", b"other")
    bucket.flush()
    with bucket.at(1) as view:
        bucket.copy_object("a", "again", source_bucket=view)
        bucket.copy_object("7", "small", source_bucket=view)


def fork(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    store.fork("plain", "forked")


def restore(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.put_object("a", b"other")
    bucket.put_object("7", b"other")
    bucket.flush()
    bucket.restore(1)


def archive(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.put_bucket_versioning("Enabled")


def a_part(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    upload = bucket.create_multipart_upload("p")
    bucket.upload_part("p", upload.id, 1, LARGE)


def tags(_: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    bucket.put_object_tagging("a", {"x": "y"})
    bucket.copy_object("a", "b")
    bucket.copy_object("7", "small")


@pytest.mark.parametrize("flushed", [True, False])
@pytest.mark.parametrize(
    "born", [put_again, put_batch_again, put_in_another, copy, copy_from_the_past, fork, restore, archive, a_part, tags]
)
def test_what_has_another_life_stays(store: mstbucket.Store, born: Born, flushed: bool) -> None:
    """[GC-21] [GC-22]"""
    bucket = filled(store)
    born(store, bucket)
    if flushed:
        for info in store.list_buckets():
            store.bucket(info.name).flush()
    for _ in range(2):
        if born is not restore:
            bucket.put_object("a", b"gone")
            bucket.put_object("7", b"gone")
            bucket.flush()
        retain_one(store)
        sweep_once(store)
    assert_nothing_dangles(store)
    store.collect(force=True, grace=0)


@pytest.mark.parametrize("together", ["batch", "large", "versions"])
def test_two_objects_of_one_transaction_are_two_lives(store: mstbucket.Store, together: str) -> None:
    """[GC-21]"""
    bucket = store.create_bucket("plain")
    if together == "versions":
        bucket.put_bucket_versioning("Enabled")
    body = LARGE if together == "large" else SMALL
    keys = {"versions": ("x", "x"), "batch": ("x", "y"), "large": ("x",)}[together]  # the large ones share chunks alone
    bucket.put_objects([PutRequest(key, body) for key in keys] + [PutRequest("z", body + LARGE)])
    bucket.flush()
    old = bucket.list_object_versions("x").versions[-1]
    bucket.delete_object("x", version_id=old.version_id) if together == "versions" else bucket.delete_object("x")
    bucket.flush()
    retain_one(store)
    sweep_once(store)
    assert_nothing_dangles(store)


def test_a_lease_holds_what_its_commit_has(store: mstbucket.Store) -> None:
    """[GC-22] [PAST-3]"""
    bucket = filled(store)
    with bucket.at(1) as view:
        bucket.put_object("a", b"")
        bucket.flush()
        ask(store, "DELETE FROM commits WHERE seq = 1")  # as if it had run out for a moment
        assert sweep_once(store) == set()
        assert view.get_object("a").read() == LARGE
    ask(store, "DELETE FROM leases")
    assert sweep_once(store)


def test_a_block_that_was_removed_and_came_again_has_another_life(store: mstbucket.Store) -> None:
    """[GC-24] What a cycle removed in between is not taken for what died before."""
    bucket = filled(store)
    bucket.put_object("a", b"")
    bucket.flush()
    retain_one(store)
    store.collect(force=True, grace=0)
    bucket.put_object("b", LARGE)
    assert sweep_once(store) == set()
    assert bucket.get_object("b").read() == LARGE


def test_a_cycle_forgets_the_notes_of_what_it_removed(store: mstbucket.Store) -> None:
    """[GC-26]"""
    bucket = filled(store)
    bucket.put_object("a", b"")
    bucket.delete_object("8")
    bucket.flush()
    retain_one(store)
    assert ask(store, "SELECT count(*) > 0 FROM died") == [(True,)]
    store.collect(force=True, grace=0)
    assert ask(store, "SELECT count(*) FROM died") == [(0,)]
    bucket.delete_object("7")
    bucket.flush()
    retain_one(store)
    assert sweep_once(store), "what dies later is noted as before"


def test_what_is_born_again_while_a_sweep_removes_stays(store: mstbucket.Store) -> None:
    """[GC-24] The statement that removes looks again."""
    bucket = filled(store)
    bucket.put_object("a", b"")
    bucket.delete_object("7")
    bucket.flush()
    retain_one(store)
    with between_look_and_removal(lambda: put_again(store, bucket)):
        assert sweep_once(store), "the nodes"
    assert bucket.get_object("again").read() == LARGE
    assert bucket.get_object("small").read() == b"7" * 50
    assert_nothing_dangles(store)


def test_a_body_that_is_replaced_during_its_flush_stays_with_the_commit(
    store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-23]"""
    bucket = filled(store)
    bucket.put_object("hot", LARGE[3:])

    def late(*arguments: Any) -> Any:
        monkeypatch.undo()
        folded = fold(*arguments)
        bucket.put_object("hot", b"other")
        return folded

    monkeypatch.setattr(flushing, "fold", late)
    bucket.flush()
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)
    for _ in range(2):
        sweep_once(store)
        assert_nothing_dangles(store)
        retain_one(store)


def test_a_body_whose_key_waits_for_a_flush_may_be_in_commits(
    store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-20] New tags make the key wait, and a flush that is under way knows nothing of that."""
    bucket = filled(store)
    bucket.put_object("b", b"for a flush")

    def late(*arguments: Any) -> Any:
        monkeypatch.undo()
        bucket.put_object_tagging("a", {"x": "y"})
        bucket.put_object("a", b"other")
        return fold(*arguments)

    monkeypatch.setattr(flushing, "fold", late)
    bucket.flush()
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)
    retain_one(store)
    sweep_once(store)
    with bucket.at(2) as view:
        assert view.get_object("a").read() == LARGE


def test_a_write_that_is_under_way_and_a_flush_see_each_other(store: mstbucket.Store, database_url: str) -> None:
    """[GC-23] The write has looked at the newest commit, and the flush comes before it has marked the key."""
    bucket = filled(store)
    bucket.put_object("hot", LARGE[3:])
    with psycopg.connect(database_url, options="-c search_path=mstbucket") as writer:
        writer.execute("SELECT enter('plain')")
        writer.execute("DELETE FROM objects WHERE key = 'hot'")
        bucket.flush()
        writer.execute("SELECT mark_dirty(bucket, ARRAY['hot']) FROM enter('plain')")
    sweep_once(store)
    assert_nothing_dangles(store)


def test_puts_of_one_body_in_a_group_are_as_many_lives(store: mstbucket.Store) -> None:
    """[GC-21] [PUT-16]"""
    bucket = filled(store)
    now = store._context.db.now_ms()
    content = raw_cid(SMALL)
    m = Manifest(content, len(SMALL), "0" * 32, "text/plain", now, now, sha256=content[4:])
    puts = [SmallPut(NewObject.of(key, m), SMALL, ANYTHING) for key in ("x", "y")]
    put_group(store._context.db, "plain", puts, None, 9000)
    bucket.delete_object("x")
    sweep_once(store)
    assert bucket.get_object("y").read() == SMALL


def test_one_manifest_under_two_keys_has_two_lives(store: mstbucket.Store) -> None:
    """[GC-21]"""
    bucket = filled(store)
    bucket.put_object("x", SMALL)
    bucket.put_object("y", SMALL)
    ask(store, "UPDATE objects y SET manifest = x.manifest, created = x.created, modified = x.modified FROM objects x "
        "WHERE y.key = 'y' AND x.key = 'x'")  # fmt: skip
    bucket.flush()
    bucket.delete_object("x")
    bucket.flush()
    retain_one(store)
    sweep_once(store)
    assert_nothing_dangles(store)


def test_what_a_fetched_bucket_has_stays(store: mstbucket.Store, second_store: mstbucket.Store) -> None:
    """[GC-22] It begins as a copy of a commit here."""
    bucket = filled(store)
    bucket.push(second_store)
    assert store.fetch(second_store.bucket("plain"), "origin").bucket == "plain.origin"
    bucket.put_object("a", b"")
    bucket.flush()
    ask(store, "DELETE FROM remote_commits")
    retain_one(store)
    sweep_once(store)
    assert_nothing_dangles(store)


# --- rails --------------------------------------------------------------------------------------------------------------


def test_known_damage_stops_a_sweep(store: mstbucket.Store) -> None:
    """[GC-12]"""
    filled(store)
    ask(store, "UPDATE packs SET damaged = true")
    with pytest.raises(CollectionRefused, match="damage"):
        sweep_once(store)


def test_a_sweep_does_not_remove_more_than_half(store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GC-13]"""
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 50)
    bucket = filled(store)
    for key in list(bucket.objects()):
        bucket.delete_object(key.key)
    bucket.flush()
    retain_one(store)
    before = rows(store)
    with pytest.raises(CollectionRefused, match="50 of 100"):
        sweep_once(store)
    assert rows(store) == before


def test_a_cycle_says_which_needed_blocks_a_sweep_has_removed(
    store: mstbucket.Store, caplog: pytest.LogCaptureFixture
) -> None:
    """[GC-26]"""
    bucket = filled(store)
    store.collect(force=True, grace=0)
    [(chunk,)] = ask(store, "SELECT content FROM objects WHERE key = '7'")
    ask(store, "DELETE FROM blocks WHERE cid = %s", chunk)
    ask(store, "INSERT INTO swept VALUES (%s)", chunk)
    with pytest.raises(MissingBlock, match="a sweep has removed them"):
        store.collect(force=True)
    assert to_text(chunk) in caplog.text
    bucket.put_object("7", b"7" * 50)  # now it is there
    store.collect(force=True)
    assert ask(store, "SELECT count(*) FROM swept") == [(0,)]


def test_a_manifest_that_no_flush_has_written_again_is_not_missed(
    store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GC-26] It was needed at the moment of the mark, and is replaced before the cycle asks for its row."""
    bucket = filled(store)
    for tag in ("first", "second"):
        bucket.put_object_tagging("7", {"tag": tag})
        bucket.flush()
    retain_one(store)
    gone = sweep_once(store)
    bucket.put_object_tagging("7", {"tag": "first"})
    [(manifest,)] = ask(store, "SELECT manifest FROM objects WHERE key = '7'")
    assert manifest in gone, "it is the one that a sweep has removed"
    swept = deaths.swept

    def replaced_first(db: Database) -> Iterator[list[bytes]]:
        bucket.put_object_tagging("7", {"tag": "third"})
        return swept(db)

    monkeypatch.setattr(deaths, "swept", replaced_first)
    store.collect(force=True)
    assert not store.check("data").findings
