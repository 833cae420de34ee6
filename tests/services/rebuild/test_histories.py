"""Small histories of all kinds: the store that comes back is the one that was lost, as far as it was flushed."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seen import seen

import mstbucket
from mstbucket import Store

KEYS = st.sampled_from(["a", "a/b", "a/c", "b", "ö", "z/"])
SIZES = st.sampled_from([0, 1, 500, 70_000, 1_200_000])
STEP = st.one_of(
    st.tuples(st.just("put"), KEYS, SIZES),
    st.tuples(st.just("delete"), KEYS, st.just(0)),
    st.tuples(st.just("tag"), KEYS, st.just(0)),
    st.tuples(st.just("flush"), KEYS, st.just(0)),
    st.tuples(st.just("versions"), KEYS, st.sampled_from([0, 1])),
    st.tuples(st.just("compact"), KEYS, st.just(0)),
)
SETTINGS = [("none", False), ("zstd", False), ("none", True), ("zstd", True)]


def act(store: Store, bucket: mstbucket.Bucket, step: tuple[str, str, int], number: int) -> None:
    """One step of a history."""
    what, key, size = step
    if what == "put":
        bucket.put_object(key, random.Random(size).randbytes(size), metadata={"n": str(number)})
    elif what == "delete":
        bucket.delete_object(key)
    elif what == "tag":
        bucket.put_bucket_tagging({"step": str(number)})
    elif what == "flush":
        bucket.flush()
    elif what == "compact":
        store.compact()
    elif size or bucket.get_bucket_versioning() is not None:
        bucket.put_bucket_versioning("Enabled" if size else "Suspended")


@pytest.mark.parametrize(("compression", "encrypted"), SETTINGS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=12), hash_all=st.booleans())
def test_any_store_comes_back_as_it_was_flushed(
    databases: Any, template: str, compression: str, encrypted: bool, steps: list[Any], hash_all: bool
) -> None:
    """[REB-3] [REB-7] [REB-13]: listings, versions, bodies, commits and exports, plain, compressed and encrypted."""
    with tempfile.TemporaryDirectory() as directory:
        blobs, key = Path(directory) / "blobs", Path(directory) / "key"
        key.write_text("ab" * 32)
        encryption = key if encrypted else None
        first, second = (databases.url(databases.create(template)) for _ in range(2))
        opened = {"blobs": blobs, "background": False, "encryption": encryption}
        with mstbucket.open(database=first, compression=compression, **opened) as store:
            buckets = [store.create_bucket("one"), store.create_bucket("two")]
            for number, step in enumerate(steps):
                act(store, buckets[number % 3 == 2], step, number)
            for bucket in buckets:
                bucket.flush()
            before = [seen(bucket) for bucket in buckets]
            identity = store.identity
            buckets[0].put_object("lost", b"never flushed")
        report = Store.rebuild(database=second, blobs=blobs, encryption=encryption, hash_all=hash_all)
        assert (report.identity, report.damaged, report.invalid) == (identity, {}, {})
        assert all(bucket.is_whole for bucket in report.buckets)
        with mstbucket.open(database=second, **opened) as again:
            assert [info.name for info in again.list_buckets()] == ["one", "two"]
            for name, was in zip(("one", "two"), before, strict=True):
                bucket = again.bucket(name)
                assert bucket.flush().cid == was["log"][0].cid  # [REB-13]
                assert seen(bucket) == was
                bucket.verify()
                bucket.put_object("a", b"and it goes on")
                assert bucket.flush().seq == was["log"][0].seq + 1
                bucket.verify()
