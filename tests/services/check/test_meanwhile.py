"""Whoever writes, flushes, compacts and encodes meanwhile: a healthy store gives no finding."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from racing import repeating

import mstbucket
from mstbucket.pg.database import Database
from mstbucket.services.check import data, proof

ROUNDS = 4


def test_racing_writers_flushes_and_compactions_give_no_finding(open_store: Callable[[], mstbucket.Store]) -> None:
    """[CHECK-9] [CHECK-5] [CHECK-6]"""
    store = open_store()
    for name, lock in (("one", False), ("two", True)):
        bucket = store.create_bucket(name, object_lock=lock)
        bucket.put_objects(mstbucket.PutRequest(f"{n}", b"%d" % n) for n in range(40))
        bucket.flush()

    def write(numbers: random.Random) -> None:
        bucket = other.bucket(numbers.choice(("one", "two")))
        key = str(numbers.randrange(60))
        if numbers.random() < 0.3:
            bucket.delete_object(key)
        else:
            bucket.put_object(key, numbers.randbytes(numbers.choice((3, 70_000, 2_200_000))))

    def tidy(numbers: random.Random) -> None:
        if numbers.random() < 0.7:
            third.bucket(numbers.choice(("one", "two"))).flush()
        else:
            third.compact()

    other, third = open_store(), open_store()
    with repeating(write, write, tidy):
        reports = [store.check("proof") for _ in range(ROUNDS)]
    assert [(report.findings, report.incomplete) for report in reports] == [((), ())] * ROUNDS
    assert store.check("proof").clean


KEYS = st.sampled_from(["a", "a/b", "b", "ключ", "z" * 200])
OTHERS = ["flush", "versions", "suspend", "tag", "compact", "upload", "remove-version"]
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.sampled_from([b"", b"x", b"y" * 70_000, b"z" * 1_100_000])),
    st.tuples(st.just("delete"), KEYS, st.just(b"")),
    st.tuples(st.sampled_from(OTHERS), KEYS, st.just(b"")),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=14))
def test_no_history_gives_a_finding(store: mstbucket.Store, steps: list[tuple[str, str, bytes]]) -> None:
    """[CHECK-3]"""
    name = f"b{len(store.list_buckets())}x"
    bucket = store.create_bucket(name)
    for what, key, body in steps:
        do(store, bucket, what, key, body)
    report = store.check("proof")
    assert (report.findings, report.incomplete) == ((), ())


def do(store: mstbucket.Store, bucket: mstbucket.Bucket, what: str, key: str, body: bytes) -> None:
    if what == "put":
        bucket.put_object(key, body)
    elif what == "delete":
        bucket.delete_object(key)
    elif what == "flush":
        bucket.flush()
    elif what in ("versions", "suspend"):
        if what == "versions" or bucket.get_bucket_versioning() is not None:
            bucket.put_bucket_versioning("Enabled" if what == "versions" else "Suspended")
    elif what == "tag":
        bucket.put_bucket_tagging({"key": key})
    elif what == "compact":
        store.compact()
    elif what == "upload":
        upload = bucket.create_multipart_upload(key)
        part = bucket.upload_part(key, upload.id, 1, b"part")
        bucket.complete_multipart_upload(key, upload.id, [part])
    else:
        for version in bucket.list_object_versions(prefix=key).versions[:1]:
            bucket.delete_object(key, version_id=version.version_id)


def test_no_transaction_is_open_while_a_pack_is_read(full: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CHECK-7] [CHECK-8]"""
    begun: list[str] = []
    ended: list[str] = []
    snapshot, transaction = Database.snapshot, Database.transaction

    def watch(name: str, real: Callable[..., object]) -> Callable[..., object]:
        @contextmanager
        def watched(self: Database, *arguments: object):  # type: ignore[no-untyped-def]
            begun.append(name)
            try:
                with real(self, *arguments) as connection:  # type: ignore[attr-defined]
                    yield connection
            finally:
                ended.append(name)

        return watched

    reads: list[bool] = []
    reader, build = data.CarReader, proof.build

    def reading(stream: object) -> object:
        reads.append(len(begun) == len(ended))
        return reader(stream)  # type: ignore[arg-type]

    def building(*arguments: object) -> object:
        reads.append(len(begun) == len(ended))
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "snapshot", watch("snapshot", snapshot))
    monkeypatch.setattr(Database, "transaction", watch("transaction", transaction))
    monkeypatch.setattr(data, "CarReader", reading)
    monkeypatch.setattr(proof, "build", building)
    assert full.check("proof").clean
    assert len(reads) > 5
    assert all(reads)
    assert begun
