"""Any sequence of writes, snapshots, retention, forks, restores, collections, undos, compactions and rebuilds of one store.

A dictionary says what each bucket and each named commit holds. A rebuild forgets the database, and goes on without it.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from collectstate import assert_nothing_dangles, between_mark_and_sweep
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import mstbucket
from mstbucket import KeepPolicy, Store
from mstbucket.limits import PART_SIZE_MIN
from mstbucket.services.past.retention import expire

pytestmark = pytest.mark.early

_DATA = random.Random(5)
LARGE = [_DATA.randbytes(70_000), _DATA.randbytes((1 << 20) + 9)]
LARGE.append(LARGE[1][: 1 << 20] + b"another end")  # shares a chunk
PARTED = _DATA.randbytes(PART_SIZE_MIN) + b"end"

KEYS = st.sampled_from(["a", "a/b", "b", "c"])
BODIES = st.sampled_from([b"", b"a", b"b", *LARGE])
NAMES = st.sampled_from(["old", "older"])
BUCKETS_MAX = 3
PHASES = [Phase.generate]  # a shorter failing example would take minutes of a real store

Objects = dict[str, bytes]
Versions = dict[tuple[str, str], bytes]


@dataclass
class Held:
    """What a bucket holds, and what its named commits hold."""

    objects: Objects = field(default_factory=dict)
    versions: Versions = field(default_factory=dict)
    named: dict[str, tuple[Objects, Versions]] = field(default_factory=dict)
    policy: KeepPolicy | None = None


class Machine(RuleBasedStateMachine):
    """A store of its own for each example."""

    databases: ClassVar[Any]
    template: ClassVar[str]

    @initialize(versioned=st.booleans())
    def make(self, versioned: bool) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="mstbucket-test-")
        self.blobs = Path(self.directory.name) / "blobs"
        self.names: list[str] = []
        self._new_database()
        self.store = self._open()
        self.held = {"first": Held()}
        self.uploads: dict[tuple[str, str], tuple[str, str]] = {}
        self.made = 0
        self.store.create_bucket("first")
        if versioned:
            self.store.bucket("first").put_bucket_versioning("Enabled")

    def _new_database(self) -> None:
        self.names.append(self.databases.create(self.template))
        self.url = self.databases.url(self.names[-1])

    def _open(self) -> Store:
        return mstbucket.open(database=self.url, blobs=self.blobs, background=False)

    def _pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.held)))

    def _pick_named(self, data: st.DataObject) -> tuple[str, str]:
        return data.draw(st.sampled_from(self._all_named()))

    def _all_named(self) -> list[tuple[str, str]]:
        return sorted((name, snapshot) for name, held in self.held.items() for snapshot in held.named)

    # --- writes --------------------------------------------------------------------------------------------------------

    @rule(data=st.data(), key=KEYS, body=BODIES)
    def put(self, data: st.DataObject, key: str, body: bytes) -> None:
        name = self._pick(data)
        self._is_put(name, key, body, self.store.bucket(name).put_object(key, body).version_id)
        self._look(name)

    def _is_put(self, name: str, key: str, body: bytes, version: str | None) -> None:
        self.held[name].objects[key] = body
        if version is not None:
            self.held[name].versions[key, version] = body

    @rule(data=st.data(), key=KEYS)
    def delete(self, data: st.DataObject, key: str) -> None:
        name = self._pick(data)
        self.store.bucket(name).delete_object(key)
        self.held[name].objects.pop(key, None)
        self._look(name)

    @precondition(lambda self: any(held.versions for held in self.held.values()))
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(name for name, held in self.held.items() if held.versions)))
        key, version = data.draw(st.sampled_from(sorted(self.held[name].versions)))
        self.store.bucket(name).delete_object(key, version_id=version)
        held = self.held[name]
        del held.versions[key, version]
        held.objects.pop(key, None)
        for one in self.store.bucket(name).list_object_versions(key).versions:
            if one.key == key and one.is_latest and not one.delete_marker:
                held.objects[key] = held.versions[key, one.version_id]
        self._look(name)

    @rule(data=st.data(), key=KEYS)
    def begin_upload(self, data: st.DataObject, key: str) -> None:
        name = self._pick(data)
        upload = self.store.bucket(name).create_multipart_upload(key)
        self.uploads[name, upload.id] = key, self.store.bucket(name).upload_part(key, upload.id, 1, PARTED).etag

    @precondition(lambda self: self.uploads)
    @rule()
    def end_upload(self) -> None:
        (name, upload), (key, etag) = self.uploads.popitem()
        done = self.store.bucket(name).complete_multipart_upload(key, upload, [(1, etag)])
        self._is_put(name, key, PARTED, done.version_id)
        self._look(name)

    # --- the past ------------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        name = self._pick(data)
        self.store.bucket(name).flush()
        self._look(name)

    @rule(data=st.data(), snapshot=NAMES)
    def snapshot(self, data: st.DataObject, snapshot: str) -> None:
        self._snapshot(self._pick(data), snapshot)

    def _snapshot(self, name: str, snapshot: str) -> None:
        held = self.held[name]
        if snapshot in held.named:
            self.store.bucket(name).delete_snapshot(snapshot)
            del held.named[snapshot]
        else:
            self.store.bucket(name).create_snapshot(snapshot)
            held.named[snapshot] = dict(held.objects), dict(held.versions)
        self._look(name)

    @rule(data=st.data(), last=st.sampled_from([None, 1, 2]))
    def retain(self, data: st.DataObject, last: int | None) -> None:
        name = self._pick(data)
        self.held[name].policy = None if last is None else KeepPolicy(last=last)
        self.store.bucket(name).put_retention(self.held[name].policy)

    @rule()
    def expire(self) -> None:
        expire(self.store._context)
        self._look_all()

    @precondition(lambda self: len(self.held) < BUCKETS_MAX)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        name = self._pick(data)
        snapshot = data.draw(st.sampled_from([None, *sorted(self.held[name].named)]))
        self._fork(name, snapshot)

    def _fork(self, name: str, snapshot: str | None) -> None:
        self.made += 1
        new = f"fork-{self.made}"
        held = self.held[name]
        objects, versions = (held.objects, held.versions) if snapshot is None else held.named[snapshot]
        self.store.fork(name, new, commit=snapshot)
        self.held[new] = Held(dict(objects), dict(versions))
        self._look(new)

    @precondition(lambda self: self._all_named())
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        self._restore(*self._pick_named(data))

    def _restore(self, name: str, snapshot: str) -> None:
        held = self.held[name]
        self.store.bucket(name).restore(snapshot)
        held.objects = dict(held.named[snapshot][0])
        for one in self.store.bucket(name).list_object_versions().versions:
            if one.is_latest and not one.delete_marker and one.version_id != "null":
                held.versions.setdefault((one.key, one.version_id), held.objects[one.key])
        self._look(name)

    @precondition(lambda self: len(self.held) > 1)
    @rule(data=st.data())
    def delete_bucket(self, data: st.DataObject) -> None:
        name = self._pick(data)
        bucket = self.store.bucket(name)
        for at in [at for at in self.uploads if at[0] == name]:
            bucket.abort_multipart_upload(self.uploads.pop(at)[0], at[1])
        for snapshot in self.held[name].named:
            bucket.delete_snapshot(snapshot)
        while versions := bucket.list_object_versions().versions:
            assert not bucket.delete_objects((one.key, one.version_id) for one in versions).errors
        self.store.delete_bucket(name)
        del self.held[name]

    # --- care ----------------------------------------------------------------------------------------------------------

    @rule(grace=st.sampled_from([0, 0, 3600]))
    def collect(self, grace: int) -> None:
        report = self.store.collect(force=True, grace=grace)
        assert report.freed == report.dead
        self._look_all()

    @rule(data=st.data(), what=st.sampled_from(["fork", "restore", "snapshot"]), undo=st.booleans())
    def collect_meanwhile(self, data: st.DataObject, what: str, undo: bool) -> None:
        """In the middle of a collection, whose marks are older."""
        name = self._pick(data)

        def work() -> None:
            if what == "fork" and len(self.held) < BUCKETS_MAX:
                self._fork(name, next(iter(self.held[name].named), None))
            elif what == "restore" and self.held[name].named:
                self._restore(name, next(iter(self.held[name].named)))
            else:
                self._snapshot(name, "old")

        with between_mark_and_sweep(work):
            self.store.collect(force=True, grace=3600 if undo else 0)
        self._look_all()

    @rule()
    def undo(self) -> None:
        self.store.undo_collect()
        self._look_all()

    @rule()
    def compact(self) -> None:
        self.store.compact()
        self._look_all()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self._open()

    @rule()
    def rebuild(self) -> None:
        for name in self.held:
            self.store.bucket(name).flush()
        self.store.close()
        self._new_database()
        report = Store.rebuild(database=self.url, blobs=self.blobs)
        assert all(bucket.is_whole for bucket in report.buckets)
        self.store = self._open()
        self.uploads.clear()
        assert [info.name for info in self.store.list_buckets()] == sorted(self.held)
        self._look_all()

    # --- what has to hold ----------------------------------------------------------------------------------------------

    def _look_all(self) -> None:
        for name in self.held:
            self._look(name)

    def _look(self, name: str) -> None:
        held, bucket = self.held[name], self.store.bucket(name)
        assert {item.key: bucket.get_object(item.key).read() for item in bucket.objects()} == held.objects
        for (key, version), body in held.versions.items():
            assert bucket.get_object(key, version_id=version).read() == body
        assert {one.name for one in bucket.snapshots()} == set(held.named)
        for snapshot, (objects, versions) in held.named.items():
            with bucket.at(snapshot) as then:
                assert {item.key: then.get_object(item.key).read() for item in then.objects()} == objects
                for (key, version), body in versions.items():
                    assert then.get_object(key, version_id=version).read() == body
        if held.policy is not None:
            assert bucket.get_retention() == held.policy
        if any(bucket.log()):
            bucket.verify()

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        try:
            self._look_all()
            report = self.store.check("proof")
            assert (report.findings, report.incomplete) == ((), ())
            assert_nothing_dangles(self.store)
        finally:
            self.store.close()
            self.directory.cleanup()
            for name in self.names:
                self.databases.remove(name)


def run(databases: Any, template: str, examples: int, steps: int) -> None:
    Machine.databases, Machine.template = databases, template
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples, stateful_step_count=steps, phases=PHASES)
    )


def test_any_sequence_keeps_what_is_needed(databases: Any, template: str) -> None:
    """[GC-2] [GC-7] [PAST-3] [PAST-13] [PAST-41] [PAST-50] [REB-7] [REB-27]"""
    run(databases, template, 8, 20)


@pytest.mark.slow
def test_the_same_more_often(databases: Any, template: str) -> None:
    """[GC-7] [REB-7]"""
    run(databases, template, 150, 40)
