"""Any sequence of writes, flushes, retention, collections and undos: a dictionary says what has to be there.

A collection may be met in its middle, between the mark and the sweep, by puts of what it has found dead.
"""

from __future__ import annotations

import itertools
import random
from contextlib import suppress
from typing import ClassVar

import pytest
from collectstate import ask, assert_nothing_dangles, between_mark_and_sweep
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from livescheck import assert_lives_are_marked
from sweepstate import between_look_and_removal, retain_one, sweep_once, within_the_next_flush

import mstbucket
from mstbucket import PutRequest
from mstbucket.api.view import BucketView
from mstbucket.errors import Conflict, NoSuchCommit, NoSuchKey
from mstbucket.limits import PART_SIZE_MIN
from mstbucket.services.collection import sweep as sweeps
from mstbucket.services.collection.turns import asked_for

pytestmark = pytest.mark.early

_DATA = random.Random(3)
SMALL = [b"", b"a", b"b", _DATA.randbytes(2000)]
LARGE = [_DATA.randbytes(66_000), _DATA.randbytes(1 << 20) + b"tail", _DATA.randbytes((2 << 20) + 11)]
LARGE.append(LARGE[1][: 1 << 20] + LARGE[0])  # shares a chunk
PARTED = _DATA.randbytes(PART_SIZE_MIN) + LARGE[2]

KEYS_OF = ["a", "a/b", "b", "c", "d"]
KEYS = st.sampled_from(KEYS_OF)
BODIES = st.sampled_from(SMALL * 2 + LARGE)
NUMBERS = itertools.count()
PHASES = [Phase.generate]  # a shorter failing example would take minutes of a real store


class Machine(RuleBasedStateMachine):
    """One bucket of a store that all examples share; in the end nothing of it is left."""

    store: ClassVar[mstbucket.Store]

    @initialize(versioned=st.booleans())
    def make(self, versioned: bool) -> None:
        self.name = f"bucket-{next(NUMBERS)}"
        self.bucket = self.store.create_bucket(self.name)
        if versioned:
            self.bucket.put_bucket_versioning("Enabled")
        self.versioned = versioned
        self.objects: dict[str, bytes] = {}
        self.versions: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, tuple[str, str]] = {}
        self.forks: dict[str, dict[str, bytes]] = {}
        self.then: tuple[str, dict[str, bytes]] | None = None
        self.view: tuple[BucketView, dict[str, bytes]] | None = None
        self.clean = False  # nothing has changed since a collection without grace

    def _put(self, key: str, body: bytes, version_id: str | None) -> None:
        self.objects[key] = body
        if version_id is not None:
            self.versions[key, version_id] = body

    @rule(key=KEYS, body=BODIES)
    def put(self, key: str, body: bytes) -> None:
        self._put(key, body, self.bucket.put_object(key, body).version_id)
        self.clean = False

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.bucket.delete_object(key)
        self.objects.pop(key, None)
        self.clean = False

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        key, version = data.draw(st.sampled_from(sorted(self.versions)))
        self.bucket.delete_object(key, version_id=version)
        del self.versions[key, version]
        newest = self.bucket.list_object_versions(key).versions
        latest = [one for one in newest if one.key == key and one.is_latest and not one.delete_marker]
        self.objects.pop(key, None)
        if latest:
            self.objects[key] = self.versions[key, latest[0].version_id]
        self.clean = False

    @rule(source=KEYS, key=KEYS)
    def copy(self, source: str, key: str) -> None:
        if source in self.objects and source != key:
            self._put(key, self.objects[source], self.bucket.copy_object(source, key).version_id)
            self.clean = False

    @rule(key=KEYS)
    def begin_upload(self, key: str) -> None:
        upload = self.bucket.create_multipart_upload(key)
        self.uploads[upload.id] = key, self.bucket.upload_part(key, upload.id, 1, PARTED).etag
        self.clean = False

    @precondition(lambda self: self.uploads)
    @rule(abort=st.booleans())
    def end_upload(self, abort: bool) -> None:
        upload, (key, etag) = self.uploads.popitem()
        if abort:
            self.bucket.abort_multipart_upload(key, upload)
        else:
            self._put(key, PARTED, self.bucket.complete_multipart_upload(key, upload, [(1, etag)]).version_id)
        self.clean = False

    @rule()
    def flush(self) -> None:
        self.bucket.flush()
        self.clean = False

    @rule()
    def retain_one(self) -> None:
        retain_one(self.store)
        self.clean = False

    @rule(grace=st.sampled_from([0, 0, 3600]))
    def collect(self, grace: int) -> None:
        said = self.store.collect(dry_run=True)
        report = self.store.collect(force=True, grace=grace)
        assert report.freed == report.dead == said.dead
        assert report.spared.blocks == 0
        if self.clean:
            assert report.freed.blocks == 0
        self.clean = True
        self._all_is_there()

    @rule(key=KEYS, body=BODIES, other=BODIES, flush=st.booleans())
    def collect_while_it_is_born_again(self, key: str, body: bytes, other: bytes, flush: bool) -> None:
        def meanwhile() -> None:
            self.put(key, body)
            self.put(key, other)
            if flush:
                self.bucket.flush()

        with between_mark_and_sweep(meanwhile):
            report = self.store.collect(force=True, grace=0)
        assert report.freed.blocks <= report.dead.blocks
        self.clean = False
        self._all_is_there()

    @rule()
    def undo(self) -> None:
        if self.store.undo_collect().blocks:
            self.clean = False

    @rule()
    def compact(self) -> None:
        self.store.compact()

    @invariant()
    def the_last_object_can_be_read(self) -> None:
        for key, body in list(getattr(self, "objects", {}).items())[-1:]:
            assert self.bucket.get_object(key).read() == body

    def _all_is_there(self) -> None:
        assert {item.key: self.bucket.get_object(item.key).read() for item in self.bucket.objects()} == self.objects
        for (key, version), body in self.versions.items():
            assert self.bucket.get_object(key, version_id=version).read() == body
        for name, objects in self.forks.items():
            fork = self.store.bucket(name)
            assert {item.key: fork.get_object(item.key).read() for item in fork.objects()} == objects

    def teardown(self) -> None:
        if not hasattr(self, "bucket"):
            return
        self._all_is_there()
        assert_nothing_dangles(self.store)
        for upload, (key, _) in self.uploads.items():
            self.bucket.abort_multipart_upload(key, upload)
        for name in (self.name, *self.forks):
            bucket = self.store.bucket(name)
            while versions := bucket.list_object_versions().versions:
                assert not bucket.delete_objects((one.key, one.version_id) for one in versions).errors
            for item in list(bucket.objects()):
                bucket.delete_object(item.key)
            self.store.delete_bucket(name)
        self.store.collect(force=True, grace=0)
        assert ask(self.store, "SELECT count(*) FROM blocks") == [(0,)]
        assert ask(self.store, "SELECT count(*) FROM packs WHERE state = 'ready'") == [(0,)]
        ask(self.store, "DELETE FROM buried")


class Swept(Machine):
    """The same with sweeps, forks, restores, readers of the past, another bucket, and an oracle of lives at every step."""

    def _sweep(self, grace: int = 0) -> set[bytes]:
        """Sweep; only what nobody needs has gone, and what is left can be read."""
        gone = sweep_once(self.store, grace)
        self._all_is_there()
        return gone

    @rule(grace=st.sampled_from([0, 0, 3600]))
    def sweep(self, grace: int) -> None:
        assert not (self._sweep(grace) and self.clean)

    @rule(grace=st.sampled_from([0, 3600]))
    def give_up_and_sweep(self, grace: int) -> None:
        self.bucket.flush()
        self.retain_one()
        self._sweep(grace)

    @rule(key=KEYS, body=BODIES, other=BODIES, flush=st.booleans())
    def sweep_while_it_is_born_again(self, key: str, body: bytes, other: bytes, flush: bool) -> None:
        def meanwhile() -> None:
            self.put(key, body)
            self.put(key, other)
            if flush:
                self.bucket.flush()

        with between_look_and_removal(meanwhile):
            sweep_once(self.store)
        self.clean = False
        self._all_is_there()

    @rule(key=KEYS, body=BODIES, again=BODIES, written=st.booleans(), rest=st.booleans())
    def sweep_while_a_flush_is_under_way(self, key: str, body: bytes, again: bytes, written: bool, rest: bool) -> None:
        """The flush has taken its snapshot, and may have written its pack. What it took dies, goes, and comes again."""

        def meanwhile() -> None:
            self.put(key, again)
            if rest:
                self.retain_one()
            sweep_once(self.store)
            self.put(key, body)
            sweep_once(self.store)

        self.put(key, body)
        with within_the_next_flush(meanwhile, written):
            self.bucket.flush()
        self.clean = False
        self._all_is_there()

    @rule(steps=st.integers(1, 4))
    def a_sweep_breaks_off(self, steps: int) -> None:
        left = iter(range(steps))

        def check() -> None:
            if next(left, None) is None:
                raise Conflict("told to end")

        with suppress(Conflict):
            sweeps.sweep(self.store._context, 0, check, asked_for)
        self.clean = False

    @rule(key=KEYS, other=KEYS, body=BODIES)
    def put_one_body_twice_at_once(self, key: str, other: str, body: bytes) -> None:
        if not self.versioned:
            self.bucket.put_objects(PutRequest(one, body) for one in sorted({key, other}))
            self.objects.update({key: body, other: body})
            self.clean = False

    @precondition(lambda self: self.objects)
    @rule(data=st.data(), tag=st.sampled_from("xy"))
    def tag(self, data: st.DataObject, tag: str) -> None:
        self.bucket.put_object_tagging(data.draw(st.sampled_from(sorted(self.objects))), {"t": tag})
        self.clean = False

    @precondition(lambda self: len(self.forks) < 2)
    @rule()
    def fork(self) -> None:
        name = f"{self.name}-fork-{len(self.forks)}"
        self.store.fork(self.name, name)
        self.forks[name] = dict(self.objects)
        self.clean = False

    @precondition(lambda self: len(self.forks) < 2)
    @rule(keys=st.sets(KEYS, max_size=3), flush=st.booleans())
    def copy_to_another_bucket(self, keys: set[str], flush: bool) -> None:
        name = f"{self.name}-fork-{len(self.forks)}"
        other = self.store.create_bucket(name)
        self.forks[name] = {key: self.objects[key] for key in sorted(keys) if key in self.objects}
        for key in self.forks[name]:
            other.copy_object(key, key, source_bucket=self.name)
        if flush:
            other.flush()
        self.clean = False

    @precondition(lambda self: self.forks)
    @rule(key=KEYS, body=BODIES, flush=st.booleans(), data=st.data())
    def put_in_a_fork(self, key: str, body: bytes, flush: bool, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.forks)))
        self.store.bucket(name).put_object(key, body)
        self.forks[name][key] = body
        if flush:
            self.store.bucket(name).flush()
        self.clean = False

    @rule()
    def remember(self) -> None:
        self.bucket.flush()
        self.then = self.bucket.head_commit().cid, dict(self.objects)
        self.clean = False

    @precondition(lambda self: self.then is not None and self.view is None)
    @rule()
    def begin_to_read_the_past(self) -> None:
        assert self.then is not None
        with suppress(NoSuchCommit):
            self.view = self.bucket.at(self.then[0]), self.then[1]
            self.clean = False

    @precondition(lambda self: self.view is not None)
    @rule()
    def end_to_read_the_past(self) -> None:
        assert self.view is not None
        self.view[0].close()
        self.view = None
        self.clean = False

    @precondition(lambda self: self.then is not None and not self.versioned)
    @rule(key=st.none() | KEYS)
    def restore(self, key: str | None) -> None:
        assert self.then is not None
        with suppress(NoSuchCommit, NoSuchKey):
            self.bucket.restore(self.then[0], key=key)
            for one in KEYS_OF if key is None else [key]:
                self.objects.pop(one, None)
                if one in self.then[1]:
                    self.objects[one] = self.then[1][one]
        self.clean = False

    @invariant()
    def what_two_need_is_shared(self) -> None:
        if hasattr(self, "bucket"):
            assert_lives_are_marked(self.store)

    def _all_is_there(self) -> None:
        super()._all_is_there()
        if self.view is not None:
            view, objects = self.view
            assert {item.key: view.get_object(item.key).read() for item in view.objects()} == objects

    def teardown(self) -> None:
        if hasattr(self, "bucket"):
            self._sweep()
            if self.view is not None:
                self.view[0].close()
                self.view = None
            # [GC-26] The mark agrees with the sweeps, or this ends with `MissingBlock`. What dies then waits for nobody.
            self.store.collect(force=True, grace=0)
            assert ask(self.store, "SELECT count(*) FROM swept") == [(0,)]
        super().teardown()


def test_any_sequence_keeps_what_is_needed_and_frees_the_rest(
    store: mstbucket.Store
) -> None:
    """[GC-2] [GC-4] [GC-7] [GC-8] [GC-11]"""
    Machine.store = store
    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=25, phases=PHASES))


def test_and_so_does_any_sequence_with_sweeps(store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GC-20] [GC-21] [GC-22] [GC-24] [GC-25]"""
    Machine.store = store
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)
    run_state_machine_as_test(Swept, settings=settings(max_examples=3, stateful_step_count=25, phases=PHASES))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_same_more_often(store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GC-7]"""
    Machine.store = store
    monkeypatch.setattr("mstbucket.services.collection.sweep.COLLECT_PERCENT_MAX", 100)
    run_state_machine_as_test(Swept, settings=settings(max_examples=300, stateful_step_count=50, phases=PHASES))
