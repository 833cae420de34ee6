"""Path by path: a bucket needs what it did not put itself, the bucket that put it loses it, and a sweep leaves it.

They are the paths of the table in spec/store/26-collection.md.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from collectstate import ask, assert_nothing_dangles
from livescheck import assert_lives_are_marked
from sweepstate import needed, retain_one, rows, sweep_once

import mstbucket
from mstbucket import PutRequest
from mstbucket.api.view import BucketView
from mstbucket.limits import MIB

_DATA = random.Random(27)
BODIES = {"large": _DATA.randbytes(2 * MIB + 77), "small": _DATA.randbytes(2000)}


class World(NamedTuple):
    """A store whose bucket `first` has what another one comes to need, and a second store."""

    store: mstbucket.Store
    a: mstbucket.Bucket
    other: mstbucket.Store
    path: Path


@pytest.fixture
def world(store: mstbucket.Store, second_store: mstbucket.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)  # most of so small a store dies
    a = store.create_bucket("first")
    a.put_objects(PutRequest(f"{n}", b"%d" % n * 50) for n in range(30))
    a.flush()
    for key, body in BODIES.items():
        a.put_object(key, body)
    a.flush()
    return World(store, a, second_store, tmp_path)


def lose(bucket: mstbucket.Bucket) -> None:
    """Have the bodies die in the next commit of a bucket."""
    for key in BODIES:
        bucket.put_object(key, b"gone")
    bucket.flush()


def assert_read(store: mstbucket.Store, bucket: str) -> None:
    for key, body in BODIES.items():
        assert store.bucket(bucket).get_object(key).read() == body


def exported(bucket: mstbucket.Bucket | BucketView) -> io.BytesIO:
    target = io.BytesIO()
    bucket.export_car(target)
    return io.BytesIO(target.getvalue())


def delta(bucket: mstbucket.Bucket, base: int) -> io.BytesIO:
    target = io.BytesIO()
    bucket.export_delta(base, target)
    return io.BytesIO(target.getvalue())


# --- the paths: each gives the name of the bucket that needs the bodies then ---------------------------------------------


def puts(world: World) -> str:
    b = world.store.create_bucket("second")
    for key, body in BODIES.items():
        b.put_object(key, body)
    return "second"


def a_batch(world: World) -> str:
    world.store.create_bucket("second").put_objects(PutRequest(key, body) for key, body in BODIES.items())
    return "second"


def parts(world: World) -> str:
    b = puts(world)
    upload = world.store.bucket(b).create_multipart_upload("large")
    part = world.store.bucket(b).upload_part("large", upload.id, 1, BODIES["large"])
    world.store.bucket(b).complete_multipart_upload("large", upload.id, [(1, part.etag)])
    return b


def copies_of_parts(world: World) -> str:
    b = world.store.create_bucket("second")
    for key in BODIES:
        upload = b.create_multipart_upload(key)
        part = b.upload_part_copy(key, upload.id, 1, key, source_bucket="first")
        b.complete_multipart_upload(key, upload.id, [(1, part.etag)])
    return "second"


def copies(world: World) -> str:
    b = world.store.create_bucket("second")
    for key in BODIES:
        b.copy_object(key, key, source_bucket="first")
    return "second"


def copies_of_the_past(world: World) -> str:
    b = world.store.create_bucket("second")
    lose(world.a)
    with world.a.at(2) as view:
        for key in BODIES:
            b.copy_object(key, key, source_bucket=view)
    return "second"


def a_fork_of_the_newest(world: World) -> str:
    return world.store.fork("first", "second").name


def a_fork_of_the_past(world: World) -> str:
    lose(world.a)
    return world.store.fork("first", "second", commit=2).name


def a_fork_of_a_fork(world: World) -> str:
    world.store.fork("first", "between")
    b = world.store.fork("between", "second").name
    lose(world.store.bucket("between"))
    return b


def a_restore(world: World) -> str:
    lose(world.a)
    world.a.restore(2)
    return "first"


def a_restore_of_what_waits_for_a_flush(world: World) -> str:
    lose(world.a)
    for key in BODIES:
        world.a.put_object(key, b"not flushed")
    world.a.restore(2)
    return "first"


def a_restore_of_versions(world: World) -> str:
    world.a.put_bucket_versioning("Enabled")
    lose(world.a)
    world.a.restore(2)
    return "first"


def a_restore_in_a_fork(world: World) -> str:
    b = world.store.fork("first", "second")
    lose(b)
    b.restore(1)
    return "second"


def a_merge(world: World) -> str:
    world.store.fork("first", "second", commit=1)
    world.store.merge("first", "second")
    return "second"


def a_merge_into_the_one_it_came_from(world: World) -> str:
    b = world.store.fork("first", "second")
    lose(world.a)
    for key, body in BODIES.items():
        b.put_object(key, body, metadata={"another": "object"})
    world.store.merge("second", "first", prefer="theirs")
    for key in BODIES:
        b.delete_object(key)
    b.flush()
    return "first"


def an_import(world: World) -> str:
    return world.store.import_car(exported(world.a), "second").name


def an_import_of_what_follows(world: World) -> str:
    with world.a.at(1) as view:
        world.store.import_car(exported(view), "second")
    return world.store.import_car(exported(world.a), "second").name


def a_delta(world: World) -> str:
    with world.a.at(1) as view:
        world.store.import_car(exported(view), "second")
    return world.store.import_car(delta(world.a, 1), "second").name


def a_delta_after_its_base_was_given_up(world: World) -> str:
    first = exported(world.a)
    for key, body in BODIES.items():
        world.a.copy_object(key, f"second {key}")
        world.a.put_object(f"third {key}", body + b"more")
    world.a.flush()
    second = delta(world.a, 2)
    retain_one(world.store)
    sweep_once(world.store)
    world.store.import_car(first, "second")
    return world.store.import_car(second, "second").name


def a_pull_of_a_new_bucket(world: World) -> str:
    world.a.push(world.other)
    return str(world.store.pull(world.other.bucket("first"), "second").bucket)


def a_pull_of_what_follows(world: World) -> str:
    """Here and there both put it: what comes is here already."""
    base = world.store.create_bucket("second")
    base.put_object("first", b"1")
    base.push(world.other)
    there = world.other.bucket("second")
    for key, body in BODIES.items():
        there.put_object(key, body)
    there.flush()
    assert world.store.pull(there, "second").blocks < 9, "the bodies are here"
    return "second"


def a_fetch(world: World) -> str:
    world.a.push(world.other)
    world.store.add_remote("far", "/far")
    return str(world.store.fetch(world.other.bucket("first"), "far", "first").bucket)


def a_fetch_of_what_both_have_and_a_merge(world: World) -> str:
    world.a.push(world.other)
    there = world.other.bucket("first")
    there.put_object("there", b"only")
    there.flush()
    world.a.put_object("here", b"only")
    world.store.add_remote("far", "/far")
    return str(world.store.fetch(there, "far", "first").bucket)


def an_undo(world: World) -> str:
    """What a sweep removed comes again by a put, before the rest of it comes back."""
    lose(world.a)
    retain_one(world.store)
    assert sweep_once(world.store, grace=3600)
    b = puts(world)
    world.store.undo_collect()
    return b


def an_undo_and_then_a_put(world: World) -> str:
    lose(world.a)
    retain_one(world.store)
    assert sweep_once(world.store, grace=3600)
    world.store.undo_collect()
    return puts(world)


def a_repair_of_the_tree(world: World) -> str:
    b = copies(world)
    world.store.bucket(b).flush()
    assert world.store.repair_tree(b).applied
    return b


def a_repair_of_the_index(world: World) -> str:
    b = copies(world)
    world.store.bucket(b).flush()
    ask(world.store, "DELETE FROM objects WHERE bucket = (SELECT id FROM buckets WHERE name = 'second')")
    assert world.store.repair_index(b).repaired == len(BODIES)
    return b


PATHS = [
    puts, a_batch, parts, copies_of_parts, copies, copies_of_the_past, a_fork_of_the_newest, a_fork_of_the_past,
    a_fork_of_a_fork, a_restore, a_restore_of_what_waits_for_a_flush, a_restore_of_versions, a_restore_in_a_fork, a_merge,
    a_merge_into_the_one_it_came_from, an_import, an_import_of_what_follows, a_delta, a_delta_after_its_base_was_given_up,
    a_pull_of_a_new_bucket, a_pull_of_what_follows, a_fetch, a_fetch_of_what_both_have_and_a_merge, an_undo,
    an_undo_and_then_a_put, a_repair_of_the_tree, a_repair_of_the_index,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_what_a_bucket_needs_by_this_path_stays(world: World, path: Callable[[World], str]) -> None:
    """[GC-21] [GC-22]"""
    needs = path(world)
    assert_lives_are_marked(world.store)
    if needs != "first":
        lose(world.a)
    for _ in range(2):
        retain_one(world.store)
        sweep_once(world.store)
        assert_read(world.store, needs)
        assert_lives_are_marked(world.store)
        world.a.put_object("more", b"so that there is a commit more")
        world.a.flush()
    assert not world.store.check("data").findings
    assert_nothing_dangles(world.store)
    world.store.collect(force=True, grace=0)  # [GC-26]
    assert_read(world.store, needs)


def test_without_another_life_it_goes(world: World) -> None:
    """The tests above would notice: what only `a` has is removed."""
    before = needed(world.store)
    lose(world.a)
    retain_one(world.store)
    gone = sweep_once(world.store)
    assert len(gone & before) > 2 + 3 + 1, "manifests, chunks and their root, and the small body"
    assert rows(world.store) & before


def test_after_a_rebuild_the_cycles_decide(world: World, databases: Any, template: str) -> None:
    """[GC-21] Nobody knows then how many lives a block has; what is put afterwards is swept in new buckets alone."""
    copies(world)
    world.store.bucket("second").flush()
    world.store.close()
    url = databases.url(databases.create(template))
    mstbucket.Store.rebuild(database=url, blobs=world.path / "blobs")
    with mstbucket.open(database=url, blobs=world.path / "blobs", background=False) as store:
        assert ask(store, "SELECT count(*) FROM blocks WHERE born IS NOT NULL") == [(0,)]
        new = store.create_bucket("new")
        for key, body in BODIES.items():
            new.put_object(key, body)
        new.flush()
        lose(store.bucket("first"))
        lose(new)
        assert_lives_are_marked(store)
        retain_one(store)
        sweep_once(store)
        assert_read(store, "second")
        assert not store.check("data").findings
        assert_nothing_dangles(store)
